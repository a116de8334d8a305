package trie

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// cheap is a stand-in for a hash: fast, not symmetric, and without accidental zeros.
func cheap(dst, a, b []felt.Felt) {
	three := felt.FromUint64(3)
	for i := range dst {
		x := a[i].Mul(three).Add(b[i]).Add(felt.One())
		dst[i] = x.Mul(x).Add(b[i])
	}
}

// naive is the definition of a root, written as the specification words it: no pages, no refs, keys as text of 251 bits.
func naive(hash HashPairs, leaves map[felt.Felt]felt.Felt) felt.Felt {
	type node struct {
		length int
		path   felt.Felt
		bottom felt.Felt
	}
	pair := func(a, b felt.Felt) felt.Felt {
		out := []felt.Felt{a}
		hash(out, out, []felt.Felt{b})
		return out[0]
	}
	top := func(n node) felt.Felt {
		if n.length == 0 {
			return n.bottom
		}
		return pair(n.bottom, n.path).Add(felt.FromUint64(uint64(n.length)))
	}
	values := make(map[string]felt.Felt)
	for k, v := range leaves {
		if !v.IsZero() {
			values[fmt.Sprintf("%0251s", k.Big().Text(2))] = v
		}
	}
	if len(values) == 0 {
		return felt.Felt{}
	}
	var rec func(keys []string, depth int) node
	rec = func(keys []string, depth int) node {
		if depth == Height {
			return node{bottom: values[keys[0]]}
		}
		n, _ := slices.BinarySearchFunc(keys, byte('1'), func(k string, c byte) int { return int(k[depth]) - int(c) })
		switch n {
		case 0:
			r := rec(keys, depth+1)
			r.path = r.path.Add(powerOfTwo(r.length))
			r.length++
			return r
		case len(keys):
			r := rec(keys, depth+1)
			r.length++
			return r
		}
		return node{bottom: pair(top(rec(keys[:n], depth+1)), top(rec(keys[n:], depth+1)))}
	}
	return top(rec(slices.Sorted(maps.Keys(values)), 0))
}

func powerOfTwo(n int) felt.Felt {
	b := make([]byte, 32)
	b[31-n/8] = 1 << (n % 8)
	return felt.Reduce(b)
}

// forest is a tree under test with its store and its model.
type forest struct {
	t     testing.TB
	store Memory
	tree  tree
	work  work
	model map[felt.Felt]felt.Felt
}

func newForest(t testing.TB) *forest {
	store := NewMemory()
	w := newWork()
	w.least = 2 // even the smallest updates walk side by side
	return &forest{t: t, store: store, work: w, tree: tree{prefix: []byte{7}, store: store}, model: map[felt.Felt]felt.Felt{}}
}

func (f *forest) update(entries []Entry) felt.Felt {
	f.t.Helper()
	list, err := items(entries)
	if err != nil {
		f.t.Fatal(err)
	}
	f.work.begin()
	if f.tree.root, err = f.tree.put(f.tree.root, list, &f.work); err != nil {
		f.t.Fatal(err)
	}
	f.work.addEdge(&f.tree.root, 0)
	f.work.run(cheap)
	for _, e := range entries {
		f.model[e.Key] = e.Value
	}
	return f.tree.root.hash()
}

// reopen flushes the tree and continues from what the store holds.
func (f *forest) reopen() {
	f.t.Helper()
	if err := f.tree.flush(f.store.Put); err != nil {
		f.t.Fatal(err)
	}
	d := decoder{rest: appendRoot(nil, &f.tree.root)}
	f.tree = tree{prefix: f.tree.prefix, store: f.store, root: d.root()}
	f.work.begin() // what it remembers is of the old tree
	if d.bad || len(d.rest) != 0 {
		f.t.Fatal("root does not decode")
	}
}

func (f *forest) check() {
	f.t.Helper()
	if got, want := f.tree.root.hash(), naive(cheap, f.model); got != want {
		f.t.Fatalf("root %s, the definition says %s", got, want)
	}
}

// keysFor draws keys that like to share prefixes, suffixes or nothing.
func keyFor(r *rand.Rand) felt.Felt {
	var b [32]byte
	switch r.IntN(4) {
	case 0: // a few keys, dense
		b[31] = byte(r.IntN(64))
	case 1: // long common suffix
		b[0], b[1] = byte(r.IntN(8)), byte(r.IntN(4))<<6
	case 2: // branch in the middle
		b[0], b[17], b[31] = 3, byte(r.IntN(256)), byte(r.IntN(2))
	default:
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0] &= 7
	}
	return felt.Reduce(b[:])
}

