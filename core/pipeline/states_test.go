package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

var allStates = []state{checking, held, interrupted, paused, running, full, closing, hashing, built, failed, abandoned}

// TestTransitionsAreChecked: each becomeX is possible from the states that it lists and a fault from any other.
func TestTransitionsAreChecked(t *testing.T) {
	for _, test := range []struct {
		name   string
		from   []state
		become func(*Machine, *attempt)
	}{
		{"checking", []state{held}, (*Machine).becomeChecking},
		{"held", []state{checking}, (*Machine).becomeHeld},
		{"running", []state{held, interrupted}, (*Machine).becomeRunning},
		{"full", []state{running, full}, (*Machine).becomeFull},
		{"closing", []state{running, full}, func(m *Machine, a *attempt) { m.becomeClosing(a, 0) }},
		{"hashing", []state{closing}, func(m *Machine, a *attempt) { m.becomeHashing(a, &ordov1.BuildResponse_Closed{}) }},
		{"built", []state{hashing}, func(m *Machine, a *attempt) { m.becomeBuilt(a, &ordov1.BlockHeader{}) }},
		{"ordered", []state{held}, func(m *Machine, a *attempt) { m.becomeOrdered(a, []byte("order")) }},
		{"interrupted", []state{running, full, closing}, (*Machine).becomeInterrupted},
		{"paused", []state{interrupted}, func(m *Machine, a *attempt) { m.becomePaused(a, 1) }},
		{"unpaused", []state{paused}, (*Machine).becomeUnpaused},
		{"failed", []state{abandoned, built}, (*Machine).becomeFailed},
		{"abandoned", allStates, (*Machine).becomeAbandoned},
		{"taken over", []state{running, full}, func(m *Machine, a *attempt) { m.becomeTakenOver(a, 0) }},
	} {
		for _, from := range allStates {
			m, _ := New(Options{Template: template}, mempool.New(mempool.Options{}), 1000, Head{})
			a := m.newAttempt(&poolSource{}, 0)
			a.state, a.block = from, &block{}
			test.become(m, a)
			if lawful := slices.Contains(test.from, from); lawful != (m.fault == nil) {
				t.Errorf("%s becomes %s: fault %v", from, test.name, m.fault)
			}
			if m.fault != nil {
				if _, err := m.Step(1000, PoolChanged{}); err == nil || !strings.Contains(err.Error(), "restart it") {
					t.Errorf("%s becomes %s: Step returns %v", from, test.name, err)
				}
			}
		}
	}
}
