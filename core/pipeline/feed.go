package pipeline

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// advance does for the open attempt what can be done now.
func (m *Machine) advance() {
	a := m.open
	if a == nil {
		return
	}
	if (a.state == held || a.state == interrupted) && m.blockedReason() == "" {
		m.tryOpen(a)
	}
	if m.open != a {
		return // it has a value, or failed
	}
	if !a.state.streaming() {
		return
	}
	dry := m.feed(a)
	n := len(a.results)
	if m.incomplete(a) {
		return
	}
	end, bounded := a.source.end(a.order)
	switch {
	case n > m.visibleLimit(a): // what is not shown yet cannot be closed over
	case a.intake.kind == expired && n >= len(a.readers.shown):
		m.close(a, n)
	case bounded && n >= end:
		m.close(a, end)
	case a.state == full:
		m.close(a, n)
	case n < len(a.items): // execution is at work
	case a.fromPool() != nil && a.intake.kind == sealed && dry:
		m.close(a, n)
	default:
		m.setIdle(a)
	}
}

// tryOpen opens an attempt that nothing is in the way of, but not before there is something to run: the block's time is
// that of its opening, and a block that waits for its first transaction must not be as old as its parent.
func (m *Machine) tryOpen(a *attempt) {
	m.setDeadline(a)
	if m.options.Lazy && a.ordered() == nil {
		m.tryOrder(a)
		return
	}
	closes := a.intake.kind != unsealed
	switch some := m.pool.Ready() > 0 || len(a.order) > 0; {
	case a.fromPool() == nil, closes && (some || a.allowsEmpty()), some && m.capabilities.arrival:
		m.openBuild(a)
	case closes:
		m.fail(a, nothingToRun, true)
	default:
		m.setIdle(a)
	}
}

const nothingToRun = "no transaction to put in the block"

func (m *Machine) openBuild(a *attempt) {
	old, _ := m.oldHash()
	switch {
	case a.context == nil:
		a.context = m.context(m.now)
	case a.ordered() != nil && !bytes.Equal(a.context.OldBlockHash, old):
		m.differentOrder(a.ordered(), fmt.Sprintf("it names another hash for block %d", m.height-hashLag))
		return
	case m.learning() && !bytes.Equal(a.context.OldBlockHash, old): // CheckLearned may have looked before that hash was known
		m.unlearn(a, fmt.Sprintf("it names another hash for block %d", m.height-hashLag))
		return
	case a.fromPeer() != nil && !bytes.Equal(a.context.OldBlockHash, old):
		m.rejectProposal(a, fmt.Sprintf("the proposal names another hash for block %d", m.height-hashLag))
		return
	}
	m.becomeRunning(a)
}

// feed hands chunks to execution; dry says that there is nothing to hand over now, whatever the window.
func (m *Machine) feed(a *attempt) (dry bool) {
	for a.state == running && (a.intake.kind != expired || len(a.items) < len(a.readers.shown)) {
		chunk, dry := m.nextChunk(a)
		if dry {
			return true
		}
		if chunk = m.isolate(a, chunk); len(chunk) == 0 {
			return false
		}
		if p := a.fromPool(); p != nil && len(a.items) >= len(a.order) {
			p.ahead = p.ahead[len(chunk):]
		}
		again := min(len(chunk), max(0, a.resume.handed-len(a.items)))
		a.items = append(a.items, chunk...)
		a.chunks = append(a.chunks, len(a.items))
		if a.timers.idle && m.capabilities.arrival {
			a.timers.idle = false
			m.emit(CancelTimer{TimerID{IdleTimer, a.lease}})
		}
		m.emit(Add{a.build, chunk, again, a.degraded})
	}
	return true
}

// nextChunk is what comes next: the rest of the order, then what was taken from the pool, then what the pool has. It is empty while the
// window is used up; dry says that there is nothing, whatever the window.
func (m *Machine) nextChunk(a *attempt) (chunk []Item, dry bool) {
	n, p := m.options.Chunk, a.fromPool()
	if p != nil && p.limit > 0 {
		n = min(n, p.limit-len(a.items))
	}
	rest := a.order[min(len(a.items), len(a.order)):]
	taking := false
	switch {
	case len(rest) > 0:
	case p == nil:
		return nil, true
	case len(p.ahead) > 0:
		rest = p.ahead
	case a.intake.kind == sealed:
		n, taking = min(n, a.intake.budget), true
	case !m.capabilities.arrival: // wait: the transaction that comes last may rank first
		return nil, m.pool.Ready() == 0
	default:
		taking = true
	}
	switch {
	case n <= 0, taking && m.pool.Ready() == 0:
		return nil, true
	case len(a.chunks) >= m.options.Window:
		return nil, false
	case taking:
		p.ahead = m.take(a, n)
		return p.ahead, false
	}
	return rest[:min(n, len(rest))], false
}

// take takes the best of the pool.
func (m *Machine) take(a *attempt, n int) (items []Item) {
	taken, degraded := m.pool.Take(a.lease, n)
	a.degraded = a.degraded || degraded
	if a.intake.kind == sealed {
		a.intake.budget -= len(taken)
	}
	for _, e := range taken {
		items = append(items, Item{e.Tx, e.Class})
	}
	return items
}

// setIdle starts the idle timer: with a streaming policy when everything that came has run, else when something waits. In the
// second case transactions that come later do not put it off, or a busy pool would keep the block open for ever.
func (m *Machine) setIdle(a *attempt) {
	if a.fromPool() == nil || a.timers.idleMs == 0 || a.timers.idle || a.intake.kind == sealed {
		return
	}
	if len(a.items) > 0 || (m.options.Lazy || !m.capabilities.arrival) && m.pool.Ready() > 0 {
		a.timers.idle = true
		m.emit(SetTimer{TimerID{IdleTimer, a.lease}, a.timers.idleMs})
	}
}

func (m *Machine) timerFired(id TimerID) {
	if id.Kind == ConsensusTimer {
		delete(m.consensus.timers, id.ID)
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id.ID}}})
		return
	}
	a := m.open
	if a == nil || a.lease != id.ID || !a.state.streaming() && !a.state.waiting() {
		return
	}
	switch {
	case id.Kind == RetryTimer && a.state == paused:
		m.becomeUnpaused(a)
	case id.Kind == IdleTimer && a.timers.idle:
		m.sealIntake(a)
	case id.Kind == DeadlineTimer && a.timers.deadline:
		m.deadlinePassed(a)
	}
}

// deadlinePassed closes an attempt soon. One that never ran anything takes what is ready, so that its block has something.
func (m *Machine) deadlinePassed(a *attempt) {
	p := a.fromPool()
	switch {
	case a.state.waiting():
		m.sealIntake(a)
	case p == nil:
		m.fail(a, "deadline passed before its transactions had run", false)
	case m.capabilities.arrival && (len(a.results) > 0 || p.allowEmpty || len(a.items) == 0):
		a.intake = intake{kind: expired} // what is still running goes back to the pool
	case m.capabilities.arrival && a.intake.kind == unsealed:
		a.intake = intake{kind: sealed} // its first transactions are slow: without them it would fail, and the next one like it
	default:
		m.sealIntake(a)
	}
}
