package main

import (
	"os"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
)

// The test binary, called with this argument, is the plugin.
const serve = "serve-the-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serve {
		sdk.Serve(service())
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	conformance.RunBase(t, conformance.Process(os.Args[0], serve))
	s := conformance.InProcess(service)
	conformance.RunConsensus(t, s)
	s.Config = subject().Config
	conformance.RunConsensusNetwork(t, s)
}

// TestOverGRPC: the same schedules with the plugin in a process of its own, many runs of it at once.
func TestOverGRPC(t *testing.T) {
	s := consensustest.Over(conformance.Process(os.Args[0], serve).Configured(t).Conn, true)
	s.Config, s.Words = subject().Config, words
	consensustest.Explore(t, s, consensustest.Search{Count: max(20, *schedules/10), Parallel: 16, Scenario: func(seed uint64) consensustest.Scenario {
		return consensustest.Random(seed, 4, consensustest.Byzantine)
	}})
	for seed := range uint64(5) { // a process gives what a function gives, to the byte
		scenario := consensustest.Random(seed, 4, consensustest.Byzantine)
		one, errOne := consensustest.Run(s, scenario)
		other, errOther := consensustest.Run(subject(), scenario)
		if errOne != nil || errOther != nil || one.Digest != other.Digest {
			t.Errorf("seed %d: %v, %v", seed, errOne, errOther)
		}
	}
}
