package mempool

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The heap gives what a sorted list gives, whatever leaves from the middle or changes its score, and does not gather what
// is stale.
func TestHeap(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var h heap
		var in []*Entry
		a := &account{}
		for seq := range uint64(500) {
			e := &Entry{Seq: seq + 1, hi: r.Uint64N(5), lo: r.Uint64N(3)}
			if r.IntN(10) > 0 {
				e.account = a
			}
			h.push(e)
			in = append(in, e)
			for range r.IntN(3) {
				if len(in) == 0 {
					break
				}
				at := r.IntN(len(in))
				switch r.IntN(3) {
				case 0:
					in[at].hi = r.Uint64N(5)
					h.fix(in[at])
				case 1:
					h.remove(in[at])
					h.fix(in[at]) // it is not in: nothing happens
					h.remove(in[at])
					in = slices.Delete(in, at, at+1)
				default:
					best := slices.MinFunc(in, compare)
					if got := h.pop(); got != best || got.stamp != 0 {
						t.Fatalf("seed %d: got %+v, want %+v", seed, got, best)
					}
					in = slices.DeleteFunc(in, func(e *Entry) bool { return e == best })
				}
			}
			if h.count() != len(in) || 2*h.stale > len(h.items) {
				t.Fatalf("seed %d: %d are in, counted %d, %d of %d stale", seed, len(in), h.count(), h.stale, len(h.items))
			}
		}
	}
}

// compare is the order of entries said once more: L1 handlers by arrival, the rest by score, then by arrival.
func compare(a, b *Entry) int {
	first := func(yes bool) int {
		if yes {
			return -1
		}
		return 1
	}
	switch {
	case (a.account == nil) != (b.account == nil):
		return first(a.account == nil)
	case a.account != nil && a.hi != b.hi:
		return first(a.hi > b.hi)
	case a.account != nil && a.lo != b.lo:
		return first(a.lo > b.lo)
	}
	return first(a.Seq < b.Seq)
}
