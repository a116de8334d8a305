package raft_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/plugins/consensus/raft"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// The test binary, called with this argument, is the plugin.
const serve = "serve-the-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serve {
		sdk.Serve(raft.Service())
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	process := conformance.Process(os.Args[0], serve)
	conformance.RunBase(t, process)
	conformance.RunConsensus(t, process) // the network over gRPC: TestOverGRPC
	s := conformance.InProcess(raft.Service)
	conformance.RunConsensus(t, s)
	s.Config = []byte(quick)
	conformance.RunConsensusNetwork(t, s)
}

// TestOverGRPC: a process gives what a function gives, to the byte, with many runs of it at once.
func TestOverGRPC(t *testing.T) {
	s := consensustest.Over(conformance.Process(os.Args[0], serve).Configured(t).Conn, false)
	s.Config, s.Words = []byte(quick), words
	consensustest.Explore(t, s, consensustest.Search{Count: max(10, *schedules/10), Parallel: 16, Scenario: func(seed uint64) consensustest.Scenario {
		return consensustest.Random(seed, 4, consensustest.CrashOnly)
	}})
	for seed := range uint64(5) {
		scenario := consensustest.Random(seed, 4, consensustest.CrashOnly)
		one, errOne := consensustest.Run(s, scenario)
		other, errOther := consensustest.Run(subject(), scenario)
		if errOne != nil || errOther != nil || one.Digest != other.Digest {
			t.Errorf("seed %d: %v, %v", seed, errOne, errOther)
		}
	}
}

// TestConfiguration: what makes no sense is refused with the key.
func TestConfiguration(t *testing.T) {
	for config, key := range map[string]string{
		`{"heartbeat_ms":500}`:                 "election_ms",
		`{"election_ms":100}`:                  "election_ms",
		`{"heartbeat_ms":0,"election_ms":100}`: "heartbeat_ms",
		`{"leader":1}`:                         "leader",
	} {
		if _, err := raft.ParseConfig([]byte(config)); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// TestSaysThatLiarsForkIt: the first line of a validator says what raft does not survive.
func TestSaysThatLiarsForkIt(t *testing.T) {
	c, _ := raft.ParseConfig(nil)
	p := raft.New(c)
	p.Step(sdk.Event(&sdk.Start{Height: 1, Self: []byte("a"), Validators: []*ordov1.Validator{{Key: []byte("a"), Power: 2}, {Key: []byte("b"), Power: 1}}}))
	said := ""
	for _, line := range p.Lines() {
		said += line.String() + "\n"
	}
	for _, want := range []string{"not validators that lie", "counts each of them as one"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %q", want, said)
		}
	}
	for _, name := range raft.Service().Describe().GetCapabilities() {
		if name == sdk.CapCertificates {
			t.Error("a term and an index prove nothing to a stranger")
		}
	}
}

// TestAnotherSet: a log of other validators is refused, and the reason says what to do.
func TestAnotherSet(t *testing.T) {
	c, _ := raft.ParseConfig(nil)
	one := raft.New(c)
	var state []byte
	for _, a := range one.Step(sdk.Event(&sdk.Start{Height: 1})) {
		if a.GetPersist().GetLasting() {
			state = a.GetPersist().GetData()
		}
	}
	if len(state) == 0 {
		t.Fatal("a validator alone has persisted nothing")
	}
	for name, record := range map[string][]byte{"of another set": state, "garbage": []byte("garbage")} {
		actions := raft.New(c).Step(sdk.Event(&sdk.Start{Height: 1, State: record, Self: []byte("a"), Validators: []*ordov1.Validator{{Key: []byte("a")}, {Key: []byte("b")}}}))
		if reason := actions[len(actions)-1].GetHalt().GetReason(); !strings.Contains(reason, "the data folder that belongs to its key") {
			t.Errorf("%s: %v", name, actions)
		}
	}
}
