package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/virtual"
)

// altered is a protocol with a fault: it changes what Step gets and what it answers.
type altered struct {
	*tendermint
	event   func(*ordov1.ConsensusEvent)
	actions func([]*ordov1.Action) []*ordov1.Action
}

func (a altered) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	if a.event != nil {
		a.event(event)
	}
	actions := a.tendermint.Step(event)
	if a.actions != nil {
		actions = a.actions(actions)
	}
	return actions
}

func alter(event func(*ordov1.ConsensusEvent), actions func([]*ordov1.Action) []*ordov1.Action) consensustest.Subject {
	s := consensustest.InProcess(func() sdk.Protocol { return altered{newTendermint(inTurn), event, actions} }, certificates{})
	s.Config, s.Words = subject().Config, words
	return s
}

// without drops the actions for which drop says so.
func without(drop func(*ordov1.Action) bool) func([]*ordov1.Action) []*ordov1.Action {
	return func(actions []*ordov1.Action) (kept []*ordov1.Action) {
		for _, a := range actions {
			if !drop(a) {
				kept = append(kept, a)
			}
		}
		return kept
	}
}

func forgetful() consensustest.Subject {
	return alter(nil, without(func(a *ordov1.Action) bool { return a.GetPersist() != nil }))
}

func faults(t *testing.T, lines ...string) (list []consensustest.Fault) {
	t.Helper()
	for _, line := range lines {
		f, err := consensustest.ParseFault(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// trusting verifies every certificate.
type trusting struct{}

func (trusting) Verify(*ordov1.VerifyRequest) error { return nil }

// TestKnownBad: each checker fires in a run that it is there for.
func TestKnownBad(t *testing.T) {
	crashes := []string{"cut from=0s to=100ms nodes=1", "crash from=62ms to=65ms nodes=1"} // the proposer of block 1 has signed, and no other knows
	credulous := subject()
	credulous.Verify = trusting{}.Verify
	slander := alter(nil, func(actions []*ordov1.Action) []*ordov1.Action {
		return append(actions, sdk.Action(&ordov1.Action_Report{Kind: "double-vote", About: make([]byte, 32)}))
	})
	stops := alter(nil, func(actions []*ordov1.Action) []*ordov1.Action {
		for i, a := range actions {
			if a.GetDecide() != nil {
				actions[i] = sdk.Action(&ordov1.Action_Halt{Reason: "a test"})
			}
		}
		return actions
	})
	hasty := alter(nil, func(actions []*ordov1.Action) []*ordov1.Action {
		for i, a := range actions {
			if v := a.GetValidate(); v != nil {
				actions[i] = sdk.Action(&ordov1.Action_Decide{Attempt: v.GetAttempt(), Value: v.GetValue()})
			}
		}
		return actions
	})
	silent := alter(func(e *ordov1.ConsensusEvent) {
		if timer := e.GetTimer(); timer.GetId() == tick {
			timer.Id = 0
		}
	}, nil)

	for _, c := range []struct {
		name     string
		subject  consensustest.Subject
		faults   []string
		no       bool // guard
		checkers []consensustest.Checker
	}{
		{"two twins of four", subject(), []string{"twin nodes=0,1", "partition nodes=0,1,2 to=5s", "partition nodes=4,5,3 to=5s"}, false, []consensustest.Checker{consensustest.Agreement}},
		{"nothing is persisted", forgetful(), crashes, false, []consensustest.Checker{consensustest.DoubleSign}},
		{"nothing is persisted, and no guard", forgetful(), crashes, true, []consensustest.Checker{consensustest.DoubleSign}},
		{"a hidden twin", subject(), []string{"twin nodes=2 hidden", "partition nodes=0,2 to=1s"}, false, []consensustest.Checker{consensustest.DoubleSign, consensustest.Evidence}},
		{"one node with another result", subject(), []string{"diverge nodes=3 hidden"}, false, []consensustest.Checker{consensustest.Validity, consensustest.Liveness}}, // the real core stays behind
		{"no resend", silent, []string{"drop rate=0.3 to=1s"}, false, []consensustest.Checker{consensustest.Liveness}},
		{"certificates prove nothing", credulous, nil, false, []consensustest.Checker{consensustest.Certificate}},
		{"evidence about no validator", slander, nil, false, []consensustest.Checker{consensustest.Evidence}},
		{"it halts", stops, nil, false, []consensustest.Checker{consensustest.Halted}},
		{"it decides what is not validated", hasty, nil, false, []consensustest.Checker{consensustest.ProtocolFault}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fired := map[consensustest.Checker]int{}
			for seed := range uint64(30) {
				s := consensustest.Scenario{Seed: seed, Validators: 4, Every: 50 * time.Millisecond, Limit: 10 * time.Second, NoGuard: c.no, Faults: faults(t, c.faults...)}
				if seed >= 20 && !c.no {
					s.Core = virtual.Core
				}
				r, err := consensustest.Run(c.subject, s)
				if err != nil {
					t.Fatal(err)
				}
				if r.Failure != nil {
					fired[r.Failure.Checker]++
				}
			}
			t.Logf("fired: %v", fired)
			good := 0
			for _, checker := range c.checkers {
				good += fired[checker]
			}
			if good == 0 {
				t.Errorf("none of %v fired in 30 seeds", c.checkers)
			}
			for checker := range fired {
				if !strings.Contains(" "+joined(c.checkers)+" ", " "+string(checker)+" ") {
					t.Errorf("%s fired", checker)
				}
			}
		})
	}
}

func joined(list []consensustest.Checker) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = string(c)
	}
	return strings.Join(words, " ")
}
