package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// stageDown: a stage is gone. What it was asked is asked again when it is back; what readers have seen stays as it was shown.
func (m *Machine) stageDown(in StageDown) error {
	if m.isDown(in.Stage) {
		return nil
	}
	m.down[in.Stage] = in.Why
	switch in.Stage {
	case ordov1.Stage_STAGE_EXECUTION:
		m.life++
		m.adopt, m.adopting = true, false
		c := cause{in.Why, failedWeight, in.Shared}
		if in.Forced {
			c.weight = endedWeight
		}
		if a := m.open; a != nil && (a.stage == running || a.stage == closing) {
			return m.interrupt(a, c, true)
		} else if a != nil && a.stage == held && a.suspect {
			return m.recordCrash(a, c)
		}
	case ordov1.Stage_STAGE_CONSENSUS:
		m.detachConsensus()
	case ordov1.Stage_STAGE_STORAGE:
		m.noRoom = ""
	}
	return nil
}

// stageUp: a new life serves a stage.
func (m *Machine) stageUp(in StageUp) error {
	if !m.isDown(in.Stage) {
		return fmt.Errorf("pipeline: %v is back and was never away: restart the node", in.Stage)
	}
	delete(m.down, in.Stage)
	switch in.Stage {
	case ordov1.Stage_STAGE_ORDERING:
		m.options.Arrival = in.Arrival
	case ordov1.Stage_STAGE_EXECUTION:
		if a := m.open; a != nil && a.stage == checking {
			m.emit(Check{a.build, a.proposal})
		}
	case ordov1.Stage_STAGE_CONSENSUS:
		m.options.Proposals = in.Proposals
		m.beginConsensus()
	case ordov1.Stage_STAGE_STORAGE:
		return m.reconcileStorage(in)
	}
	return nil
}

// maybeAdopt lets a new execution adopt the last decided block, which storage must have by then.
func (m *Machine) maybeAdopt() {
	if m.adopt && !m.adopting && m.committed == m.height-1 && !m.isDown(ordov1.Stage_STAGE_EXECUTION) && !m.isDown(ordov1.Stage_STAGE_STORAGE) {
		m.adopting = true
		m.emit(Adopt{m.committed})
	}
}

// ---- storage ----

// reconcileStorage compares what a new storage holds with what the old one had answered, and goes on from there.
func (m *Machine) reconcileStorage(in StageUp) error {
	if in.Head < m.committed {
		return fmt.Errorf("pipeline: storage came back at block %d: it had committed block %d: its data is lost or another one's: restore a backup", in.Head, m.committed)
	}
	for m.committed < in.Head {
		if len(m.pending) == 0 {
			return fmt.Errorf("pipeline: storage came back at block %d, which is not decided: another process writes to it", in.Head)
		}
		if c := m.pending[0]; c.Height == in.Head && !bytes.Equal(c.Header.PartialHash, in.Block) {
			return fmt.Errorf("pipeline: storage came back with 0x%x as block %d: decided is 0x%x: another process writes to it", in.Block, in.Head, c.Header.PartialHash)
		}
		m.stored()
	}
	if m.block != nil && !bytes.Equal(m.block, in.Block) {
		return fmt.Errorf("pipeline: storage came back with 0x%x as block %d: it was 0x%x: its data is another one's", in.Block, in.Head, m.block)
	}
	m.emit(FollowRoots{m.accepted + 1})
	for _, c := range m.pending {
		c.Again = true
		m.emit(c)
	}
	return nil
}

// ---- consensus ----

// beginConsensus starts a life of consensus, when nothing is left to do of what was decided before a restart.
func (m *Machine) beginConsensus() {
	if len(m.redo) > 0 || m.isDown(ordov1.Stage_STAGE_CONSENSUS) {
		return
	}
	if m.late = m.persisting != nil; m.late {
		return
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{
		Height: m.height, Log: m.log, Config: m.config, Pending: uint64(m.ready())}}})
	if m.blockRequested && !m.draining {
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Demand_{Demand: &ordov1.ConsensusEvent_Demand{}}})
	}
	m.announced = false
}

