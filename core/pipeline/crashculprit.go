package pipeline

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Weights of an end of execution against a transaction that it had and did not answer. One that was alone, with no call of a
// client beside it, is held to be the cause when the sum is certain: a process that failed by itself twice is, one that was ended
// from outside, which says little, four times.
const (
	failedWeight = 2 // the process failed by itself: a signal of its own, an exit
	endedWeight  = 1 // it was ended from outside, or its stream broke while the process went on
	certain      = 4
)

// Pauses before an attempt whose stream broke is tried again: doubled from the first to the last. After triesToSuspect in a row
// the process itself is suspected.
const (
	firstPauseMs   = 100
	lastPauseMs    = 5000
	triesToSuspect = 5
)

// buildFailed takes that the stream of a build broke; the process may well be alive.
func (m *Machine) buildFailed(in BuildFailed) error {
	a := m.streamOf(in.Build)
	if a == nil {
		return nil
	}
	if err := m.interrupt(a, cause{why: in.Why, weight: endedWeight}, !in.Away); err != nil || m.open != a || a.state != interrupted {
		return err
	}
	m.becomePaused(a, uint32(min(lastPauseMs, firstPauseMs<<min(a.resume.tries, 10))))
	if a.resume.tries++; a.resume.tries%triesToSuspect == 0 {
		m.emit(SuspectStage{ordov1.Stage_STAGE_EXECUTION, fmt.Sprintf("block %d could not be built %d times in a row: %s", m.height, a.resume.tries, in.Why)})
	}
	return nil
}

// interrupt keeps an attempt whose stream is gone: it is built again from the same transactions, in the same order and the
// same context, as soon as that can be. When execution itself is to blame, that is recorded against what it had not answered.
func (m *Machine) interrupt(a *attempt, c cause, blamed bool) error {
	closed, unanswered := a.state == closing, span{len(a.results), len(a.items)}
	m.becomeInterrupted(a)
	r := &a.resume
	switch {
	case closed:
		r.unexplained = span{}
		if !blamed || c.shared {
			break
		}
		if r.closings += c.weight; r.closings >= certain {
			return m.splitBlock(a, unanswered.up, c.why)
		}
	case !unanswered.empty():
		if r.unexplained.empty() || unanswered.low > 0 {
			r.unexplained = unanswered
		}
		if blamed {
			return m.recordCrash(a, r.unexplained, c)
		}
	}
	return nil
}

// dropCulprit drops the transaction at a place of an attempt, and goes on without it.
func (m *Machine) dropCulprit(a *attempt, at int, reason string) error {
	if a.redo() != nil {
		if a.source.(*redoSource).learned {
			m.unlearn(a, fmt.Sprintf("it cannot be built here: transaction %d: %s", at, reason))
			return nil
		}
		return fmt.Errorf("pipeline: block %d is decided and cannot be built here: transaction %d: %s", m.height, at, reason)
	}
	if a.source.borrowed() {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	culprit := a.given()[at].Tx
	rejected := mempool.Rejected{Hash: mempool.Key(culprit.Hash), Code: ordov1.RejectionCode_OTHER, Why: &Rejection{ordov1.RejectionCode_OTHER, reason}}
	delete(m.crashes.suspects, rejected.Hash)
	m.remember(culprit)
	m.reject([]mempool.Rejected{rejected})
	if a.fromPool() == nil {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	m.emit(CulpritFound{ordov1.Stage_STAGE_EXECUTION})
	before := a.order
	m.leaseOrder(a) // without it, and without those of its account that follow
	kept := map[string]bool{}
	for _, item := range a.order {
		kept[string(item.Tx.Hash)] = true
	}
	out, handed := DropCandidates{Build: a.build}, a.resume.handed
	for i, item := range before {
		if !kept[string(item.Tx.Hash)] {
			out.Items = append(out.Items, item)
			if i < handed {
				a.resume.handed--
			}
		}
	}
	if at < len(a.readers.shown) {
		a.readers.shown = nil
		m.emit(ResetPreconfirmed{a.build, a.context, a.order[:a.resume.handed]})
	} else {
		m.emit(out)
	}
	a.readers.removed += len(out.Items)
	a.readers.durable = max(0, a.readers.durable-len(out.Items))
	a.resume.closings = 0
	return nil
}

// splitBlock leaves the second half of an attempt whose closing ends execution to the next block.
func (m *Machine) splitBlock(a *attempt, n int, why string) error {
	p := a.fromPool()
	switch {
	case p == nil:
		return nil // its content is not ours to choose: the budget of restarts ends this
	case n == 1 && a.resume.closings > certain:
		return m.dropCulprit(a, 0, "execution ended again and again while closing a block of this transaction alone: "+why)
	case n > 1:
		m.emit(CulpritFound{ordov1.Stage_STAGE_EXECUTION}) // half of them are out of it: the search gets on
		half := (n + 1) / 2
		m.pool.Rewind(a.lease, half)
		out := DropCandidates{Build: a.build, Items: a.order[half:]}
		a.order, a.resume.handed, a.readers.durable = a.order[:half:half], half, min(a.readers.durable, half)
		if len(a.readers.shown) > half {
			a.readers.shown = nil // shown anew when it has run
			m.emit(ResetPreconfirmed{a.build, a.context, a.order})
		} else {
			m.emit(out)
		}
		p.limit = half
	}
	return nil
}
