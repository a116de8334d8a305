package pipeline

import (
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// tellBuilt tells consensus the value of an attempt. Of a carried one it has not asked yet.
func (m *Machine) tellBuilt(a *attempt) {
	if a == m.carried {
		return
	}
	told := &ordov1.ConsensusEvent_Built{Attempt: a.id, Value: a.value(), N: uint64(len(a.items))}
	items := a.order
	if a.agreed != nil {
		told.N = uint64(len(items))
	} else {
		items = a.block.items
	}
	if m.capabilities.proposals || a.publish {
		// What was rejected here makes a proposal invalid there.
		proposal := &ordov1.Proposal{Context: a.context, N: uint64(len(items))}
		if a.agreed != nil {
			proposal.ParentResult = m.parentResult()
		}
		for _, item := range items {
			proposal.Transactions = append(proposal.Transactions, item.Tx)
			if item.Class != nil {
				proposal.Classes = append(proposal.Classes, item.Class)
			}
		}
		body, _ := proto.Marshal(proposal) // fails only on invalid UTF-8 in a string field, and those are ours
		if a.publish {
			if why := m.keep(told.Value, body); why != "" {
				m.becomeFailed(a)
				m.tellFailed(a, why, false)
				return
			}
			m.emit(Publish{m.height, a.round, told.Value, body})
		} else {
			told.Proposal = body
		}
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: told}})
}

// verdict tells consensus whether a proposal is good.
func (m *Machine) verdict(a *attempt, valid bool, reason string) {
	v := &ordov1.ConsensusEvent_Verdict{Attempt: a.id, Valid: valid, Reason: reason, Value: a.value()}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: v}})
}

// rejectProposal ends the attempt of a peer's proposal with a verdict.
func (m *Machine) rejectProposal(a *attempt, reason string) {
	m.becomeAbandoned(a)
	m.becomeFailed(a)
	m.verdict(a, false, reason)
}

// missProposal ends the attempt of a proposal whose body no peer has.
func (m *Machine) missProposal(a *attempt) {
	m.becomeAbandoned(a)
	m.missing(a, "no peer has the body of the proposal")
}

// fail ends an attempt without a value, and without a word on whether the proposal was good.
func (m *Machine) fail(a *attempt, reason string, empty bool) {
	asked := a != m.carried
	m.becomeAbandoned(a)
	m.becomeFailed(a)
	m.consensus.announced = false // what it had taken is ready once more
	if asked {
		m.tellFailed(a, reason, empty)
	}
}

func (m *Machine) tellFailed(a *attempt, reason string, empty bool) {
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: a.id, Reason: reason, Empty: empty}}})
}
