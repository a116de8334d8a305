// Package malachite_test runs the plugin malachite, which is written in Rust, as a process: conformance, and networks in virtual time.
package malachite_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	"github.com/ordo-sequencer/ordo/test/need"
)

var schedules = flag.Int("schedules", 50, "random schedules; the long form is 2000")

// parallel is how many schedules run at once, each with Run streams of its own.
const parallel = 16

func plugin(t *testing.T) conformance.Subject {
	t.Helper()
	dir := need.Binaries(t)
	path := filepath.Join(dir, "plugins", "ordo-consensus-malachite")
	if _, err := os.Stat(path); err != nil {
		need.Absent(t, "no "+path, "run make test, or ORDO_MALACHITE=1 make build before go test")
	}
	return conformance.Process(path)
}

// subject is the plugin with the times of a quick network.
func subject(t *testing.T) consensustest.Subject {
	t.Helper()
	s := consensustest.Over(plugin(t).Configured(t).Conn, true)
	s.Config = []byte(`{"timeout_propose_ms":200,"timeout_prevote_ms":60,"timeout_precommit_ms":60,"resend_ms":120,"build_ms":100}`)
	return s
}

func TestConformance(t *testing.T) {
	s := plugin(t)
	conformance.RunBase(t, s)
	conformance.RunConsensus(t, s)
	conformance.RunConsensusNetwork(t, s)
}

// TestRandomSchedules: no fork, no double signature, and decisions after the faults, whatever the network does and one node of four. The long
// form is `-schedules 2000`.
func TestRandomSchedules(t *testing.T) {
	consensustest.Explore(t, subject(t), consensustest.Search{Count: *schedules, Parallel: parallel, Scenario: func(seed uint64) consensustest.Scenario {
		return consensustest.Random(seed, 4, consensustest.Byzantine)
	}})
}

// play runs a scenario that must not fail.
func play(t *testing.T, s consensustest.Subject, scenario consensustest.Scenario) *consensustest.Result {
	t.Helper()
	r, err := consensustest.Run(s, scenario)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		consensustest.Explain(t, s, r)
	}
	return r
}

// TestReplay: the same seed is the same run, to the byte, in another process too.
func TestReplay(t *testing.T) {
	one, other := subject(t), subject(t)
	for seed := range uint64(3) {
		scenario := consensustest.Random(seed, 4, consensustest.Byzantine)
		if first, again := play(t, one, scenario), play(t, other, scenario); first.Digest != again.Digest || first.Events != again.Events {
			t.Errorf("seed %d: %d and %d events, %s and %s", seed, first.Events, again.Events, first.Digest, again.Digest)
		}
	}
}

// TestRealSignatures: ed25519 in the place of the quick scheme of virtual time.
func TestRealSignatures(t *testing.T) {
	scenario := consensustest.Random(3, 4, consensustest.Byzantine)
	scenario.Scheme = sdk.SchemeEd25519
	play(t, subject(t), scenario)
}

// TestFollower: a node that is no validator takes the blocks on their certificates.
func TestFollower(t *testing.T) {
	if r := play(t, subject(t), consensustest.Scenario{Seed: 1, Validators: 4, Followers: 2, Heights: 10}); r.Learned < 20 {
		t.Errorf("two followers learned %d of 10 blocks each", r.Learned)
	}
}

// TestPowers: a validator with more than a third of the power can stop the chain, and two with less than a third together cannot.
func TestPowers(t *testing.T) {
	s := subject(t)
	away := []consensustest.Fault{{Kind: consensustest.Crash, Nodes: []int{0, 1}, From: 20 * time.Millisecond}}
	play(t, s, consensustest.Scenario{Seed: 1, Validators: 4, Powers: []uint64{1, 1, 3, 3}, Faults: away})
	r, err := consensustest.Run(s, consensustest.Scenario{Seed: 1, Validators: 4, Faults: away, Limit: 5 * time.Second})
	if err != nil || r.Failure == nil || r.Failure.Checker != consensustest.Liveness {
		t.Errorf("half of the power is away: %v, %v", r.Failure, err)
	}
}

// TestKnownBad: the checkers see this plugin too: more liars than it can stand fork it, and their evidence names them.
func TestKnownBad(t *testing.T) {
	s := subject(t)
	var faults []consensustest.Fault
	for _, line := range []string{"twin nodes=0,1", "partition nodes=0,1,2 to=5s", "partition nodes=4,5,3 to=5s"} {
		f, err := consensustest.ParseFault(line)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	for seed := range uint64(20) {
		r, err := consensustest.Run(s, consensustest.Scenario{Seed: seed, Validators: 4, Every: 50 * time.Millisecond, Limit: 10 * time.Second, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failure != nil && r.Failure.Checker == consensustest.Agreement {
			return
		}
	}
	t.Error("two twins of four do not fork it in 20 seeds")
}
