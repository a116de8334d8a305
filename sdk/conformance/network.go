package conformance

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ConsensusNetwork is what docs/spec/consensus.md asks of a hosted protocol with the capability network, in virtual time: four validators are
// Run streams of one plugin. No node lies. What a protocol that claims to stand liars has to pass is its author's to say, with sdk/consensustest.
var ConsensusNetwork = map[string]func(*testing.T, Subject){
	"network: four validators decide":       networkDecides,
	"network: one validator decides":        networkAlone,
	"network: lost messages":                networkLost,
	"network: repeated and stale messages":  networkRepeated,
	"network: foreign messages":             networkForeign,
	"network: refused signatures":           networkRefused,
	"network: goes on when others decide":   networkLearned,
	"network: restart at every event":       networkRestarts,
	"network: crash at every event":         networkCrashes,
	"network: two Run streams at once":      networkStreams,
	"network: replays exactly":              networkReplay,
	"network: random schedules of crashes":  networkRandom,
	"network: answers that take their time": networkLate,
}

// RunConsensusNetwork runs ConsensusNetwork over a subject.
func RunConsensusNetwork(t *testing.T, s Subject) { run(t, "consensus", ConsensusNetwork, s) }

// hosted starts the plugin and gives its Run streams to consensustest.
func hosted(t *testing.T, s Subject) consensustest.Subject {
	t.Helper()
	i := s.Configured(t)
	d, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(d.GetCapabilities(), sdk.CapNetwork) {
		t.Skipf("the plugin has no capability %s", sdk.CapNetwork)
	}
	if slices.Contains(d.GetCapabilities(), sdk.CapEngine) {
		t.Skip("an engine has a network of its own")
	}
	subject := consensustest.Over(i.Conn, slices.Contains(d.GetCapabilities(), sdk.CapCertificates))
	subject.Config = s.Config
	if subject.Config == nil {
		subject.Config = []byte("{}")
	}
	return subject
}

// play runs a scenario of four validators and fails the test when a checker fires.
func play(t *testing.T, subject consensustest.Subject, seed uint64, faults ...consensustest.Fault) *consensustest.Result {
	t.Helper()
	r, err := consensustest.Run(subject, consensustest.Scenario{Seed: seed, Validators: 4, Heights: 2, Every: 50 * time.Millisecond, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		consensustest.Explain(t, subject, r)
	}
	return r
}

const second = time.Second

func networkDecides(t *testing.T, s Subject) { play(t, hosted(t, s), 1) }

func networkAlone(t *testing.T, s Subject) {
	subject := hosted(t, s)
	r, err := consensustest.Run(subject, consensustest.Scenario{Seed: 1, Validators: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		consensustest.Explain(t, subject, r)
	}
}

func networkLost(t *testing.T, s Subject) {
	subject := hosted(t, s)
	for seed := range uint64(4) {
		play(t, subject, seed, consensustest.Fault{Kind: consensustest.Drop, Rate: 0.3, To: second})
	}
}

func networkRepeated(t *testing.T, s Subject) {
	subject := hosted(t, s)
	for seed := range uint64(3) {
		play(t, subject, seed, consensustest.Fault{Kind: consensustest.Repeat, Rate: 0.5, Amount: second / 5, To: second},
			consensustest.Fault{Kind: consensustest.Stale, Rate: 0.5, To: second},
			consensustest.Fault{Kind: consensustest.Reorder, Rate: 0.5, Amount: second / 10, To: second})
	}
}

func networkForeign(t *testing.T, s Subject) {
	subject := hosted(t, s)
	for seed := range uint64(3) {
		play(t, subject, seed, consensustest.Fault{Kind: consensustest.Corrupt, Rate: 0.5, To: second})
	}
}

func networkRefused(t *testing.T, s Subject) {
	subject := hosted(t, s)
	play(t, subject, 1, consensustest.Fault{Kind: consensustest.Refuse, Nodes: []int{1}, To: second})
}

func networkLearned(t *testing.T, s Subject) {
	subject := hosted(t, s)
	for node := range 4 {
		r := play(t, subject, 1, consensustest.Fault{Kind: consensustest.Crash, Nodes: []int{node}, From: second / 10, To: 3 * second})
		if r.Height > 3 && r.Learned == 0 {
			t.Errorf("node %d was away for 3 s, and no node learned a block: the scenario tests nothing", node)
		}
	}
}

// events are the events of a node up to which it is restarted at each; at each of the first, every node crashes once, since they do different things.
const (
	events   = 40
	eachNode = 16
)

func networkRestarts(t *testing.T, s Subject) { atEvery(t, s, consensustest.Restart, 0) }

func networkCrashes(t *testing.T, s Subject) { atEvery(t, s, consensustest.Crash, 20*time.Millisecond) }

func atEvery(t *testing.T, s Subject, kind consensustest.Kind, away time.Duration) {
	subject := hosted(t, s)
	for k := 1; k <= events; k++ {
		nodes := []int{k % 4}
		if k <= eachNode && kind == consensustest.Crash {
			nodes = []int{0, 1, 2, 3}
		}
		for _, node := range nodes {
			play(t, subject, uint64(k), consensustest.Fault{Kind: kind, Nodes: []int{node}, Event: k, To: away})
		}
	}
}

func networkStreams(t *testing.T, s Subject) {
	subject := hosted(t, s)
	var want [4]string
	for k := range want {
		want[k] = play(t, subject, uint64(k)).Digest
	}
	var runs sync.WaitGroup
	got := make([]string, len(want))
	for k := range got {
		runs.Go(func() {
			r, err := consensustest.Run(subject, consensustest.Scenario{Seed: uint64(k), Validators: 4, Heights: 2, Every: 50 * time.Millisecond})
			if got[k] = fmt.Sprint(err); err == nil {
				got[k] = r.Digest
			}
		})
	}
	runs.Wait()
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("run %d of 4 at once is %s, and was %s by itself", k, got[k], want[k])
		}
	}
}

func networkReplay(t *testing.T, s Subject) {
	subject := hosted(t, s)
	faults := []consensustest.Fault{{Kind: consensustest.Drop, Rate: 0.2, To: second}, {Kind: consensustest.Crash, Nodes: []int{2}, From: second / 10, To: second / 2}}
	if one, other := play(t, subject, 9, faults...), play(t, subject, 9, faults...); one.Digest != other.Digest {
		t.Errorf("the same events got other actions: %d and %d events, digests %s and %s", one.Events, other.Events, one.Digest, other.Digest)
	}
}

func networkRandom(t *testing.T, s Subject) {
	consensustest.Explore(t, hosted(t, s), consensustest.Search{Count: 20, Scenario: func(seed uint64) consensustest.Scenario {
		return consensustest.Random(seed, 4, consensustest.CrashOnly)
	}})
}

func networkLate(t *testing.T, s Subject) {
	play(t, hosted(t, s), 1, consensustest.Fault{Kind: consensustest.Late, Amount: 20 * time.Millisecond, To: second})
}
