package limiter

import (
	"container/list"
	"net/netip"
)

// queue gives turns to addresses one after the other, and to the waiters of one address in the order in which they came. So
// a flood from one address waits behind itself and not in front of the others.
type queue struct {
	turns list.List // of *line: the one whose turn is next comes first
	lines map[netip.Prefix]*line
	count int
	bytes int
	need  int64
}

// line is what waits from one address.
type line struct {
	from    netip.Prefix
	waiters list.List // of *waiter
	bytes   int
	turn    *list.Element
}

// waiter is one that waits. The lock of the queue's owner is held wherever it is touched.
type waiter struct {
	need  int64      // what it waits for, where that is a size
	held  int64      // what its share has of that already
	bytes int        // what it holds while it waits
	ready chan error // has room for the one answer: nil for a turn
	place *list.Element
	line  *line // nil when it waits no more
}

func (q *queue) push(from netip.Prefix, w *waiter) {
	if q.lines == nil {
		q.lines = map[netip.Prefix]*line{}
	}
	l := q.lines[from]
	if l == nil {
		l = &line{from: from}
		l.turn = q.turns.PushBack(l)
		q.lines[from] = l
	}
	w.line, w.place = l, l.waiters.PushBack(w)
	l.bytes += w.bytes
	q.count, q.bytes, q.need = q.count+1, q.bytes+w.bytes, q.need+w.need
}

// remove takes out a waiter; false when it waits no more.
func (q *queue) remove(w *waiter) bool {
	l := w.line
	if l == nil {
		return false
	}
	l.waiters.Remove(w.place)
	l.bytes -= w.bytes
	q.count, q.bytes, q.need = q.count-1, q.bytes-w.bytes, q.need-w.need
	w.line = nil
	if l.waiters.Len() == 0 {
		q.turns.Remove(l.turn)
		delete(q.lines, l.from)
	}
	return true
}

// front is whose turn is next; nil when nothing waits.
func (q *queue) front() *waiter {
	first := q.turns.Front()
	if first == nil {
		return nil
	}
	return first.Value.(*line).waiters.Front().Value.(*waiter)
}

// pop gives the turn to the one at the front, and the next turn to another address.
func (q *queue) pop() {
	w := q.front()
	l := w.line
	q.turns.MoveToBack(l.turn)
	q.remove(w)
	w.ready <- nil
}

// displace refuses the latest of the address that has the most in the queue, in favour of one from elsewhere; false when no
// address has more than the new request's would have then.
func (q *queue) displace(from netip.Prefix, bytes int, why error) bool {
	var most *line
	for _, l := range q.lines {
		if most == nil || l.bytes > most.bytes || l.bytes == most.bytes && l.waiters.Len() > most.waiters.Len() {
			most = l
		}
	}
	own, count := bytes, 1
	if l := q.lines[from]; l != nil {
		own, count = own+l.bytes, count+l.waiters.Len()
	}
	if most == nil || most.from == from || most.bytes < own || most.bytes == own && most.waiters.Len() <= count {
		return false
	}
	w := most.waiters.Back().Value.(*waiter)
	q.remove(w)
	w.ready <- why
	return true
}
