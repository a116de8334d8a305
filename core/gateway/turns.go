package gateway

import "slices"

// lane is the account or the network that a compilation is for. An account that signed a declaration is proven; an estimate can claim any
// account, so it is told apart by where it calls from.
type lane struct {
	proven bool
	of     string
}

// turns decides which class is compiled next. Lanes take turns, and so do the two kinds of lanes, so that no number of
// classes from one place keeps another one waiting for long. It is bounded in all and for each lane; when it is full, a lane
// with less makes room at the expense of the lane with most. It is pure: the compiler calls it under its lock.
type turns struct {
	most, share int // flows that wait: of all, of one lane
	waiting     int
	lanes       map[lane]*row
	rings       [2][]*row // of unproven and proven lanes; the first has the next turn
	proven      bool      // whose turn it is, when both wait
}

// row are the flows of one lane, the oldest first.
type row struct {
	lane  lane
	flows []*flow
}

func newTurns(most, share int) *turns {
	return &turns{most: most, share: share, lanes: map[lane]*row{}, proven: true}
}

func ring(proven bool) int {
	if proven {
		return 1
	}
	return 0
}

// length of a lane.
func (t *turns) length(l lane) int {
	if r := t.lanes[l]; r != nil {
		return len(r.flows)
	}
	return 0
}

// add lets a flow wait in a lane. Another one may have to leave for it: out. Not ok: there is no room.
func (t *turns) add(l lane, f *flow) (out *flow, ok bool) {
	if t.length(l) >= t.share {
		return nil, false
	}
	if t.waiting >= t.most {
		if out = t.outFor(l); out == nil {
			return nil, false
		}
		t.remove(out)
	}
	r := t.lanes[l]
	if r == nil {
		r = &row{lane: l}
		t.lanes[l] = r
		t.rings[ring(l.proven)] = append(t.rings[ring(l.proven)], r)
	}
	f.lane, f.waits = l, true
	r.flows = append(r.flows, f)
	t.waiting++
	return out, true
}

// outFor finds the flow that makes room for a new one: the last of the longest lane. A proven lane displaces any unproven
// one; else only a lane that stays longer than the new one's gives way.
func (t *turns) outFor(l lane) *flow {
	if r := t.longest(false); r != nil && (l.proven || len(r.flows) >= t.length(l)+2) {
		return r.flows[len(r.flows)-1]
	}
	if r := t.longest(true); r != nil && l.proven && len(r.flows) >= t.length(l)+2 {
		return r.flows[len(r.flows)-1]
	}
	return nil
}

func (t *turns) longest(proven bool) (longest *row) {
	for _, r := range t.rings[ring(proven)] {
		if longest == nil || len(r.flows) > len(longest.flows) {
			longest = r
		}
	}
	return longest
}

// remove takes out a flow that waits.
func (t *turns) remove(f *flow) {
	r := t.lanes[f.lane]
	r.flows = slices.DeleteFunc(r.flows, func(other *flow) bool { return other == f })
	f.waits = false
	t.waiting--
	if len(r.flows) == 0 {
		delete(t.lanes, r.lane)
		t.rings[ring(r.lane.proven)] = slices.DeleteFunc(t.rings[ring(r.lane.proven)], func(other *row) bool { return other == r })
	}
}

// next takes out the flow whose turn it is; nil when none waits.
func (t *turns) next() *flow {
	kind := t.proven
	if len(t.rings[ring(kind)]) == 0 {
		kind = !kind
	}
	rows := t.rings[ring(kind)]
	if len(rows) == 0 {
		return nil
	}
	t.proven = !kind
	r := rows[0]
	copy(rows, rows[1:]) // its next turn comes after those of the others
	rows[len(rows)-1] = r
	f := r.flows[0]
	t.remove(f)
	return f
}

// prove moves a flow that waits to a proven lane, if that has room.
func (t *turns) prove(l lane, f *flow) {
	if f.lane.proven || t.length(l) >= t.share {
		return
	}
	t.remove(f)
	t.add(l, f) // there is room: it has just left
}
