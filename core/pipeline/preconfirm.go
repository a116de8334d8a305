package pipeline

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

// compare holds results against those that another stream of the same attempt had, as far as readers have seen them.
func (m *Machine) compare(a *attempt, first int) {
	for i := first; i < min(len(a.readers.shown), len(a.results)); i++ {
		if !proto.Equal(a.readers.shown[i], a.results[i]) {
			m.resetPreconfirmed(a)
			return
		}
	}
}

// resetPreconfirmed takes back what readers have seen: it will not be in the block, or not like this.
func (m *Machine) resetPreconfirmed(a *attempt) {
	a.readers.shown, a.readers.told, a.resume.handed = nil, 0, min(a.resume.handed, len(a.items))
	m.emit(ResetPreconfirmed{a.build, a.context, a.items})
}

// preconfirm lets readers have the results whose order would survive a restart. A proposal of another node is shown when it is decided.
func (m *Machine) preconfirm(a *attempt) {
	if a.source.borrowed() {
		return
	}
	r, limit := &a.readers, m.visibleLimit(a)
	for ; r.told < len(r.batches); r.told++ {
		b := r.batches[r.told]
		if b.end > limit {
			return
		}
		if from := max(b.first, len(r.shown)); from < b.end {
			r.shown = a.results[:b.end]
			m.emit(Preconfirm{a.build, from, a.items[from:b.end], a.results[from:b.end], b.delta})
		}
	}
}

// cutPreconfirmed takes back what readers have seen of an attempt that is closed at fewer than that, and shows the rest anew.
func (m *Machine) cutPreconfirmed(a *attempt, n int) {
	r := &a.readers
	if n >= len(r.shown) {
		return
	}
	r.batches = slices.DeleteFunc(r.batches, func(b batch) bool { return b.first >= n })
	if last := len(r.batches) - 1; last >= 0 {
		r.batches[last].end = min(r.batches[last].end, n)
	}
	m.resetPreconfirmed(a)
	m.preconfirm(a)
}

// orderPersisted takes how much of the order of the open attempt would survive a restart.
func (m *Machine) orderPersisted(in OrderPersisted) {
	a := m.open
	if a == nil || a.lease != in.Build || in.N-a.readers.removed <= a.readers.durable {
		return
	}
	a.readers.durable = in.N - a.readers.removed
	if a.state.streaming() {
		m.preconfirm(a)
	}
}
