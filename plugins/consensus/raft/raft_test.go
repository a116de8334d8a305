package raft_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/plugins/consensus/raft"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

var schedules = flag.Int("schedules", 40, "random schedules for each number of validators")

// quick are times that fit into the 1.2 s in which a random schedule has its faults.
const quick = `{"heartbeat_ms":20,"election_ms":150,"block_ms":100,"retry_ms":50}`

func subject() consensustest.Subject {
	c, _ := raft.ParseConfig(nil)
	s := consensustest.InProcess(func() sdk.Protocol { return raft.New(c) }, nil)
	s.Config, s.Words = []byte(quick), words
	return s
}

// words shows a message in a transcript.
func words(message []byte) string {
	if len(message) < 5 {
		return fmt.Sprintf("%x", message)
	}
	if message[0] == 2 && len(message) == 13 {
		return fmt.Sprintf("[demand h=%d]", binary.BigEndian.Uint64(message[5:]))
	}
	m := &raftpb.Message{}
	if err := proto.Unmarshal(message[5:], m); err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("[%s t=%d", m.GetType(), m.GetTerm())
	if m.GetIndex() != 0 || m.GetLogTerm() != 0 {
		text += fmt.Sprintf(" at=%d/%d", m.GetIndex(), m.GetLogTerm())
	}
	if m.GetCommit() != 0 {
		text += fmt.Sprintf(" commit=%d", m.GetCommit())
	}
	if m.GetReject() {
		text += " reject"
	}
	for _, e := range m.GetEntries() {
		text += fmt.Sprintf(" %d/%d", e.GetIndex(), e.GetTerm())
		if b := e.GetData(); len(b) >= 14 {
			text += fmt.Sprintf(":h%d %x", binary.BigEndian.Uint64(b), b[10:14])
		}
	}
	return text + "]"
}

// TestRandomSchedules: crashes, losses and partitions fork nothing, and the heights go on after them. The long form is `-schedules 1000`.
func TestRandomSchedules(t *testing.T) {
	for _, n := range []int{3, 4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			consensustest.Explore(t, subject(), consensustest.Search{Count: *schedules, Scenario: func(seed uint64) consensustest.Scenario {
				return consensustest.Random(seed, n, consensustest.CrashOnly)
			}})
		})
	}
}

