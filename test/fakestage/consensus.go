package fakestage

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Consensus answers each event by a function, which makes a test a script.
type Consensus struct {
	ordov1.UnimplementedConsensusServer
	Step func(*ordov1.ConsensusEvent) []*ordov1.Action
}

// Run implements ordov1.ConsensusServer.
func (c *Consensus) Run(stream ordov1.Consensus_RunServer) error {
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&ordov1.Actions{Seq: event.Seq, Actions: c.Step(event)}); err != nil {
			return err
		}
	}
}

// Build is the action.
func Build(b *ordov1.Action_Build) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Build_{Build: b}}
}

// Seal is the action.
func Seal(attempt uint64) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: attempt}}}
}

// Decide is the action.
func Decide(attempt uint64, value []byte) *ordov1.Action {
	return &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: attempt, Value: value}}}
}

// Solo is the step of a consensus of one: it builds when there is something and when asked, and decides at once.
func Solo() func(*ordov1.ConsensusEvent) []*ordov1.Action {
	attempt, building, again := uint64(0), false, false
	build := func(empty bool) []*ordov1.Action {
		attempt++
		building = true
		actions := []*ordov1.Action{Build(&ordov1.Action_Build{Attempt: attempt, IdleMs: 2, DeadlineMs: 500, AllowEmpty: empty})}
		if empty {
			actions = append(actions, Seal(attempt))
		}
		return actions
	}
	return func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		switch e := event.Event.(type) {
		case *ordov1.ConsensusEvent_Ready_:
			if !building {
				return build(false)
			}
		case *ordov1.ConsensusEvent_CreateBlock_:
			if !building {
				return build(true)
			}
			again = true
		case *ordov1.ConsensusEvent_Built_:
			return []*ordov1.Action{Decide(e.Built.Attempt, e.Built.Value)}
		case *ordov1.ConsensusEvent_Decided_, *ordov1.ConsensusEvent_Failed_:
			building = false
			if again {
				again = false
				return build(true)
			}
		}
		return nil
	}
}
