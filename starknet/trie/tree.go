package trie

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// ErrDamaged means that stored pages do not fit together. Pages are a cache of the leaves: rebuild them.
var ErrDamaged = errors.New("trie: stored pages are damaged")

// Entry is one change of a trie: the value of a key, 0 to remove it.
type Entry struct {
	Key, Value felt.Felt
}

type item struct {
	key   path
	value felt.Felt
}

// items turns entries into sorted paths.
func items(entries []Entry) ([]item, error) {
	out := make([]item, len(entries))
	for i, e := range entries {
		p, err := pathOf(e.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, e.Key)
		}
		out[i] = item{p, e.Value}
	}
	byKey := func(a, b item) int { return a.key.compare(b.key) }
	if !slices.IsSortedFunc(out, byKey) {
		slices.SortFunc(out, byKey)
	}
	for i := 1; i < len(out); i++ {
		if out[i].key == out[i-1].key {
			return nil, fmt.Errorf("trie: key %s twice in one update", out[i].key.key())
		}
	}
	return out, nil
}

// tree is one trie: its root and the pages in memory. Pages are read from the store when an update first needs them.
type tree struct {
	prefix []byte // of its keys in the store
	store  Store
	root   ref
	pages  map[pageID]*page
}

// page returns a page of the tree, an empty one where the store has none.
func (t *tree) page(id pageID, w *work) (*page, error) {
	known := func() *page {
		p := t.pages[id]
		if p != nil {
			p.used = w.now
		}
		return p
	}
	w.pages.Lock()
	p := known()
	w.pages.Unlock()
	if p != nil {
		return p, nil
	}
	p = &page{used: w.now}
	data, err := t.store.Get(id.appendKey(slices.Clip(t.prefix)))
	if err != nil {
		return nil, fmt.Errorf("trie: read page: %w", err)
	}
	if data != nil {
		if err := decodePage(data, id, p); err != nil {
			return nil, err
		}
	}
	w.pages.Lock()
	defer w.pages.Unlock()
	if other := known(); other != nil { // read by two at once
		return other, nil
	}
	if t.pages == nil {
		t.pages = make(map[pageID]*page)
	}
	t.pages[id] = p
	w.pages.pages.Add(1)
	w.pages.branches.Add(p.count())
	return p, nil
}

// recent remembers the page of each band that was asked for last. An update walks down and up in the order of keys, so
// four of five times the next branch lies in one of them, and the map is not asked.
type recent [Height/pageLevels + 1]struct {
	tree   *tree
	prefix path
	page   *page
}

// load returns the branch behind a ref, and the page that holds it.
func (t *tree) load(r *ref, w *work) (*page, int, error) {
	id, slot := pageOf(r.depth, r.path)
	last := &w.recent[id.band]
	if last.tree != t || last.prefix != id.prefix {
		p, err := t.page(id, w)
		if err != nil {
			return nil, 0, err
		}
		last.tree, last.prefix, last.page = t, id.prefix, p
	}
	p := last.page
	// The hash stands in the parent's page too: a page left over from another checkpoint is noticed here.
	if b := p.slots[slot]; b == nil || b.hash != r.node || b.path != r.path {
		return nil, 0, fmt.Errorf("%w: no branch %s at depth %d", ErrDamaged, r.node, r.depth)
	}
	return p, slot, nil
}

