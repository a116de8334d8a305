package pipeline

import (
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// state is where an attempt stands. The methods becomeX below are the only code that changes it.
type state string

const (
	checking    state = "being checked"            // a peer's proposal: the driver fetches its body if need be, recomputes its hashes and compiles its classes
	held        state = "waiting to be opened"     // no stream was opened for it yet
	interrupted state = "waiting to be built anew" // its stream is gone: another one is opened as soon as nothing is in the way
	paused      state = "paused"                   // its stream broke, and the retry timer runs
	running     state = "running"                  // a stream is open, and is given transactions
	full        state = "full"                     // a stream is open, and execution takes no more
	closing     state = "closing"                  // the stream is asked for the block
	hashing     state = "being hashed"             // the driver computes the header
	built       state = "built"                    // it has a value: consensus may decide it
	failed      state = "failed"                   // consensus knows that it has no value
	abandoned   state = "abandoned"                // nothing comes of it any more
)

// waiting says whether the attempt waits for a stream, its first or another one.
func (s state) waiting() bool { return s == held || s == interrupted || s == paused }

// streaming says whether the attempt has an open stream that is not asked for the block yet.
func (s state) streaming() bool { return s == running || s == full }

// ended says whether the attempt cannot come to a value any more.
func (s state) ended() bool { return s == failed || s == abandoned }

// become moves an attempt to a state. A transition from a state that is not in the list is a fault of the machine, which Step returns.
func (m *Machine) become(a *attempt, to state, from ...state) {
	if !slices.Contains(from, a.state) {
		m.fault = fmt.Errorf("pipeline: attempt %d of height %d, build %d, is %s and cannot be %s: this is a fault of the node: restart it", a.id, m.height, a.build, a.state, to)
	}
	a.state = to
}

// becomeChecking lets a peer's proposal wait for its body and for the check of it.
func (m *Machine) becomeChecking(a *attempt) { m.become(a, checking, held) }

// becomeHeld lets an attempt wait for its first stream.
func (m *Machine) becomeHeld(a *attempt) { m.become(a, held, checking) }

// becomeRunning opens the stream of an attempt: the first one under the build that the attempt has, each later one under a new build.
func (m *Machine) becomeRunning(a *attempt) {
	open := Open{Build: a.build, Context: a.context, Validate: a.source.validates(), Own: a.source.own(), Hidden: a.source.borrowed()}
	if a.state == interrupted {
		m.builds++
		open.Build, open.Resumes, a.build = m.builds, a.build, m.builds
	} else if a.fromPool() != nil {
		open.Order, open.Degraded, a.readers.durable = a.order, a.degraded, len(a.order)
	}
	m.become(a, running, held, interrupted)
	m.emit(open)
}

// becomeFull notes that execution takes no more transactions.
func (m *Machine) becomeFull(a *attempt) { m.become(a, full, running, full) }

// becomeClosing asks the stream for the block of the first n transactions.
func (m *Machine) becomeClosing(a *attempt, n int) {
	m.become(a, closing, running, full)
	m.emit(Close{a.build, uint64(n)})
}

// becomeHashing has the header of a closed block computed.
func (m *Machine) becomeHashing(a *attempt, closed *ordov1.BuildResponse_Closed) {
	m.become(a, hashing, closing)
	b := a.block
	b.instance, b.diff, b.classes = m.execution.instance, closed.StateDiff, closed.Classes
	if b.diff == nil {
		b.diff = &ordov1.StateDiff{}
	}
	draft := &ordov1.BlockHeader{Context: a.context, GasUsed: closed.GasUsed, Round: a.round, Degraded: a.degraded}
	m.emit(HashHeader{a.build, draft, b.items, b.results, b.diff})
}

// becomeBuilt gives an attempt its value. The next one can be opened.
func (m *Machine) becomeBuilt(a *attempt, header *ordov1.BlockHeader) {
	m.become(a, built, hashing)
	a.block.header = header
	m.open = nil
}

// becomeOrdered gives an attempt the hash of its order as its value. It has no stream: what is decided is executed by another one.
func (m *Machine) becomeOrdered(a *attempt, value []byte) {
	m.cancelTimers(a)
	m.become(a, built, held)
	a.agreed = value
	m.open = nil
}

// becomeInterrupted forgets what came of a stream that is gone. What was handed over is handed over again, in the same order.
func (m *Machine) becomeInterrupted(a *attempt) {
	p := a.fromPool()
	if p != nil && len(a.items) > len(a.order) {
		a.order = a.items
	}
	if p != nil {
		p.ahead = nil
		m.pool.Rewind(a.lease, len(a.order))
		if a.state == closing {
			a.intake = intake{kind: sealed} // it takes no more than it had
		}
	}
	a.resume.handed = max(a.resume.handed, len(a.items))
	m.become(a, interrupted, running, full, closing)
	a.items, a.results, a.chunks, a.block = nil, nil, nil, nil
	a.readers.batches, a.readers.told = nil, 0
}

// becomePaused lets an attempt whose stream broke wait for the retry timer.
func (m *Machine) becomePaused(a *attempt, ms uint32) {
	m.become(a, paused, interrupted)
	m.emit(SetTimer{TimerID{RetryTimer, a.lease}, ms})
}

// becomeUnpaused ends the wait for the retry timer.
func (m *Machine) becomeUnpaused(a *attempt) { m.become(a, interrupted, paused) }

// becomeFailed ends an attempt without a value. An open one has been abandoned before.
func (m *Machine) becomeFailed(a *attempt) { m.become(a, failed, abandoned, built) }

// becomeAbandoned lets an attempt go; what it took from the pool stands there again where it stood.
func (m *Machine) becomeAbandoned(a *attempt) {
	m.cancelTimers(a)
	switch {
	case a.state == checking || a.state == held || a.state.ended() || a.agreed != nil: // it has no stream
	default:
		m.emit(Abort{a.build})
	}
	m.pool.Rewind(a.lease, 0)
	m.become(a, abandoned, checking, held, interrupted, paused, running, full, closing, hashing, built, failed, abandoned)
	if m.open == a {
		m.open = nil
	}
	if m.carried == a {
		m.carried = nil
	}
}

// becomeTakenOver gives the stream and the lease of a running attempt to the one that proposes its first n transactions again.
func (m *Machine) becomeTakenOver(old *attempt, n int) *attempt {
	next := *old
	next.source, next.order = &fixedSource{peer: old.source.borrowed()}, old.all()[:n]
	m.become(old, abandoned, running, full)
	old.build, old.lease = 0, 0
	return &next
}

// intake is how far an attempt still takes transactions. It is kept while the attempt is interrupted and goes on with the next stream.
type intake struct {
	kind   intakeKind
	budget int // how many more may be taken from the pool, of a sealed one
}

type intakeKind string

const (
	unsealed intakeKind = ""        // takes what becomes ready, up to its limit
	sealed   intakeKind = "sealed"  // takes what was ready when it was sealed, and is closed when that has run
	expired  intakeKind = "expired" // takes no more, and is closed with what has run
)

// sealIntake takes what is ready at this moment, and no more: transactions that come later must not keep the block open.
func (m *Machine) sealIntake(a *attempt) {
	if a.intake.kind == unsealed {
		a.intake = intake{sealed, m.pool.Waiting()}
	}
}

// reject takes transactions out of the pool and says so.
func (m *Machine) reject(rejected []mempool.Rejected) {
	if dropped := m.pool.Reject(rejected); len(dropped) > 0 {
		m.emit(ReportDropped{dropped})
	}
}
