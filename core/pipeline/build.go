package pipeline

import (
	"bytes"
	"fmt"
	"slices"
)

// executed takes results. They come in the order of the transactions.
func (m *Machine) executed(in Executed) error {
	a := m.streamOf(in.Build)
	if a == nil || !a.state.streaming() {
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
	a.resume.unexplained = span{}
	if m.crashes.any() {
		for i, r := range got {
			m.clearSuspect(a.items[first+i].Tx, r)
		}
	}
	if p := a.fromPeer(); p != nil {
		if at := slices.IndexFunc(a.results[:min(len(a.results), p.n)], isRejected); at >= 0 {
			m.rejectProposal(a, fmt.Sprintf("transaction %d of the proposal is rejected: %s: %s", at, a.results[at].Rejection, a.results[at].Reason))
			return nil
		}
	}
	if m.learning() && a == m.open && a.ordered() == nil {
		if at := slices.IndexFunc(a.results, isRejected); at >= 0 { // no node keeps them with a block
			m.unlearn(a, fmt.Sprintf("transaction %d is rejected: %s: %s", at, a.results[at].Rejection, a.results[at].Reason))
			return nil
		}
	}
	a.readers.batches, a.resume.tries = append(a.readers.batches, batch{first, len(a.results), in.Results.Delta}), 0
	for len(a.chunks) > 0 && a.chunks[0] <= len(a.results) {
		a.chunks = a.chunks[1:]
	}
	m.compare(a, first)
	m.preconfirm(a)
	return nil
}

// full takes the end of a block that has reached a limit.
func (m *Machine) full(in Full) error {
	a := m.streamOf(in.Build)
	if a == nil || !a.state.streaming() {
		return nil
	}
	if int(in.N) != len(a.results) {
		return fmt.Errorf("pipeline: execution: build %d is full at %d, but %d results came: the execution plugin is broken", a.build, in.N, len(a.results))
	}
	if p := a.fromPeer(); p != nil && int(in.N) < p.n {
		m.rejectProposal(a, fmt.Sprintf("the proposal is over a limit of the block: %s", in.Why))
		return nil
	}
	m.becomeFull(a)
	return nil
}

// close ends the attempt at n. What was added beyond goes back to the pool.
func (m *Machine) close(a *attempt, n int) {
	m.cancelTimers(a)
	m.pool.Rewind(a.lease, n)
	a.items, a.results = slices.Clip(a.items[:n]), slices.Clip(a.results[:n])
	a.order, a.resume.handed = a.items, min(a.resume.handed, n) // an attempt that proposes it again proposes no more
	if p := a.fromPool(); p != nil {
		p.ahead = nil
	}
	m.cutPreconfirmed(a, n)
	a.block = &block{}
	for i, r := range a.results {
		if !isRejected(r) {
			a.block.items, a.block.results = append(a.block.items, a.items[i]), append(a.block.results, r)
		}
	}
	if len(a.block.items) == 0 && !a.allowsEmpty() {
		m.reject(a.rejected()) // nothing stays: what was rejected here, on an untouched tip, would be rejected for ever
		m.fail(a, nothingToRun, true)
		return
	}
	m.becomeClosing(a, n)
}

// closed takes the block of a closed stream.
func (m *Machine) closed(in Closed) error {
	a := m.streamOf(in.Build)
	if a == nil {
		return nil
	}
	if a.state != closing || in.Closed.N != uint64(len(a.items)) {
		return fmt.Errorf("pipeline: execution: build %d closed at %d while %s with %d transactions: the execution plugin is broken", a.build, in.Closed.N, a.state, len(a.items))
	}
	m.becomeHashing(a, in.Closed)
	return nil
}

// headerHashed takes the header of a block, and with it the value of the attempt.
func (m *Machine) headerHashed(in HeaderHashed) error {
	a := m.open
	if a == nil || a.build != in.Build || a.state != hashing {
		return nil
	}
	m.becomeBuilt(a, in.Header)
	value := a.block.header.PartialHash
	switch p := a.fromPeer(); {
	case a.redo() != nil:
		return m.redone(a)
	case p == nil:
		m.tellBuilt(a)
	case bytes.Equal(p.value, value):
		if why := m.keepValid(a); why != "" {
			m.missing(a, why)
			return nil
		}
		m.verdict(a, true, "")
	default:
		m.becomeFailed(a)
		m.verdict(a, false, fmt.Sprintf("the proposal's value is %x, its block has %x", p.value, value))
	}
	return nil
}
