package main

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	"github.com/ordo-sequencer/ordo/sdk/vote"
)

var schedules = flag.Int("schedules", 150, "random schedules for each number of validators")

func subject() consensustest.Subject {
	s := consensustest.InProcess(func() sdk.Protocol { return newTendermint(inTurn) }, certificates{})
	s.Config = []byte(`{"block_ms":150,"timeout_ms":60,"delta_ms":40,"resend_ms":120}`)
	s.Words = words
	return s
}

// words shows a message in a transcript.
func words(message []byte) string {
	list, err := vote.Read(message)
	if err != nil {
		return err.Error()
	}
	text := ""
	for _, v := range list {
		id := v.Text
		if v.Kind == proposal && len(id) >= 4 {
			id = id[4:]
		}
		text += fmt.Sprintf("[%s of %d h=%d r=%d %.4x]", [...]string{"", "proposal", "prevote", "precommit"}[v.Kind%4], v.Signer, v.Height, v.Round, id)
	}
	return text
}

// TestRandomSchedules: no fork, no double signature, and decisions after the faults, whatever the network does and a third of the nodes.
// The long form is `-schedules 10000`.
func TestRandomSchedules(t *testing.T) {
	for _, n := range []int{4, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			consensustest.Explore(t, subject(), consensustest.Search{Count: *schedules, Scenario: func(seed uint64) consensustest.Scenario {
				return consensustest.Random(seed, n, consensustest.Byzantine)
			}})
		})
	}
}

// run plays a scenario that must not fail.
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

// TestReplay: the same seed is the same run, to the byte.
func TestReplay(t *testing.T) {
	for seed := range uint64(10) {
		s := consensustest.Random(seed, 4, consensustest.Byzantine)
		one, other := run(t, s), run(t, s)
		if one.Digest != other.Digest || one.Events != other.Events {
			t.Errorf("seed %d: %d and %d events, %s and %s", seed, one.Events, other.Events, one.Digest, other.Digest)
		}
		s.Seed += 1000
		if run(t, s).Digest == one.Digest {
			t.Errorf("seeds %d and %d are the same run", seed, s.Seed)
		}
	}
}

// TestRealSignatures: ed25519 in the place of the quick scheme of virtual time.
func TestRealSignatures(t *testing.T) {
	s := consensustest.Random(3, 4, consensustest.Byzantine)
	s.Scheme = sdk.SchemeEd25519
	run(t, s)
}

// TestFollower: a node that is no validator takes the blocks on their certificates.
func TestFollower(t *testing.T) {
	if r := run(t, consensustest.Scenario{Seed: 1, Validators: 4, Followers: 2, Heights: 10}); r.Learned < 20 {
		t.Errorf("two followers learned %d of 10 blocks each", r.Learned)
	}
}

// TestPowers: a validator with more than a third of the power can stop the chain, and two with less than a third together cannot.
func TestPowers(t *testing.T) {
	away := []consensustest.Fault{{Kind: consensustest.Crash, Nodes: []int{0, 1}, From: 20 * time.Millisecond}}
	run(t, consensustest.Scenario{Seed: 1, Validators: 4, Powers: []uint64{1, 1, 3, 3}, Faults: away})
	r, err := consensustest.Run(subject(), consensustest.Scenario{Seed: 1, Validators: 4, Faults: away, Limit: 5 * time.Second})
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Liveness {
		t.Errorf("half of the power is away: %v, %v", r.Failure, err)
	}
}

// TestLostBodies: a core that loses the bodies of proposals in a crash loses the height, when all that are locked on a block crash at once.
func TestLostBodies(t *testing.T) {
	s := consensustest.Scenario{Seed: 1, Validators: 4, Every: 50 * time.Millisecond, Limit: 5 * time.Second, Faults: faults(t,
		"drop from=62ms to=90ms rate=1", "crash from=80ms to=90ms nodes=0,1,2,3")}
	stuck := 0
	for s.Seed = range uint64(20) {
		s.ForgetBodies = false
		run(t, s)
		s.ForgetBodies = true
		if r, err := consensustest.Run(subject(), s); err != nil || r.Failure != nil {
			stuck++
		}
	}
	t.Logf("%d of 20 runs do not go on", stuck)
	if stuck == 0 {
		t.Error("bodies were lost by all, and every run went on")
	}
}

// TestSmallestFaults: of the faults of a failed run only those stay that matter.
func TestSmallestFaults(t *testing.T) {
	noise := faults(t, "jitter to=1s amount=3ms", "twin nodes=0,1", "slowdisk to=1s amount=2ms nodes=3", "partition nodes=0,1,2 to=5s", "partition nodes=4,5,3 to=5s", "repeat to=1s rate=0.1 amount=5ms")
	failed, err := consensustest.Run(subject(), consensustest.Scenario{Seed: 1, Validators: 4, Faults: noise})
	if err != nil || failed.Failure == nil {
		t.Fatal(failed, err)
	}
	small := consensustest.Shrink(subject(), failed)
	if small.Failure.Checker != consensustest.Agreement || len(small.Scenario.Faults) > 3 || small.Transcript(0) == "" {
		t.Errorf("%v\n%v", small.Failure, small.Scenario)
	}
}

// BenchmarkSchedules is how long a run takes: five clean blocks of four validators, and random schedules.
func BenchmarkSchedules(b *testing.B) {
	for name, scenario := range map[string]func(seed uint64) consensustest.Scenario{
		"clean": func(seed uint64) consensustest.Scenario {
			return consensustest.Scenario{Seed: seed, Validators: 4, Heights: 5}
		},
		"random/4": func(seed uint64) consensustest.Scenario {
			return consensustest.Random(seed, 4, consensustest.Byzantine)
		},
		"random/7": func(seed uint64) consensustest.Scenario {
			return consensustest.Random(seed, 7, consensustest.Byzantine)
		},
	} {
		b.Run(name, func(b *testing.B) {
			events := 0
			for seed := range uint64(b.N) {
				r, err := consensustest.Run(subject(), scenario(seed))
				if err != nil || r.Failure != nil {
					b.Fatal(r.Failure, err)
				}
				events += r.Events
			}
			b.ReportMetric(float64(events)/float64(b.N), "events/op")
		})
	}
}
