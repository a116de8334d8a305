package main

import (
	"os"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
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
