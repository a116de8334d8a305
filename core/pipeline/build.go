package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (m *Machine) executed(in Executed) error {
	a := m.running(in.Build)
	if a == nil || a.stage != running {
		return nil
	}
	first, got := int(in.Results.First), in.Results.Results
	if first != len(a.results) || first+len(got) > len(a.items) {
		return fmt.Errorf("pipeline: execution: results %d to %d of build %d, but %d of %d were expected next: the execution plugin is broken",
			first, first+len(got)-1, a.build, len(a.results), len(a.items))
	}
	for i, r := range got {
		if !bytes.Equal(r.Hash, a.items[first+i].Tx.Hash) {
			return fmt.Errorf("pipeline: execution: result %d of build %d is of transaction %x, not %x: the execution plugin is broken", first+i, a.build, r.Hash, a.items[first+i].Tx.Hash)
		}
	}
	a.results = append(a.results, got...)
	a.suspect = false
	if len(m.suspects) > 0 || len(m.parties) > 0 {
		for i, r := range got {
			m.clearSuspect(a.items[first+i].Tx, r)
		}
	}
	if a.foreign {
		if at := slices.IndexFunc(a.results[:min(len(a.results), a.limit)], rejected); at >= 0 {
			m.rejectProposal(a, fmt.Sprintf("transaction %d of the proposal is rejected: %s: %s", at, a.results[at].Refusal, a.results[at].Reason))
			return nil
		}
	}
	a.batches, a.tries = append(a.batches, batch{first, len(a.results), in.Results.Delta}), 0
	for len(a.chunks) > 0 && a.chunks[0] <= len(a.results) {
		a.chunks = a.chunks[1:]
	}
	m.compare(a, first)
	m.preconfirm(a)
	return nil
}

func rejected(r *ordov1.TransactionResult) bool {
	return r.Status == ordov1.TransactionResult_REJECTED
}

// batch are results that came together, with what they changed.
type batch struct {
	first, end int
	delta      *ordov1.StateDiff
}

// compare holds results against those that another run of the same attempt had, as far as readers have seen them.
func (m *Machine) compare(a *attempt, first int) {
	for i := first; i < min(len(a.shown), len(a.results)); i++ {
		if !proto.Equal(a.shown[i], a.results[i]) {
			m.resetPreconfirmed(a)
			return
		}
	}
}

// resetPreconfirmed takes back what readers have seen: it will not be in the block, or not like this.
func (m *Machine) resetPreconfirmed(a *attempt) {
	a.shown, a.told, a.again = nil, 0, min(a.again, len(a.items))
	m.emit(ResetPreconfirmed{a.build, a.context, a.items})
}

// preconfirm lets readers have the results whose order would survive. A proposal of another node is shown when it is decided.
func (m *Machine) preconfirm(a *attempt) {
	if a.borrowed() {
		return
	}
	for ; a.told < len(a.batches); a.told++ {
		b := a.batches[a.told]
		if m.visibleLimit(a) < b.end {
			return
		}
		if from := max(b.first, len(a.shown)); from < b.end {
			a.shown = a.results[:b.end]
			m.emit(Preconfirm{a.build, from, a.items[from:b.end], a.results[from:b.end], b.delta})
		}
	}
}

func (m *Machine) orderPersisted(in OrderPersisted) {
	if a := m.open; a != nil && a.lease == in.Build && in.N-a.removed > a.noted {
		a.noted = in.N - a.removed
		if a.stage == running {
			m.preconfirm(a)
		}
	}
}

func (m *Machine) full(in Full) error {
	a := m.running(in.Build)
	if a == nil || a.stage != running {
		return nil
	}
	if int(in.N) != len(a.results) {
		return fmt.Errorf("pipeline: execution: build %d is full at %d, but %d results came: the execution plugin is broken", a.build, in.N, len(a.results))
	}
	if a.foreign && int(in.N) < a.limit {
		m.rejectProposal(a, fmt.Sprintf("the proposal is over a limit of the block: %s", in.Why))
		return nil
	}
	a.cut = true
	return nil
}

// close ends the attempt at n. What was added beyond goes back to the pool.
func (m *Machine) close(a *attempt, n int) {
	m.cancelTimers(a)
	m.pool.Rewind(a.lease, n)
	a.items, a.results = slices.Clip(a.items[:n]), slices.Clip(a.results[:n])
	a.order, a.ahead, a.again = nil, nil, min(a.again, n)
	if n < len(a.shown) {
		a.batches = slices.DeleteFunc(a.batches, func(b batch) bool { return b.first >= n })
		if last := len(a.batches) - 1; last >= 0 {
			a.batches[last].end = min(a.batches[last].end, n)
		}
		m.resetPreconfirmed(a)
		m.preconfirm(a)
	}
	a.source = a.items // who proposes it again proposes no more
	for i, r := range a.results {
		if !rejected(r) {
			a.inside, a.kept = append(a.inside, a.items[i]), append(a.kept, r)
		}
	}
	if len(a.inside) == 0 && !a.allowEmpty && !a.foreign {
		// Nothing stays: what was refused here, on an untouched tip, would be refused for ever.
		if dropped := m.pool.Reject(a.rejected()); len(dropped) > 0 {
			m.emit(ReportDropped{dropped})
		}
		m.fail(a, nothingToRun, true)
		return
	}
	a.stage = closing
	m.emit(Close{a.build, uint64(n)})
}

