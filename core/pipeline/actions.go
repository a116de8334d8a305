package pipeline

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// handleActions carries out what consensus wants. It answers each event once, in order.
func (m *Machine) handleActions(actions *ordov1.Actions) error {
	c := &m.consensus
	if unasked := actions.Seq == 0 && m.capabilities.engine; !unasked {
		if actions.Seq != c.answered+1 || actions.Seq > c.seq {
			return fmt.Errorf("pipeline: consensus: answer to event %d, but event %d is next of %d sent: the consensus plugin is broken", actions.Seq, c.answered+1, c.seq)
		}
		c.answered++
	}
	if c.answered < c.learned {
		for _, action := range actions.Actions {
			m.runTimer(action)
		}
		return nil
	}
	for _, action := range actions.Actions {
		if action.GetSign() != nil {
			c.signing++
		}
	}
	c.todo = append(c.todo, actions.Actions...)
	return m.runActions()
}

// runActions carries out actions up to the next barrier.
func (m *Machine) runActions() error {
	for len(m.consensus.todo) > 0 && !m.barrier() {
		action := m.consensus.todo[0]
		m.consensus.todo = m.consensus.todo[1:]
		if err := m.runAction(action); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) runAction(action *ordov1.Action) error {
	if m.runTimer(action) {
		return nil
	}
	switch a := action.Action.(type) {
	case *ordov1.Action_Build_:
		return m.onBuild(a.Build)
	case *ordov1.Action_Seal_:
		return m.seal(a.Seal.Attempt)
	case *ordov1.Action_Abandon_:
		m.abandon(a.Abandon.Attempt)
	case *ordov1.Action_Validate_:
		return m.validate(a.Validate)
	case *ordov1.Action_Decide_:
		return m.decide(a.Decide)
	case *ordov1.Action_Send_:
		if len(a.Send.Data) > MaxSend {
			return fmt.Errorf("pipeline: consensus: send: a message of %d bytes, at most %d can be sent: the consensus plugin is broken", len(a.Send.Data), MaxSend)
		}
		m.emit(Send{a.Send.To, a.Send.Data})
	case *ordov1.Action_Persist_:
		kind := recordWrite
		if a.Persist.Lasting {
			kind = lastingWrite
		}
		m.write(write{kind: kind, data: a.Persist.Data})
	case *ordov1.Action_Sign_:
		m.sign(a.Sign)
	case *ordov1.Action_Report_:
		m.emit(Report{a.Report.Kind, a.Report.About, a.Report.Data})
	case *ordov1.Action_Halt_:
		return fmt.Errorf("pipeline: consensus: halt: %s", a.Halt.Reason)
	default:
		return fmt.Errorf("pipeline: consensus: an action without content: the consensus plugin is broken or newer than this node")
	}
	return nil
}

// MaxSend is the most bytes of a message of consensus.
const MaxSend = 1 << 20

// register registers an attempt as the open one and abandons the one that was open.
func (m *Machine) register(id uint64, s source, round uint32) (*attempt, error) {
	if m.attempts[id] != nil {
		return nil, fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", id, m.height)
	}
	if m.open != nil {
		m.becomeAbandoned(m.open)
	}
	a := m.newAttempt(s, round)
	a.id, m.attempts[id] = id, a
	m.open = a
	return a, nil
}

func (m *Machine) newAttempt(s source, round uint32) *attempt {
	m.builds++
	return &attempt{build: m.builds, lease: m.builds, round: round, state: held, source: s}
}

func (m *Machine) onBuild(b *ordov1.Action_Build) error {
	if b.ReuseAttempt != 0 {
		old := m.attempts[b.ReuseAttempt]
		if old == nil {
			return fmt.Errorf("pipeline: consensus: build: height %d has no attempt %d to reuse: the consensus plugin is broken", m.height, b.ReuseAttempt)
		}
		return m.repropose(old, b)
	}
	if m.carried != nil {
		if taken, err := m.resumeCarried(b); taken || err != nil {
			return err
		}
	}
	// What an earlier attempt of this height still has leased, closed or not, is free again: this one starts from the same pool.
	for _, earlier := range m.attempts {
		if earlier.state == built {
			m.pool.Rewind(earlier.lease, 0)
		}
	}
	a, err := m.register(b.Attempt, &poolSource{limit: int(b.MaxTransactions), allowEmpty: b.AllowEmpty}, b.Round)
	if err != nil {
		return err
	}
	a.timers.deadlineMs, a.timers.idleMs, a.publish = b.DeadlineMs, b.IdleMs, b.Publish
	return nil
}

// repropose proposes the transactions of an earlier attempt again, in its context, so that the same n is the same block.
func (m *Machine) repropose(old *attempt, b *ordov1.Action_Build) error {
	if m.attempts[b.Attempt] != nil {
		return fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", b.Attempt, m.height)
	}
	if p := old.fromPeer(); p != nil && (old.value() == nil || !bytes.Equal(old.value(), p.value)) {
		return fmt.Errorf("pipeline: consensus: build: attempt %d of height %d is a proposal that was not found valid and cannot be proposed again: the consensus plugin is broken", b.ReuseAttempt, m.height)
	}
	n := len(old.all())
	if b.MaxTransactions > 0 {
		n = min(n, int(b.MaxTransactions))
	}
	switch {
	case old.state == built && n == len(old.all()):
		// Nothing to run: the block is here.
		if m.open != nil {
			m.becomeAbandoned(m.open)
		}
		next := *old
		if old.source.borrowed() { // from now on it is this node's proposal of another one's transactions
			next.source, next.order = &fixedSource{peer: true}, old.all()
		}
		next.id, next.round, next.publish = b.Attempt, b.Round, b.Publish
		m.attempts[b.Attempt] = &next
		m.tellBuilt(&next)
		return nil
	case old == m.open && old.state.streaming():
		// Its stream is open: take it over, and close it at n, which may be below what has run.
		m.cancelTimers(old)
		next := m.becomeTakenOver(old, n)
		next.id, next.round, next.publish = b.Attempt, b.Round, b.Publish
		m.attempts[b.Attempt], m.open = next, next
		return nil
	}
	a, err := m.register(b.Attempt, &fixedSource{peer: old.source.borrowed()}, b.Round)
	if err != nil {
		return err
	}
	a.context, a.degraded, a.order = old.context, old.degraded, old.all()[:n]
	a.timers.deadlineMs, a.publish = b.DeadlineMs, b.Publish
	if !old.source.borrowed() {
		m.pool.Lease(a.lease, keys(a.order))
	}
	return nil
}

func (m *Machine) seal(id uint64) error {
	a := m.attempts[id]
	if a == nil {
		return fmt.Errorf("pipeline: consensus: seal: height %d has no attempt %d: the consensus plugin is broken", m.height, id)
	}
	if a == m.open && (a.state.waiting() || a.state.streaming()) {
		m.sealIntake(a)
	}
	return nil // sealed by itself a moment ago: its Built or Failed is on the way
}

// abandon ends an attempt. One that the height does not have may be of the height before: there is nothing to do.
func (m *Machine) abandon(id uint64) {
	if a := m.attempts[id]; a != nil {
		m.becomeAbandoned(a)
	}
}
