package pipeline

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// A transaction is held to be the cause when execution has ended so many times with it in its hands, and so many times with
// nothing else. Whoever kills from outside hits the same one so often only by an unlikely chance.
const (
	deadly = 3
	alone  = 2
)

// Pauses before an attempt that broke off is tried again: doubled from the first to the last. After triesToDoubt in a row
// the process itself is doubted.
const (
	firstPauseMs = 100
	lastPauseMs  = 5000
	triesToDoubt = 5
)

// blame finds the transaction that ends execution. It is among those that were handed over and not answered, each time. From the
// second time on they are handed over one by one, so the third time there is only one left, and the fourth is the proof:
// few deaths, which a budget of restarts survives. When it is the closing that ends execution, the attempt is halved instead.
type blame struct {
	deaths   int
	low, up  int // whoever it is, it is one of these
	alone    int // deaths with one only
	closings int
}

func (b *blame) add(low, up int) {
	if b.deaths > 0 && max(low, b.low) < min(up, b.up) {
		b.deaths++
		b.low, b.up = max(low, b.low), min(up, b.up)
	} else {
		b.deaths, b.alone, b.low, b.up = 1, 0, low, up // another cause
	}
	if up-low == 1 {
		b.alone++
	}
}

// careful says how many may be handed over together, and in how many chunks.
func (b *blame) careful(a *attempt, chunk, window int) (n, most int) {
	at := len(a.items)
	switch {
	case b.deaths < deadly-1 || at >= b.up && len(a.results) >= b.up:
		return chunk, window
	case at < b.low:
		return min(chunk, b.low-at), window
	case len(a.results) < at:
		return 1, 0
	}
	return 1, 1
}

// brokeOff: the stream of a build broke, its process may well live.
func (m *Machine) brokeOff(in BuildFailed) error {
	a := m.running(in.Build)
	if a == nil {
		return nil
	}
	if err := m.interrupt(a, in.Why, !in.Away); err != nil || m.open != a || a.stage != held {
		return err
	}
	a.paused = true
	m.emit(SetTimer{TimerID{RetryTimer, a.lease}, uint32(min(lastPauseMs, firstPauseMs<<min(a.tries, 10)))})
	if a.tries++; a.tries%triesToDoubt == 0 {
		m.emit(Doubt{ordov1.Stage_STAGE_EXECUTION, fmt.Sprintf("block %d could not be built %d times in a row: %s", m.height, a.tries, in.Why)})
	}
	return nil
}

// interrupt keeps an attempt whose stream is gone: it is built again from the same transactions, in the same order and the
// same context, as soon as that can be.
func (m *Machine) interrupt(a *attempt, why string, blamed bool) error {
	if len(a.items) > len(a.order) && a.pooled {
		a.order = a.items
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
		if !blamed {
			break
		}
		if a.blame.closings++; a.blame.closings >= deadly {
			return m.halve(a, up, why)
		}
	case up > low:
		if !a.suspect || low > 0 {
			a.suspects = [2]int{low, up}
		}
		if a.suspect = !blamed; blamed {
			return m.accuse(a, why)
		}
	}
	return nil
}

// accuse counts a death, and drops the transaction that is found to be the cause.
func (m *Machine) accuse(a *attempt, why string) error {
	a.suspect = false
	b := &a.blame
	b.add(a.suspects[0], a.suspects[1])
	if b.deaths < deadly || b.alone < alone {
		return nil
	}
	return m.convict(a, b.low, fmt.Sprintf("execution ended %d times while running this transaction: %s", b.deaths, why))
}

// convict drops the transaction at a place of an attempt, and goes on without it.
func (m *Machine) convict(a *attempt, at int, reason string) error {
	if a.relive != nil {
		return fmt.Errorf("pipeline: block %d was decided before the restart and cannot be built again: transaction %d: %s", m.height, at, reason)
	}
	if a.borrowed() {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	killer := a.all()[at].Tx
	refused := pool.Refused{Hash: pool.Key(killer.Hash), Refusal: ordov1.Refusal_OTHER, Why: &Rejection{ordov1.Refusal_OTHER, reason}}
	if dropped := m.pool.Refuse([]pool.Refused{refused}); len(dropped) > 0 {
		m.emit(Leave{dropped})
	}
	if !a.pooled {
		m.fail(a, fmt.Sprintf("transaction %d: %s", at, reason), false)
		return nil
	}
	before := a.order
	m.releases(a) // without it, and without those of its account that follow
	kept := map[string]bool{}
	for _, item := range a.order {
		kept[string(item.Tx.Hash)] = true
	}
	out := Withdraw{Build: a.build}
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
		m.emit(Retract{a.build, a.context, a.order[:a.again]})
	} else {
		m.emit(out)
	}
	a.removed += len(out.Items)
	a.noted = max(0, a.noted-len(out.Items))
	a.blame = blame{}
	return nil
}

// halve leaves the second half of an attempt whose closing ends execution to the next block.
func (m *Machine) halve(a *attempt, n int, why string) error {
	switch {
	case !a.pooled:
		return nil // its content is not ours to choose: the budget of restarts ends this
	case n == 1 && a.blame.closings > deadly:
		return m.convict(a, 0, fmt.Sprintf("execution ended %d times while closing a block of this transaction alone: %s", a.blame.closings, why))
	case n > 1:
		half := (n + 1) / 2
		m.pool.Rewind(a.lease, half)
		out := Withdraw{Build: a.build, Items: a.order[half:]}
		a.order, a.again, a.noted = a.order[:half:half], half, min(a.noted, half)
		if len(a.shown) > half {
			a.shown = nil // shown anew when it has run
			m.emit(Retract{a.build, a.context, a.order})
		} else {
			m.emit(out)
		}
		a.limit = half
	}
	return nil
}