func run(t *testing.T, s consensustest.Scenario) *consensustest.Result {
	t.Helper()
	r, err := consensustest.Run(subject(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		consensustest.Explain(t, subject(), r)
	}
	return r
}

// TestReplay: the same seed is the same run, to the byte, with the elections of it.
func TestReplay(t *testing.T) {
	for seed := range uint64(10) {
		s := consensustest.Random(seed, 4, consensustest.CrashOnly)
		if one, other := run(t, s), run(t, s); one.Digest != other.Digest {
			t.Errorf("seed %d: digests %s and %s", seed, one.Digest, other.Digest)
		}
	}
}

// TestGoesOnWithoutAMinority: whichever of the validators are gone for good, fewer than half, the others go on.
func TestGoesOnWithoutAMinority(t *testing.T) {
	for n, gone := range map[int]int{3: 1, 4: 1, 5: 2} {
		for first := range n {
			away := consensustest.Fault{Kind: consensustest.Crash, From: 700 * time.Millisecond}
			for k := range gone {
				away.Nodes = append(away.Nodes, (first+k)%n)
			}
			run(t, consensustest.Scenario{Seed: uint64(first), Validators: n, Heights: 10, Every: 20 * time.Millisecond, Faults: []consensustest.Fault{away}})
		}
	}
	half := []consensustest.Fault{{Kind: consensustest.Crash, Nodes: []int{0, 1}, From: 700 * time.Millisecond}}
	r, err := consensustest.Run(subject(), consensustest.Scenario{Seed: 1, Validators: 4, Heights: 40, Faults: half, Limit: 5 * time.Second})
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Liveness {
		t.Errorf("half of the validators are gone: %v, %v", r.Failure, err)
	}
}

// TestTwinsFork: raft believes its validators. With a second node of a key it elects two leaders of one term, and forks.
func TestTwinsFork(t *testing.T) {
	fired := map[consensustest.Checker]int{}
	for seed := range uint64(40) {
		faults := []consensustest.Fault{{Kind: consensustest.Twin, Nodes: []int{0, 1}},
			{Kind: consensustest.Partition, Nodes: []int{0, 1, 2}, To: 5 * time.Second}, {Kind: consensustest.Partition, Nodes: []int{4, 5, 3}, To: 5 * time.Second}}
		r, err := consensustest.Run(subject(), consensustest.Scenario{Seed: seed, Validators: 4, Every: 50 * time.Millisecond, Limit: 10 * time.Second, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure != nil {
			fired[r.Failure.Checker]++
		}
	}
	t.Logf("fired: %v", fired)
	if fired[consensustest.Agreement] < 20 {
		t.Errorf("two twins of four, in two halves: %v", fired)
	}
}

// TestFollower: a node that is no validator takes the blocks on the word of the validators.
func TestFollower(t *testing.T) {
	if r := run(t, consensustest.Scenario{Seed: 1, Validators: 3, Followers: 2, Heights: 10}); r.Learned < 20 {
		t.Errorf("two followers learned %d of 10 blocks each", r.Learned)
	}
}

// BenchmarkSchedules is how long a run takes.
func BenchmarkSchedules(b *testing.B) {
	for seed := range uint64(b.N) {
		if r, err := consensustest.Run(subject(), consensustest.Random(seed, 4, consensustest.CrashOnly)); err != nil || r.Failure != nil {
			b.Fatal(r.Failure, err)
		}
	}
}

// TestTranscripts plays testdata/*. Rewrite with `go test ./plugins/consensus/raft -rewrite`.
func TestTranscripts(t *testing.T) {
	consensustest.Transcripts(t, "testdata", func(config []byte) (sdk.Protocol, error) {
		c, err := raft.ParseConfig(config)
		return raft.New(c), err
	}, words)
}

// TestAnotherResult: a validator whose execution comes to other values than that of the others stops nothing, also when it leads.
func TestAnotherResult(t *testing.T) {
	for seed := range uint64(20) {
		run(t, consensustest.Scenario{Seed: seed, Validators: 4, Heights: 5, Every: 50 * time.Millisecond,
			Faults: []consensustest.Fault{{Kind: consensustest.Diverge, Nodes: []int{int(seed % 4)}}}})
	}
}

// forgetful is raft that persists nothing.
type forgetful struct{ *raft.Raft }

func (p forgetful) Step(e *ordov1.ConsensusEvent) (kept []*ordov1.Action) {
	for _, a := range p.Raft.Step(e) {
		if a.GetPersist() == nil {
			kept = append(kept, a)
		}
	}
	return kept
}

// TestForgettingForks: a validator that forgets its vote and its log in a crash lets two leaders be elected, or entries be lost that others have
// acknowledged.
func TestForgettingForks(t *testing.T) {
	c, _ := raft.ParseConfig(nil)
	s := subject()
	s.Begin = consensustest.InProcess(func() sdk.Protocol { return forgetful{raft.New(c)} }, nil).Begin
	fired := map[consensustest.Checker]int{}
	for seed := range uint64(60) {
		scenario := consensustest.Random(seed, 3, consensustest.CrashOnly)
		scenario.Faults = append(scenario.Faults, consensustest.Fault{Kind: consensustest.Crash, Nodes: []int{0, 1}, From: 400 * time.Millisecond, To: 401 * time.Millisecond})
		r, err := consensustest.Run(s, scenario)
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure != nil {
			fired[r.Failure.Checker]++
		}
	}
	t.Logf("fired: %v", fired)
	if fired[consensustest.Agreement] == 0 {
		t.Error("two leaders of one term forked nothing")
	}
}
