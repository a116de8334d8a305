package pool

// heap holds the ready transactions, best first: L1 handlers, then by score, then by arrival. Every entry knows its place,
// so one that changes or leaves costs a logarithm, not a search.
type heap []*Entry

func before(a, b *Entry) bool {
	if l1 := a.account == nil; l1 != (b.account == nil) {
		return l1
	}
	if a.account != nil { // the bridge's messages go by arrival, whatever a policy says
		if a.hi != b.hi {
			return a.hi > b.hi
		}
		if a.lo != b.lo {
			return a.lo > b.lo
		}
	}
	return a.Seq < b.Seq
}

func (h *heap) push(e *Entry) {
	e.slot = len(*h)
	*h = append(*h, e)
	h.up(e.slot)
}

func (h *heap) pop() *Entry {
	if len(*h) == 0 {
		return nil
	}
	e := (*h)[0]
	h.remove(e)
	return e
}

// remove takes e out; nothing happens when it is not in.
func (h *heap) remove(e *Entry) {
	i := e.slot
	if i < 0 {
		return
	}
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	e.slot = -1
	if i < last {
		h.down(i)
		h.up(i)
	}
}

// fix restores the order after e's score changed.
func (h *heap) fix(e *Entry) {
	if e.slot >= 0 {
		h.down(e.slot)
		h.up(e.slot)
	}
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

func (h heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !before(h[i], h[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h heap) down(i int) {
	for {
		best := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if before(h[child], h[best]) {
				best = child
			}
		}
		if best == i {
			return
		}
		h.swap(i, best)
		i = best
	}
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
