package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
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

// faulty are protocols with a fault, and the conformance test that finds it.
var faulty = map[string]struct {
	found   string
	event   func(*ordov1.ConsensusEvent)
	actions func([]*ordov1.Action) []*ordov1.Action
}{
	"no-resend": {"network:_lost_messages", func(e *ordov1.ConsensusEvent) {
		if timer := e.GetTimer(); timer.GetId() == tick {
			timer.Id = 0
		}
	}, nil},
	"no-persist": {"network:_crash_at_every_event", nil, without(func(a *ordov1.Action) bool { return a.GetPersist() != nil })},
}

// TestConformanceFindsFaults: a plugin that does not send again, or forgets its votes, does not pass.
func TestConformanceFindsFaults(t *testing.T) {
	if fault, ok := faulty[os.Getenv("FAULTY")]; ok {
		s := conformance.InProcess(func() *sdk.Service {
			return sdk.ServeProtocol(sdk.Description{Name: "faulty", Capabilities: []string{sdk.CapNetwork}, ConfigSchema: schema}, certificates{},
				func() sdk.Protocol { return altered{newTendermint(inTurn), fault.event, fault.actions} })
		})
		s.Config = subject().Config
		conformance.RunConsensusNetwork(t, s)
		return
	}
	for name, fault := range faulty {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestConformanceFindsFaults$/consensus/"+fault.found+"$")
			cmd.Env = append(os.Environ(), "FAULTY="+name)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--- FAIL: TestConformanceFindsFaults/consensus/"+fault.found) {
				t.Errorf("it passes: %v\n%.2000s", err, out)
			}
		})
	}
}
