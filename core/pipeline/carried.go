package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// beginConsensus starts an instance of consensus, when nothing is left to do of what was decided before a restart.
func (m *Machine) beginConsensus() {
	c := &m.consensus
	if len(m.recovery.redo) > 0 || m.isDown(ordov1.Stage_STAGE_CONSENSUS) {
		return
	}
	if c.startDeferred = len(c.writes) > 0 || m.learning() || m.ordered != nil; c.startDeferred {
		return
	}
	n := &m.options.Network
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{
		Height: m.height, Records: c.records, State: c.state, Parent: c.parent, Config: c.config, Pending: uint64(m.ready()),
		Validators: n.Validators, Self: n.Self, Scheme: n.Scheme, ChainId: n.ChainID}}})
	if c.blockRequested && !m.draining {
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
	}
	c.announced = false
}

// detachConsensus ends an instance of consensus. Of its attempts the last own one is carried over to the next instance, for what readers
// have seen of it must be in the block. The next instance does not know its id.
func (m *Machine) detachConsensus() {
	c := &m.consensus
	for _, id := range slices.Sorted(maps.Keys(c.timers)) {
		m.emit(CancelTimer{TimerID{ConsensusTimer, id}})
	}
	for i := range c.writes {
		c.writes[i].sign = nil
	}
	c.timers, c.todo, c.startDeferred, c.seq, c.answered, c.learned = map[uint64]bool{}, nil, false, 0, 0, 0
	c.held, c.signing, c.lost = nil, 0, nil
	carried := m.lastOwn()
	for _, id := range slices.Sorted(maps.Keys(m.attempts)) {
		if a := m.attempts[id]; a != carried && a.lease != 0 && (carried == nil || a.lease != carried.lease) && !a.state.ended() {
			m.becomeAbandoned(a)
		}
	}
	m.attempts = map[uint64]*attempt{}
	if carried == nil {
		return
	}
	m.carried = carried
	if carried.fromPool() == nil {
		// It may stand on the lease of the one that it repeats.
		carried.source = &poolSource{allowEmpty: true}
		if len(carried.items) > len(carried.order) { // it took over a stream that had been given more
			carried.order = carried.items
		}
		m.pool.Rewind(carried.lease, 0)
		m.pool.Lease(carried.lease, keys(carried.order))
	}
}

// lastOwn is the attempt that is carried over: the open one, or the built one of the latest build. nil when there is none.
func (m *Machine) lastOwn() (last *attempt) {
	if m.options.Lazy {
		return nil // nothing of it was shown
	}
	if a := m.open; a != nil && a.source.own() && (!a.state.waiting() || len(a.order) > 0 && (a.state != held || a.fromPool() != nil)) {
		return a
	}
	for _, a := range m.attempts {
		if a.source.own() && a.state == built && (last == nil || a.build > last.build || a.build == last.build && a.id > last.id) {
			last = a
		}
	}
	return last
}

// resumeCarried gives the carried attempt to this Build; taken is false when it is of no use to it.
func (m *Machine) resumeCarried(b *ordov1.Action_Build) (taken bool, err error) {
	a := m.carried
	m.carried = nil
	if m.attempts[b.Attempt] != nil {
		return false, fmt.Errorf("pipeline: consensus: attempt %d of height %d exists already: the consensus plugin is broken", b.Attempt, m.height)
	}
	closed := a.state == closing || a.state == hashing || a.state == built
	switch {
	case a.state.ended():
		return false, nil
	case closed && len(a.block.items) == 0 && !b.AllowEmpty:
		m.becomeAbandoned(a)
		return false, nil
	case closed && b.MaxTransactions > 0 && len(a.all()) > int(b.MaxTransactions):
		m.becomeAbandoned(a)
		return true, m.repropose(a, b)
	}
	if m.open != nil && m.open != a {
		m.becomeAbandoned(m.open)
	}
	p := a.fromPool()
	a.id, a.round, a.publish, p.allowEmpty = b.Attempt, b.Round, b.Publish, b.AllowEmpty
	m.attempts[b.Attempt] = a
	if a.state == built {
		m.tellBuilt(a)
		return true, nil
	}
	m.open = a
	if closed {
		return true, nil
	}
	m.cancelTimers(a)
	a.intake, p.limit = intake{}, int(b.MaxTransactions)
	a.timers.deadlineMs, a.timers.idleMs = b.DeadlineMs, b.IdleMs
	if a.state.streaming() {
		m.setDeadline(a)
	} else if a.state == held && !m.leaseOrder(a) {
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

// leaseOrder leases the order of an attempt from the pool anew, and says whether something is left of it: what the pool cannot lease is passed over.
func (m *Machine) leaseOrder(a *attempt) bool {
	m.pool.Rewind(a.lease, 0)
	leased := map[mempool.Key]bool{}
	for _, hash := range m.pool.Lease(a.lease, keys(a.order)) {
		leased[hash] = true
	}
	order := a.order
	a.order = nil
	for _, item := range order {
		if leased[mempool.Key(item.Tx.Hash)] {
			a.order = append(a.order, item)
		}
	}
	return len(a.order) > 0
}