// put applies sorted items to what hangs below a position and returns what hangs there then. Nothing is hashed: branches
// that changed are queued in w.
func (t *tree) put(r ref, list []item, w *work) (ref, error) {
	if len(list) == 0 {
		return r, nil
	}
	if !r.full {
		return t.build(list, w)
	}
	// The list is sorted, so one of its ends leaves the path first.
	d := min(r.depth, r.path.common(list[0].key), r.path.common(list[len(list)-1].key))
	if d < r.depth {
		return t.fork(r, d, list, w)
	}
	if r.depth == Height {
		return r.withValue(list[0].value), nil
	}

	p, slot, err := t.load(&r, w)
	if err != nil {
		return ref{}, err
	}
	b := p.slots[slot]
	left, right := split(list, r.depth)
	var kids [2]ref
	err = w.both(min(len(left), len(right)),
		func(w *work) (err error) { kids[0], err = t.put(b.kids[0], left, w); return err },
		func(w *work) (err error) { kids[1], err = t.put(b.kids[1], right, w); return err })
	if err != nil {
		return ref{}, err
	}
	switch {
	case kids == b.kids:
		return r, nil
	case kids[0].full && kids[1].full:
		w.retire(b)
		b.kids = kids
		w.change(p)
		w.add(b)
		return ref{full: true, depth: r.depth, path: r.path, dirty: b}, nil
	}
	// One side is gone: so is the branch, and the other side moves up under a longer edge.
	w.retire(b)
	p.slots[slot] = nil
	w.pages.branches.Add(-1)
	w.change(p)
	if kids[0].full {
		return kids[0], nil
	}
	return kids[1], nil
}

// fork handles items that leave the edge above r at depth d.
func (t *tree) fork(r ref, d uint8, list []item, w *work) (ref, error) {
	var parts [2][]item
	parts[0], parts[1] = split(list, d)
	side := r.path.bit(d)
	var kids [2]ref
	var err error
	if kids[side], err = t.put(r, parts[side], w); err != nil {
		return ref{}, err
	}
	if kids[1-side], err = t.build(parts[1-side], w); err != nil {
		return ref{}, err
	}
	return t.join(d, r.path.prefix(d), kids, w)
}

// build makes a subtree of the items that are not deletions.
func (t *tree) build(list []item, w *work) (ref, error) {
	if slices.ContainsFunc(list, func(i item) bool { return i.value.IsZero() }) {
		kept := make([]item, 0, len(list))
		for _, i := range list {
			if !i.value.IsZero() {
				kept = append(kept, i)
			}
		}
		list = kept
	}
	return t.grow(list, w)
}

func (t *tree) grow(list []item, w *work) (ref, error) {
	switch len(list) {
	case 0:
		return ref{}, nil
	case 1:
		return leafRef(list[0].key, list[0].value), nil
	}
	d := list[0].key.common(list[len(list)-1].key)
	left, right := split(list, d)
	var kids [2]ref
	var err error
	if kids[0], err = t.grow(left, w); err != nil {
		return ref{}, err
	}
	if kids[1], err = t.grow(right, w); err != nil {
		return ref{}, err
	}
	return t.join(d, list[0].key.prefix(d), kids, w)
}

// join hangs two kids under a new branch; where one is missing the other takes its place.
func (t *tree) join(d uint8, p path, kids [2]ref, w *work) (ref, error) {
	if !kids[0].full {
		return kids[1], nil
	}
	if !kids[1].full {
		return kids[0], nil
	}
	id, slot := pageOf(d, p)
	page, err := t.page(id, w)
	if err != nil {
		return ref{}, err
	}
	b := &branch{depth: d, path: p, kids: kids}
	if page.slots[slot] == nil {
		w.pages.branches.Add(1)
	}
	page.slots[slot] = b
	w.change(page)
	w.add(b)
	return ref{full: true, depth: d, path: p, dirty: b}, nil
}

func (r ref) withValue(v felt.Felt) ref {
	switch {
	case v.IsZero():
		return ref{}
	case v == r.node:
		return r
	}
	return leafRef(r.path, v)
}

// split divides sorted items by bit d.
func split(list []item, d uint8) (left, right []item) {
	n, _ := slices.BinarySearchFunc(list, 1, func(i item, bit int) int { return i.key.bit(d) - bit })
	return list[:n], list[n:]
}

// get returns the value of a key, 0 where there is none.
func (t *tree) get(key path, w *work) (felt.Felt, error) {
	r := t.root
	for r.full && r.path.common(key) >= r.depth {
		if r.depth == Height {
			return r.node, nil
		}
		p, slot, err := t.load(&r, w)
		if err != nil {
			return felt.Felt{}, err
		}
		r = p.slots[slot].kids[key.bit(r.depth)]
	}
	return felt.Felt{}, nil
}