func TestAgainstDefinition(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := newForest(t)
		for range 40 {
			seen := map[felt.Felt]bool{}
			var entries []Entry
			for range r.IntN(12) {
				k := keyFor(r)
				if r.IntN(2) == 0 && len(f.model) > 0 { // often a key that is there
					all := slices.SortedFunc(maps.Keys(f.model), felt.Felt.Cmp)
					k = all[r.IntN(len(all))]
				}
				if seen[k] {
					continue
				}
				seen[k] = true
				entries = append(entries, Entry{k, felt.FromUint64(r.Uint64N(3))})
			}
			f.update(entries)
			f.check()
			if r.IntN(4) == 0 {
				f.reopen()
			}
		}
		for k, v := range f.model {
			p, _ := pathOf(k)
			if got, err := f.tree.get(p, &f.work); err != nil || got != v {
				t.Fatalf("get %s: %s, %v, want %s", k, got, err, v)
			}
		}
		// Taking every leaf away leaves nothing behind, in memory and in the store.
		var all []Entry
		for k := range f.model {
			all = append(all, Entry{Key: k})
		}
		if root := f.update(all); !root.IsZero() {
			t.Fatalf("root of the emptied tree: %s", root)
		}
		f.reopen()
		if len(f.store) != 0 {
			t.Fatalf("%d pages left of an empty tree", len(f.store))
		}
	}
}

// The same leaves give the same pages, whatever the order in which they came.
func TestPagesDependOnLeavesOnly(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	a, b := newForest(t), newForest(t)
	for range 50 {
		e := Entry{keyFor(r), felt.FromUint64(r.Uint64N(4))}
		a.update([]Entry{e})
	}
	var all []Entry
	for k, v := range a.model {
		all = append(all, Entry{k, v})
	}
	b.update(all)
	a.reopen()
	b.reopen()
	if !maps.EqualFunc(a.store, b.store, func(x, y []byte) bool { return string(x) == string(y) }) {
		t.Fatal("pages differ")
	}
}

func TestDamagedPages(t *testing.T) {
	build := func() *forest {
		f := newForest(t)
		for i := range uint64(200) {
			f.update([]Entry{{felt.FromUint64(i * 7919), felt.FromUint64(i + 1)}})
		}
		f.reopen()
		return f
	}
	f := build()
	read := func() error {
		for i := range uint64(200) {
			p, _ := pathOf(felt.FromUint64(i * 7919))
			if _, err := f.tree.get(p, &f.work); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(f.store))[:20] {
		f = build()
		delete(f.store, key)
		if err := read(); !errors.Is(err, ErrDamaged) {
			t.Errorf("page %x is missing: %v", key, err)
		}
		f = build()
		f.store[key] = f.store[key][:len(f.store[key])-1]
		if err := read(); !errors.Is(err, ErrDamaged) {
			t.Errorf("page %x is short: %v", key, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	big := powerOfTwo(251)
	if _, err := items([]Entry{{Key: big}}); !errors.Is(err, ErrKeyRange) {
		t.Error(err)
	}
	if _, err := items([]Entry{{Key: felt.One()}, {Key: felt.One()}}); err == nil || !strings.Contains(err.Error(), "0x1 twice") {
		t.Error(err)
	}
}

func TestPath(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		k := keyFor(r)
		p, err := pathOf(k)
		if err != nil || p.key() != k {
			t.Fatalf("%s: %v, %v", k, p, err)
		}
		text := fmt.Sprintf("%0251s", k.Big().Text(2))
		from := uint8(r.IntN(Height))
		to := from + 1 + uint8(r.IntN(Height-int(from)))
		want := felt.Felt{}
		for _, c := range text[from:to] {
			want = want.Add(want).Add(felt.FromUint64(uint64(c - '0')))
		}
		if got := p.segment(from, to); got != want {
			t.Fatalf("segment %d..%d of %s: %s, want %s", from, to, k, got, want)
		}
		q, _ := pathOf(keyFor(r))
		n := p.common(q)
		if p.prefix(n) != q.prefix(n) || n < Height && p.bit(n) == q.bit(n) {
			t.Fatalf("common prefix %d of %v and %v", n, p, q)
		}
		id, slot := pageOf(from, p.prefix(from))
		if d, back := slotPosition(id, slot); d != from || back != p.prefix(from) {
			t.Fatalf("slot of depth %d: back %d", from, d)
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	fr := newForest(f)
	var list []Entry
	for i := range uint64(40) {
		list = append(list, Entry{felt.FromUint64(i * i), felt.FromUint64(i + 1)})
	}
	fr.update(list)
	for id, p := range fr.tree.pages {
		f.Add(encodePage(id, p), id.band)
	}
	f.Fuzz(func(t *testing.T, data []byte, band uint8) {
		id := pageID{band: band % 63}
		var p page
		if decodePage(data, id, &p) != nil {
			return
		}
		if again := encodePage(id, &p); string(again) != string(data) {
			t.Fatalf("%x decodes and encodes to %x", data, again)
		}
	})
}