func (m *Machine) closed(in Closed) error {
	a := m.running(in.Build)
	if a == nil {
		return nil
	}
	if a.stage != closing || in.Closed.N != uint64(len(a.items)) {
		return fmt.Errorf("pipeline: execution: build %d closed at %d while %s with %d transactions: the execution plugin is broken", a.build, in.Closed.N, a.stage, len(a.items))
	}
	a.stage, a.life = hashing, m.life
	a.diff, a.classes = in.Closed.StateDiff, in.Closed.Classes
	if a.diff == nil {
		a.diff = &ordov1.StateDiff{}
	}
	draft := &ordov1.BlockHeader{Context: a.context, GasUsed: in.Closed.GasUsed, Round: a.round, Degraded: a.degraded}
	m.emit(HashHeader{a.build, draft, a.inside, a.kept, a.diff})
	return nil
}

func (m *Machine) headerHashed(in HeaderHashed) error {
	a := m.open
	if a == nil || a.build != in.Build || a.stage != hashing {
		return nil
	}
	a.stage, a.header = done, in.Header
	m.open = nil
	switch {
	case a.redo != nil:
		return m.redone(a)
	case !a.foreign:
		m.tellBuilt(a)
	case bytes.Equal(a.claim, a.header.PartialHash):
		m.verdict(a, true, "")
	default:
		a.stage = failed
		m.verdict(a, false, fmt.Sprintf("the proposal's value is %x, its block has %x", a.claim, a.header.PartialHash))
	}
	return nil
}

func (m *Machine) tellBuilt(a *attempt) {
	if a == m.carried {
		return // nobody has asked yet
	}
	built := &ordov1.ConsensusEvent_Built{Attempt: a.id, Value: a.header.PartialHash, N: uint64(len(a.items))}
	if m.options.Proposals {
		// What was rejected here makes a proposal invalid there.
		proposal := &ordov1.Proposal{Context: a.context, N: uint64(len(a.inside))}
		for _, item := range a.inside {
			proposal.Transactions = append(proposal.Transactions, item.Tx)
			if item.Class != nil {
				proposal.Classes = append(proposal.Classes, item.Class)
			}
		}
		built.Proposal, _ = proto.Marshal(proposal) // fails only on invalid UTF-8 in a string field, and those are ours
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: built}})
}

func (m *Machine) verdict(a *attempt, valid bool, reason string) {
	v := &ordov1.ConsensusEvent_Verdict{Attempt: a.id, Valid: valid, Reason: reason}
	if a.header != nil {
		v.Value = a.header.PartialHash
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: v}})
}

// rejectProposal ends a foreign proposal with a verdict.
func (m *Machine) rejectProposal(a *attempt, reason string) {
	m.drop(a)
	a.stage = failed
	m.verdict(a, false, reason)
}

// fail ends an attempt without a value, and without a word on whether the proposal was good.
func (m *Machine) fail(a *attempt, reason string, empty bool) {
	orphan := a == m.carried
	m.drop(a)
	a.stage = failed
	m.announced = false // what it had taken is ready once more
	if orphan {
		return
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: a.id, Reason: reason, Empty: empty}}})
}

// drop lets an attempt go; what it took from the pool stands there again where it stood.
func (m *Machine) drop(a *attempt) {
	m.cancelTimers(a)
	if a.begun && a.stage != abandoned && a.stage != failed {
		m.emit(Abort{a.build})
	}
	m.pool.Rewind(a.lease, 0)
	a.stage = abandoned
	if m.open == a {
		m.open = nil
	}
	if m.carried == a {
		m.carried = nil
	}
}

func (m *Machine) cancelTimers(a *attempt) {
	if a.stage != running && a.stage != held {
		return
	}
	if a.timed {
		a.timed, a.deadlineMs = false, 0
		m.emit(CancelTimer{TimerID{DeadlineTimer, a.lease}})
	}
	if a.idleSet {
		a.idleSet = false
		m.emit(CancelTimer{TimerID{IdleTimer, a.lease}})
	}
	if a.paused {
		a.paused = false
		m.emit(CancelTimer{TimerID{RetryTimer, a.lease}})
	}
}
