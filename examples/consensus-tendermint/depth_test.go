package main

import (
	"flag"
	"fmt"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	"github.com/ordo-sequencer/ordo/test/virtual"
)

var deep = flag.Int("deep", 40, "random schedules with real machines and pools, for each number of validators")

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