// detachConsensus ends a life of consensus. Of its attempts the last own one is kept, for what readers have seen of it must be in
// the block; the next life does not know its name.
func (m *Machine) detachConsensus() {
	for _, id := range slices.Sorted(mapKeys(m.timers)) {
		m.emit(CancelTimer{TimerID{ConsensusTimer, id}})
	}
	m.timers, m.todo, m.late, m.seq, m.answered = map[uint64]bool{}, nil, false, 0, 0
	var heir *attempt
	if a := m.open; a != nil && a.own() && (a.stage != held || len(a.order) > 0) {
		heir = a
	}
	open := heir != nil
	for _, a := range m.attempts {
		if a.own() && a.stage == done && !open && (heir == nil || a.build > heir.build || a.build == heir.build && a.id > heir.id) {
			heir = a
		}
	}
	for _, id := range slices.Sorted(mapKeys(m.attempts)) {
		if a := m.attempts[id]; a != heir && a.lease != 0 && (heir == nil || a.lease != heir.lease) && a.stage != failed && a.stage != abandoned {
			m.drop(a)
		}
	}
	m.attempts = map[uint64]*attempt{}
	if heir != nil {
		m.carried = heir
		if !heir.pooled {
			// It may stand on the lease of the one that it repeats.
			heir.pooled, heir.order, heir.limit = true, heir.source, 0
			if len(heir.items) > len(heir.order) { // it took over a stream that had been given more
				heir.order = heir.items
			}
			m.pool.Rewind(heir.lease, 0)
			m.pool.Lease(heir.lease, keys(heir.order))
		}
	}
}

func mapKeys[V any](m map[uint64]V) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// resumeCarried gives the attempt of another life to this Build; taken is false when it is of no use to it.
func (m *Machine) resumeCarried(b *ordov1.Action_Build) (taken bool, err error) {
	a := m.carried
	m.carried = nil
	if m.attempts[b.Attempt] != nil {
		return false, fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", b.Attempt, m.height)
	}
	closed := a.stage == closing || a.stage == hashing || a.stage == done
	switch {
	case a.stage == failed, a.stage == abandoned:
		return false, nil
	case closed && len(a.inside) == 0 && !b.AllowEmpty:
		m.drop(a)
		return false, nil
	case closed && b.MaxTransactions > 0 && a.count() > int(b.MaxTransactions):
		m.drop(a)
		return true, m.repropose(a, b)
	}
	if m.open != nil && m.open != a {
		m.drop(m.open)
	}
	a.id, a.round, a.allowEmpty = b.Attempt, b.Round, b.AllowEmpty
	m.attempts[b.Attempt] = a
	if a.stage == done {
		m.tellBuilt(a)
		return true, nil
	}
	m.open = a
	if closed {
		return true, nil
	}
	m.cancelTimers(a)
	a.limit, a.sealing, a.due = int(b.MaxTransactions), false, false
	a.deadlineMs, a.idleMs = b.DeadlineMs, b.IdleMs
	if a.stage == running {
		m.time(a)
	} else if !a.begun && !m.releases(a) {
		m.open = nil
		delete(m.attempts, b.Attempt)
		return false, nil // none of them waits any more
	}
	return true, nil
}

func keys(items []Item) []mempool.Key {
	all := make([]mempool.Key, len(items))
	for i, item := range items {
		all[i] = mempool.Key(item.Tx.Hash)
	}
	return all
}

// releases leases the order of an attempt from the pool anew; what cannot be had is passed over.
func (m *Machine) releases(a *attempt) bool {
	m.pool.Rewind(a.lease, 0)
	had := map[mempool.Key]bool{}
	for _, hash := range m.pool.Lease(a.lease, keys(a.order)) {
		had[hash] = true
	}
	order := a.order
	a.order = nil
	for _, item := range order {
		if had[mempool.Key(item.Tx.Hash)] {
			a.order = append(a.order, item)
		}
	}
	return len(a.order) > 0
}

// ---- after a restart ----

// nextRedo builds the next of the blocks that were decided before a restart again; after the last, consensus begins.
func (m *Machine) nextRedo() {
	if len(m.redo) == 0 {
		if o := m.order; o != nil && len(o.Items) > 0 && o.Context.GetNumber() == m.height {
			m.carried = m.newAttempt(0)
			m.carried.pooled, m.carried.context, m.carried.order, m.carried.degraded = true, o.Context, o.Items, o.Degraded
		}
		m.order = nil
		m.beginConsensus()
		return
	}
	d := &m.redo[0]
	a := m.newAttempt(d.Round)
	a.redo, a.context, a.degraded, a.source, a.limit, a.allowEmpty = d, d.Context, d.Degraded, d.Items, len(d.Items), true
	if a.theirs = d.FromPeer; !a.theirs {
		m.pool.Lease(a.lease, keys(d.Items))
	}
	m.open = a
}

// redone: a block that was decided before a restart is built again.
func (m *Machine) redone(a *attempt) error {
	if !bytes.Equal(a.header.PartialHash, a.redo.Value) {
		return fmt.Errorf("pipeline: block %d was decided as 0x%x before the restart, built again it is 0x%x: start with the execution plugin and the configuration that built it", m.height, a.redo.Value, a.header.PartialHash)
	}
	if err := m.conclude(a, a.redo.Certificate); err != nil {
		return err
	}
	m.redo = m.redo[1:]
	m.nextRedo()
	return nil
}
