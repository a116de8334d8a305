package pipeline

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// handleActions carries out what consensus wants. It answers each event once, in order.
func (m *Machine) handleActions(actions *ordov1.Actions) error {
	if actions.Seq != m.answered+1 || actions.Seq > m.seq {
		return fmt.Errorf("pipeline: consensus: answer to event %d, but event %d is next of %d sent: the consensus plugin is broken", actions.Seq, m.answered+1, m.seq)
	}
	m.answered++
	m.todo = append(m.todo, actions.Actions...)
	return m.runActions()
}

// runActions carries out actions up to the next barrier.
func (m *Machine) runActions() error {
	for len(m.todo) > 0 && m.persisting == nil {
		action := m.todo[0]
		m.todo = m.todo[1:]
		if err := m.runAction(action); err != nil {
			return err
		}
	}
	return nil
}

// persisted lifts the barrier. A life of consensus that began meanwhile is told of the bytes like any that came before.
func (m *Machine) persisted() error {
	if m.persisting == nil {
		return nil
	}
	m.log, m.persisting = append(m.log, m.persisting...), nil
	if m.late {
		m.beginConsensus()
	}
	return m.runActions()
}

func (m *Machine) runAction(action *ordov1.Action) error {
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
	case *ordov1.Action_SetTimer_:
		m.timers[a.SetTimer.Id] = true
		m.emit(SetTimer{TimerID{ConsensusTimer, a.SetTimer.Id}, a.SetTimer.AfterMs})
	case *ordov1.Action_CancelTimer_:
		delete(m.timers, a.CancelTimer.Id)
		m.emit(CancelTimer{TimerID{ConsensusTimer, a.CancelTimer.Id}})
	case *ordov1.Action_Send_:
		m.emit(Send{a.Send.To, a.Send.Data})
	case *ordov1.Action_Persist_:
		m.persisting = append([]byte{}, a.Persist.Data...)
		m.emit(Persist{a.Persist.Data})
	default:
		return fmt.Errorf("pipeline: consensus: an action without content: the consensus plugin is broken or newer than this node")
	}
	return nil
}

// register registers an attempt and lets go of the one that is open.
func (m *Machine) register(id uint64, round uint32) (*attempt, error) {
	if m.attempts[id] != nil {
		return nil, fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", id, m.height)
	}
	if m.open != nil {
		m.drop(m.open)
	}
	a := m.newAttempt(round)
	a.id, m.attempts[id] = id, a
	m.open = a
	return a, nil
}

func (m *Machine) newAttempt(round uint32) *attempt {
	m.builds++
	return &attempt{build: m.builds, lease: m.builds, round: round, stage: held}
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
	// What an earlier attempt of this height still holds, closed or not, is free again: this one starts from the same pool.
	for _, earlier := range m.attempts {
		if earlier.stage == done {
			m.pool.Rewind(earlier.lease, 0)
		}
	}
	a, err := m.register(b.Attempt, b.Round)
	if err != nil {
		return err
	}
	a.pooled, a.allowEmpty = true, b.AllowEmpty
	a.limit = int(b.MaxTransactions)
	a.deadlineMs, a.idleMs = b.DeadlineMs, b.IdleMs
	return nil
}

// repropose proposes the transactions of an earlier attempt again, in its context, so that the same n is the same block.
func (m *Machine) repropose(old *attempt, b *ordov1.Action_Build) error {
	if m.attempts[b.Attempt] != nil {
		return fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", b.Attempt, m.height)
	}
	if old.foreign && old.stage != done {
		return fmt.Errorf("pipeline: consensus: build: attempt %d of height %d is a proposal that was not found valid and cannot be proposed again: the consensus plugin is broken", b.ReuseAttempt, m.height)
	}
	n := old.count()
	if b.MaxTransactions > 0 {
		n = min(n, int(b.MaxTransactions))
	}
	switch {
	case old.stage == done && n == old.count():
		// Nothing to run: the block is here.
		if m.open != nil {
			m.drop(m.open)
		}
		again := *old
		again.id, again.round = b.Attempt, b.Round
		m.attempts[b.Attempt] = &again
		m.tellBuilt(&again)
		return nil
	case old == m.open && old.stage == running && !old.foreign:
		// Its stream is alive: take it over, and close it at n, which may be below what has run.
		m.cancelTimers(old)
		again := *old
		old.stage, old.build, old.lease = abandoned, 0, 0 // the stream and the lease are not its own any more
		again.id, again.round, again.limit = b.Attempt, b.Round, n
		again.pooled, again.allowEmpty, again.source, again.ahead = false, true, old.all()[:n], nil
		m.attempts[b.Attempt], m.open = &again, &again
		return nil
	}
	a, err := m.register(b.Attempt, b.Round)
	if err != nil {
		return err
	}
	a.context, a.degraded = old.context, old.degraded
	a.source, a.limit, a.allowEmpty = old.all()[:n], n, true
	a.deadlineMs = b.DeadlineMs
	if a.theirs = old.borrowed(); !a.theirs {
		m.pool.Lease(a.lease, keys(a.source))
	}
	return nil
}

func (m *Machine) seal(id uint64) error {
	a := m.attempts[id]
	if a == nil {
		return fmt.Errorf("pipeline: consensus: seal: height %d has no attempt %d: the consensus plugin is broken", m.height, id)
	}
	if a == m.open && (a.stage == held || a.stage == running) {
		m.sealNow(a)
	}
	return nil // sealed by itself a moment ago: its Built or Failed is on the way
}

// sealNow takes what is ready at this moment, and no more: newcomers must not keep the block open.
func (m *Machine) sealNow(a *attempt) {
	if !a.sealing {
		a.sealing, a.budget = true, m.pool.Waiting()
	}
}

// abandon drops an attempt. One that the height does not have is nothing to hold on to: it may be of the height before.
func (m *Machine) abandon(id uint64) {
	if a := m.attempts[id]; a != nil {
		m.drop(a)
	}
}

func (m *Machine) validate(v *ordov1.Action_Validate) error {
	a, err := m.register(v.Attempt, v.Round)
	if err != nil {
		return err
	}
	a.foreign, a.claim = true, v.Value
	proposal := &ordov1.Proposal{}
	if err := proto.Unmarshal(v.Proposal, proposal); err != nil {
		m.rejectProposal(a, "the proposal cannot be decoded")
		return nil
	}
	if reason := m.checkProposal(proposal); reason != "" {
		m.rejectProposal(a, reason)
		return nil
	}
	a.stage, a.proposal = checking, proposal
	a.context, a.limit = proposal.Context, int(proposal.N)
	// All that it lists runs, as it would if it came while the proposer still builds; n says where the block ends.
	for _, tx := range proposal.Transactions {
		a.source = append(a.source, Item{Tx: tx})
	}
	m.emit(Check{a.build, proposal})
	return nil
}

func (m *Machine) checked(in Checked) error {
	a := m.open
	if a == nil || a.build != in.Build || a.stage != checking {
		return nil // abandoned meanwhile
	}
	if in.Invalid != "" {
		m.rejectProposal(a, in.Invalid)
		return nil
	}
	for i := range a.source {
		if tx := a.source[i].Tx; tx.Type == ordov1.TransactionType_DECLARE && len(tx.ClassHash) == len(mempool.Key{}) {
			a.source[i].Class = in.Classes[mempool.Key(tx.ClassHash)]
		}
	}
	a.stage = held
	return nil
}
