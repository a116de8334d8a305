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
	for _, n := range []int{4, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			consensustest.Explore(t, subject(), consensustest.Search{Count: *deep, Scenario: func(seed uint64) consensustest.Scenario {
				s := consensustest.Random(seed, n, consensustest.Byzantine)
				s.Core = virtual.Core
				return s
			}})
		})
	}
}
