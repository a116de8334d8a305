package journal

import (
	"fmt"
	"strings"
	"testing"
)

// TestOrigin: which chain a journal is of outlives its segments: the hash of block 0, and the newest committed block.
func TestOrigin(t *testing.T) {
	d := newDisk(1)
	j, r := open(t, d, tiny)
	if r.Genesis != nil || len(r.Decided) > 0 {
		t.Fatalf("a new journal knows %x, %v", r.Genesis, r.Decided)
	}
	must(t, j.Mark(Step{Kind: Founded, Block: []byte("zero")}))
	must(t, j.Mark(Step{Kind: Founded, Block: []byte("zero")}))
	for _, s := range []Step{{Kind: Founded, Block: []byte("other")}, {Kind: Founded}} {
		if err := j.Mark(s); err == nil {
			t.Fatalf("%+v is taken", s)
		}
	}
	block := func(n uint64) []byte { return fmt.Appendf(nil, "block %d", n) }
	const last = 60
	for n := uint64(1); n <= last; n++ {
		must(t, j.Admit(transaction(int(n))))
		must(t, j.Mark(Step{Kind: Decided, Height: n, Block: block(n), Note: []byte("note")}))
		if n < last {
			must(t, j.Release(key(int(n))))
			must(t, j.Mark(Step{Kind: Committed, Height: n}))
		}
	}
	if first := j.segments[0].index; first < 4 {
		t.Fatalf("nothing was forgotten: the first segment is %d", first)
	}
	check := func(r *Recovery) {
		t.Helper()
		want := fmt.Sprint([]Decision{{last - 1, block(last - 1)}, {last, block(last)}})
		if string(r.Genesis) != "zero" || fmt.Sprint(r.Decided) != want {
			t.Fatalf("%s, %v", r.Genesis, r.Decided)
		}
	}
	j, r = reopen(t, j, d, tiny)
	check(r)
	j, r = reopen(t, j, d, tiny)
	check(r)
	must(t, j.Mark(Step{Kind: Abandoned, Height: last - 1}))
	j, r = reopen(t, j, d, tiny)
	if string(r.Genesis) != "zero" || len(r.Decided) != 0 {
		t.Fatalf("after a revert: %s, %v", r.Genesis, r.Decided)
	}
	if err := j.Mark(Step{Kind: Founded, Block: []byte("other")}); err == nil || !strings.Contains(err.Error(), "begins with block 0x") {
		t.Fatal(err)
	}
	must(t, j.Close())
}

// TestLasting: what lasts is the newest of its kind, over heights, segments that are forgotten and starts.
func TestLasting(t *testing.T) {
	d := newDisk(1)
	j, r := open(t, d, tiny)
	if r.Lasting != nil {
		t.Fatalf("a new journal has %q", r.Lasting)
	}
	const last = 60
	for n := uint64(1); n <= last; n++ {
		must(t, j.Admit(transaction(int(n))))
		if n < 10 {
			must(t, j.PersistLasting(fmt.Appendf(nil, "term %d", n)))
		}
		must(t, j.Persist(n, []byte("vote")))
		must(t, j.Release(key(int(n))))
		must(t, j.Mark(Step{Kind: Committed, Height: n}))
	}
	if first := j.segments[0].index; first < 4 {
		t.Fatalf("nothing was forgotten: the first segment is %d", first)
	}
	for range 3 {
		if j, r = reopen(t, j, d, tiny); string(r.Lasting) != "term 9" {
			t.Fatalf("%q after a start", r.Lasting)
		}
	}
	must(t, j.PersistLasting(nil))
	if j, r = reopen(t, j, d, tiny); len(r.Lasting) != 0 {
		t.Fatalf("%q after it was emptied", r.Lasting)
	}
	if err := j.PersistLasting(make([]byte, maxLasting+1)); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
		t.Fatal(err)
	}
	must(t, j.Close())
}
