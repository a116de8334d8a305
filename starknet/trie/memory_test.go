package trie

import (
	"runtime"
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// What a state says that it takes is what it takes, within a third; and it keeps to its bound, flushed or not, as long as
// its user flushes it when it is full.
func TestBytes(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	x := newTransfers(1 << 15)
	before := heap()
	state, store := NewState(NewMemory()), NewMemory()
	if err := x.genesis(func(d *Diff) error { _, err := state.Apply(d); return err }); err != nil {
		t.Fatal(err)
	}
	state.work = workOf(state.work.pages, state.work.now)
	took, said := heap()-before, state.Bytes()
	if said < took*2/3 || said > took*4/3 {
		t.Errorf("the state takes %d bytes and says %d", took, said)
	}

	const limit = 8 << 20
	state = NewState(store)
	state.KeepBytes(limit)
	flushed := 0
	apply := func(d *Diff) error {
		if _, err := state.Apply(d); err != nil || !state.Full() {
			return err
		}
		flushed++
		return state.Flush(store.Put)
	}
	if err := x.genesis(apply); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		d := x.block(100)
		if err := apply(d); err != nil {
			t.Fatal(err)
		}
		if n := state.Bytes(); n > limit*3/2 {
			t.Fatalf("%d bytes in memory, the bound is %d", n, limit)
		}
	}
	roots, err := state.Roots()
	if err != nil || roots.Contracts == (felt.Felt{}) {
		t.Fatal(roots, err)
	}
	var pages, branches int64
	count := func(tr *tree) {
		for _, p := range tr.pages {
			pages, branches = pages+1, branches+p.count()
		}
	}
	count(&state.contracts)
	count(&state.classes)
	for _, a := range state.accounts {
		count(&a.storage)
	}
	if s := state.work.pages; s.pages.Load() != pages || s.branches.Load() != branches {
		t.Errorf("counted %d pages and %d branches, there are %d and %d", s.pages.Load(), s.branches.Load(), pages, branches)
	}
	if flushed == 0 || flushed > 20 {
		t.Errorf("flushed %d times", flushed)
	}
}

// workOf is work without the buffers of the last update.
func workOf(pages *shared, now uint64) work { return work{pages: pages, least: 64, now: now} }
