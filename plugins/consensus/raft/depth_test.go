package raft_test

import (
	"flag"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	"github.com/ordo-sequencer/ordo/test/virtual"
)

var deep = flag.Int("deep", 10, "random schedules with real machines and pools of the core")

// TestRealMachines: crashes and a bad network with real pipeline machines and pools around the protocol.
func TestRealMachines(t *testing.T) {
	consensustest.Explore(t, subject(), consensustest.Search{Count: *deep, Scenario: func(seed uint64) consensustest.Scenario {
		s := consensustest.Random(seed, 4, consensustest.CrashOnly)
		s.Core = virtual.Core
		return s
	}})
}
