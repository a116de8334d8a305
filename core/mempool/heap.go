package mempool

import "slices"

// heap holds the ready transactions, best first: L1 handlers, then by score, then by arrival. What it compares lies in it,
// and it never looks at an entry on the way: with many ready ones each look would go to another place of the memory. So an
// entry does not know its place either. What leaves from the middle, or gets another score, stays as a stale item until it
// comes to the top, or until half of all are stale.
type heap struct {
	items []item
	stale int
	stamp uint64 // of the last push
}

// item is an entry in the heap. It is stale when the entry has another stamp.
type item struct {
	hi, lo, seq uint64
	stamp       uint64
	entry       *Entry
}

// ways is how many children an item has: four lie side by side, and the way down is half as long as with two.
const ways = 4

// handlerSeq is below the seq of all that is not an L1 handler, which has it set.
const handlerSeq = 1 << 63

func itemOf(e *Entry) item {
	if e.account == nil { // the bridge's messages go by arrival, whatever a policy says
		return item{hi: ^uint64(0), lo: ^uint64(0), seq: e.Seq, stamp: e.stamp, entry: e}
	}
	return item{hi: e.hi, lo: e.lo, seq: e.Seq | handlerSeq, stamp: e.stamp, entry: e}
}

func (a *item) before(b *item) bool {
	if a.hi != b.hi {
		return a.hi > b.hi
	}
	if a.lo != b.lo {
		return a.lo > b.lo
	}
	return a.seq < b.seq
}

// count is the number of ready transactions.
func (h *heap) count() int { return len(h.items) - h.stale }

func (h *heap) push(e *Entry) {
	h.stamp++
	e.stamp = h.stamp
	h.items = append(h.items, itemOf(e))
	h.up(len(h.items) - 1)
}

// pop takes the best one out, nil when there is none.
func (h *heap) pop() *Entry {
	for len(h.items) > 0 {
		top := h.items[0]
		last := len(h.items) - 1
		h.items[0] = h.items[last]
		h.items[last] = item{}
		h.items = h.items[:last]
		h.down(0)
		if top.entry.stamp == top.stamp {
			top.entry.stamp = 0
			h.tidy()
			return top.entry
		}
		h.stale--
	}
	return nil
}

// remove takes e out; nothing happens when it is not in.
func (h *heap) remove(e *Entry) {
	if e.stamp == 0 {
		return
	}
	e.stamp = 0
	h.stale++
	h.tidy()
}

// fix puts e, if it is in, where its changed score belongs.
func (h *heap) fix(e *Entry) {
	if e.stamp != 0 {
		h.remove(e)
		h.push(e)
	}
}

// tidy drops the stale items when they are more than half.
func (h *heap) tidy() {
	if 2*h.stale <= len(h.items) {
		return
	}
	h.items = slices.DeleteFunc(h.items, func(i item) bool { return i.entry.stamp != i.stamp })
	h.stale = 0
	for i := (len(h.items) - 2) / ways; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap) up(i int) {
	moved := h.items[i]
	for i > 0 {
		parent := (i - 1) / ways
		if !moved.before(&h.items[parent]) {
			break
		}
		h.items[i] = h.items[parent]
		i = parent
	}
	h.items[i] = moved
}

func (h *heap) down(i int) {
	if i >= len(h.items) {
		return
	}
	moved := h.items[i]
	for {
		best, first := -1, ways*i+1
		for child := first; child < min(first+ways, len(h.items)); child++ {
			if best < 0 || h.items[child].before(&h.items[best]) {
				best = child
			}
		}
		if best < 0 || !h.items[best].before(&moved) {
			break
		}
		h.items[i] = h.items[best]
		i = best
	}
	h.items[i] = moved
}

// list keeps all entries in order of arrival.
type list struct{ first, last *Entry }

func (l *list) push(e *Entry) {
	e.prev = l.last
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *list) remove(e *Entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
}
