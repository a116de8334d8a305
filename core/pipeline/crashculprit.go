package pipeline

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// How much an end of execution says against a transaction that it had and did not answer. One that was alone, with no question of a
// client beside it, is held to be the cause when the sum is certain: a process that failed by itself twice is, one that was ended
// from outside, which says little, four times.
const (
	failedWeight = 2 // the process failed by itself: a signal of its own, an exit
	endedWeight  = 1 // it was ended from outside, or its stream broke and it lives
	certain      = 4
)

// Pauses before an attempt that broke off is tried again: doubled from the first to the last. After triesToDoubt in a row
// the process itself is doubted.
const (
	firstPauseMs = 100
	lastPauseMs  = 5000
	triesToDoubt = 5
)

// brokeOff: the stream of a build broke, its process may well live.
func (m *Machine) brokeOff(in BuildFailed) error {
	a := m.running(in.Build)
	if a == nil {
		return nil
	}
	if err := m.interrupt(a, cause{why: in.Why, weight: endedWeight}, !in.Away); err != nil || m.open != a || a.stage != held {
		return err
	}
	a.paused = true
	m.emit(SetTimer{TimerID{RetryTimer, a.lease}, uint32(min(lastPauseMs, firstPauseMs<<min(a.tries, 10)))})
	if a.tries++; a.tries%triesToDoubt == 0 {
		m.emit(SuspectStage{ordov1.Stage_STAGE_EXECUTION, fmt.Sprintf("block %d could not be built %d times in a row: %s", m.height, a.tries, in.Why)})
	}
	return nil
}

// interrupt keeps an attempt whose stream is gone: it is built again from the same transactions, in the same order and the
// same context, as soon as that can be.
func (m *Machine) interrupt(a *attempt, c cause, blamed bool) error {
	if len(a.items) > len(a.order) && a.pooled {
		a.order = a.items
	}
	if a.ahead = nil; a.pooled && a.begun {
		m.pool.Rewind(a.lease, len(a.order))
	}
	a.again = max(a.again, len(a.items))
	low, up := len(a.results), len(a.items)
	wasClosing := a.stage == closing
	if wasClosing && a.pooled {
		a.sealing, a.budget = true, 0 // it takes no more than it had
	}
	a.stage = held
	a.items, a.results, a.chunks, a.batches, a.told = nil, nil, nil, nil, 0
	a.inside, a.kept, a.cut = nil, nil, false
	switch {
	case wasClosing:
		a.suspect = false
		if !blamed || c.shared {
			break
		}
		if a.closings += c.weight; a.closings >= certain {
			return m.splitBlock(a, up, c.why)
		}
	case up > low:
		if !a.suspect || low > 0 {
			a.suspects = [2]int{low, up}
		}
		if a.suspect = !blamed; blamed {
			return m.recordCrash(a, c)
		}
	}
	return nil
}

// dropCulprit drops the transaction at a place of an attempt, and goes on without it.
func (m *Machine) dropCulprit(a *attempt, at int, reason string) error {
	if a.redo != nil {
		return fmt.Errorf("pipeline: block %d was decided before the restart and cannot be built again: transaction %d: %s", m.height, at, reason)
	}
	if a.borrowed() {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	killer := a.given()[at].Tx
	refused := mempool.Rejected{Hash: mempool.Key(killer.Hash), Refusal: ordov1.Refusal_OTHER, Why: &Rejection{ordov1.Refusal_OTHER, reason}}
	delete(m.suspects, refused.Hash)
	m.remember(killer)
	if dropped := m.pool.Reject([]mempool.Rejected{refused}); len(dropped) > 0 {
		m.emit(ReportDropped{dropped})
	}
	if !a.pooled {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	m.emit(CulpritFound{ordov1.Stage_STAGE_EXECUTION})
	before := a.order
	m.releases(a) // without it, and without those of its account that follow
	kept := map[string]bool{}
	for _, item := range a.order {
		kept[string(item.Tx.Hash)] = true
	}
	out := DropCandidates{Build: a.build}
	for i, item := range before {
		if !kept[string(item.Tx.Hash)] {
			out.Items = append(out.Items, item)
			if i < a.again {
				a.again--
			}
		}
	}
	if at < len(a.shown) {
		a.shown = nil
		m.emit(ResetPreconfirmed{a.build, a.context, a.order[:a.again]})
	} else {
		m.emit(out)
	}
	a.removed += len(out.Items)
	a.noted = max(0, a.noted-len(out.Items))
	a.closings = 0
	return nil
}

// splitBlock leaves the second half of an attempt whose closing ends execution to the next block.
func (m *Machine) splitBlock(a *attempt, n int, why string) error {
	switch {
	case !a.pooled:
		return nil // its content is not ours to choose: the budget of restarts ends this
	case n == 1 && a.closings > certain:
		return m.dropCulprit(a, 0, "execution ended again and again while closing a block of this transaction alone: "+why)
	case n > 1:
		m.emit(CulpritFound{ordov1.Stage_STAGE_EXECUTION}) // half of them are out of it: the search gets on
		half := (n + 1) / 2
		m.pool.Rewind(a.lease, half)
		out := DropCandidates{Build: a.build, Items: a.order[half:]}
		a.order, a.again, a.noted = a.order[:half:half], half, min(a.noted, half)
		if len(a.shown) > half {
			a.shown = nil // shown anew when it has run
			m.emit(ResetPreconfirmed{a.build, a.context, a.order})
		} else {
			m.emit(out)
		}
		a.limit = half
	}
	return nil
}
