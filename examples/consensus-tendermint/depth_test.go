package main

import (
	"flag"
	"fmt"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	"github.com/ordo-sequencer/ordo/test/virtual"
)

var deep = flag.Int("deep", 25, "random schedules with real machines and pools, for each number of validators")

// TestRealMachines: the same over pipeline machines and pools of the core; besides, what was admitted is in one block, or waits. The long form
// is `-deep 5000`.
func TestRealMachines(t *testing.T) {
	realMachines(t, *deep, virtual.Core)
}

// TestRealMachinesLazily: the same where orders are decided, and executed then, with half as many schedules.
func TestRealMachinesLazily(t *testing.T) {
	realMachines(t, (*deep+1)/2, virtual.LazyCore)
}

func realMachines(t *testing.T, count int, core func(*consensustest.Host) consensustest.Core) {
	for _, n := range []int{4, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			consensustest.Explore(t, subject(), consensustest.Search{Count: count, Scenario: func(seed uint64) consensustest.Scenario {
				s := consensustest.Random(seed, n, consensustest.Byzantine)
				s.Core = core
				return s
			}})
		})
	}
}

// TestRealMachinesReplay: the same seed is the same run with real machines, too.
func TestRealMachinesReplay(t *testing.T) {
	for seed := range uint64(5) {
		s := consensustest.Random(seed, 4, consensustest.Byzantine)
		s.Core = virtual.Core
		if one, other := run(t, s), run(t, s); one.Digest != other.Digest || one.Events != other.Events {
			t.Errorf("seed %d: %d and %d events, %s and %s", seed, one.Events, other.Events, one.Digest, other.Digest)
		}
	}
}

// TestRealMachinesLearn: a node that was away takes the blocks on their certificates, and so does a follower.
func TestRealMachinesLearn(t *testing.T) {
	s := consensustest.Scenario{Seed: 1, Validators: 4, Followers: 1, Heights: 10, Core: virtual.Core, Faults: faults(t, "crash from=50ms to=2s nodes=2")}
	if r := run(t, s); r.Learned < 15 {
		t.Errorf("a follower and a node that was away learned %d blocks", r.Learned)
	}
}
