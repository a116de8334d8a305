package bridge

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// prepare finds what this node proposes: what it built before at this height, or something new.
func (m *Machine) prepare(in Prepare) {
	m.limit = in.MaxBytes
	if a := m.own; a != nil && a.asked < proposals && a.payload.Size() <= m.limit {
		m.propose(a)
		return
	}
	if m.open != nil && m.open.own { // of a call that waited too long
		m.state = building
		return
	}
	if m.pausing {
		m.answer(Answer{})
		return
	}
	wanted := in.Wanted || m.demand
	deadline := m.options.BuildMs
	if m.pending == 0 && !wanted {
		deadline = min(deadline, m.options.WaitMs)
	}
	m.build(&ordov1.Action_Build{DeadlineMs: deadline, IdleMs: m.options.IdleMs, AllowEmpty: wanted})
	if wanted {
		m.act(&ordov1.Action{Action: &ordov1.Action_Seal_{Seal: &ordov1.Action_Seal{Attempt: m.open.number}}})
	}
}

// build opens an attempt.
func (m *Machine) build(b *ordov1.Action_Build) {
	m.last++
	b.Attempt, b.Round = m.last, m.round
	m.open = &attempt{number: m.last, own: true}
	m.state, m.openLimit = building, b.GetMaxTransactions()
	m.act(&ordov1.Action{Action: &ordov1.Action_Build_{Build: b}})
}

// propose answers a Prepare.
func (m *Machine) propose(a *attempt) {
	a.asked++
	m.answer(Answer{Payload: a.payload})
}

func (m *Machine) built(e *ordov1.ConsensusEvent_Built) {
	a := m.open
	if a == nil || !a.own || e.GetAttempt() != a.number {
		return // of an attempt that was abandoned when it was built already
	}
	m.open = nil
	a.n, a.valid = e.GetN(), true
	a.payload = &block.Payload{Height: m.height, Value: e.GetValue(), Body: e.GetProposal()}
	m.own, m.pauseMs = a, 0
	m.known[keyOf(a.payload, m.self)] = a
	if m.state != building {
		return // it is there for the next call
	}
	if size := a.payload.Size(); size > m.limit {
		m.shrink(a, size)
		return
	}
	m.propose(a)
}

// shrink proposes the first part of a payload that does not fit into a block.
func (m *Machine) shrink(a *attempt, size int) {
	n := min(uint64(float64(a.n)*0.9*float64(m.limit)/float64(size)), a.n-1)
	if a.n == 0 || n == 0 {
		m.logf("a block of %d transactions takes %d bytes, CometBFT takes %d (max_block_bytes): it is not proposed", a.n, size, m.limit)
		m.own = nil
		m.pause()
		m.answer(Answer{})
		return
	}
	m.logf("a block of %d transactions takes %d bytes, CometBFT takes %d (max_block_bytes): its first %d are proposed", a.n, size, m.limit, n)
	m.build(&ordov1.Action_Build{ReuseAttempt: a.number, MaxTransactions: uint32(n), DeadlineMs: m.options.BuildMs})
}

func (m *Machine) failed(e *ordov1.ConsensusEvent_Failed) {
	a := m.open
	if a == nil || !a.own || e.GetAttempt() != a.number {
		return
	}
	m.open = nil
	if e.GetEmpty() {
		m.pending = 0 // else the core says Ready again
	} else {
		m.logf("height %d: the block could not be built: %s", m.height, e.GetReason())
		m.pause()
	}
	if m.state == building {
		m.answer(Answer{})
	}
}

// pause lets some time pass before this node wakes CometBFT again.
func (m *Machine) pause() {
	m.pausing = true
	m.pauseMs = min(max(2*m.pauseMs, firstPauseMs), lastPauseMs)
	m.act(&ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: &ordov1.Action_SetTimer{Id: timerRetry, AfterMs: m.pauseMs}}})
}

// process says whether a proposal is valid.
func (m *Machine) process(in Process) {
	p := in.Payload
	switch {
	case p == nil:
		m.answer(Answer{Accept: true})
	case p.Height != m.height:
		m.logf("a proposal of %x for height %d is rejected: height %d is next", in.From, p.Height, m.height)
		m.answer(Answer{})
	default:
		k := keyOf(p, in.From)
		if a := m.known[k]; a != nil && a.valid {
			m.answer(Answer{Accept: true})
			return
		}
		m.state = validating
		m.validate(k, p, in.From, false)
	}
}

// validate has the core execute a payload, unless it does so already. Of one that is decided the core compares nothing that its proposer
// could choose, so that a node which finds it wrong by its own clock or prices follows the others.
func (m *Machine) validate(k key, p *block.Payload, from []byte, decided bool) {
	if a := m.open; a != nil && !a.own && m.openKey == k { // verdict asks again when it was asked more strictly
		return
	}
	m.last++
	m.open, m.openKey = &attempt{number: m.last, decided: decided}, k
	m.act(&ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{
		Attempt: m.last, Round: m.round, Proposal: p.Body, Value: p.Value, From: from, Decided: decided}}})
}

func (m *Machine) verdict(e *ordov1.ConsensusEvent_Verdict) {
	a := m.open
	if a == nil || a.own || e.GetAttempt() != a.number {
		return
	}
	m.open = nil
	if a.valid = e.GetValid(); a.valid {
		m.known[m.openKey] = a
	}
	switch {
	case m.state == validating:
		if !a.valid {
			m.logf("a proposal for height %d is rejected: %s", m.height, e.GetReason())
		}
		m.answer(Answer{Accept: a.valid})
	case m.state == executing && a.valid:
		m.decide(a)
	case m.state == executing && !a.decided:
		m.logf("height %d is decided, and this node would have rejected it: %s", m.height, e.GetReason())
		m.validate(m.openKey, m.payload, m.from, true)
	case m.state == executing:
		m.halt(fmt.Sprintf("the validators decided block %d, and this node finds it invalid: %s: compare its version, configuration, clock and state with the other validators'",
			m.height, e.GetReason()))
	case !a.valid:
		m.logf("a proposal for height %d would be rejected, too late: %s", m.height, e.GetReason())
	}
}
