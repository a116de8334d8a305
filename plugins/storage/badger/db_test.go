package badger

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// stored is a folder with a chain that was closed in order.
func stored(t *testing.T, c *testChain) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "storage")
	o := testOptions()
	o.SyncWrites = true
	s := must(Open(dir, o))
	commitAll(t, s, c.blocks...)
	waitRoots(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tamper writes to a database behind the store's back.
func tamper(t *testing.T, dir string, writes ...write) {
	t.Helper()
	e := must(openEngine(dir, testOptions(), access{}))
	if err := e.apply(writes); err != nil {
		t.Fatal(err)
	}
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFine(t *testing.T) {
	c := richChain(9)
	c.append(bigBlock(c))
	dir := stored(t, c)
	before := listing(t, dir)
	r, err := Check(t.Context(), dir, nil)
	if err != nil || r.Damaged || r.Good != 10 || r.Blocks != 10 || r.Rooted != 10 || r.Promised != 10 || r.Chain != "SN_TEST" {
		t.Fatalf("%+v, %v", r, err)
	}
	st, err := Stats(t.Context(), dir, nil)
	if err != nil || st.Blocks != 10 || st.Kinds[1].Name != "headers" || st.Kinds[1].Keys != 10 || len(st.Levels) == 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	p, err := Repair(t.Context(), dir, RepairOptions{})
	if err != nil || !p.Nothing {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, content := range listing(t, dir) {
		if before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	open(t, dir, testOptions())
	if _, err := Check(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("check of an open store: %v", err)
	}
}

// Every kind of record that is wrong is found, the good blocks are known, and repair comes back to them.
func TestCheckAndRepair(t *testing.T) {
	three, odd := felt.FromUint64(3).Append(nil), felt.FromUint64(999).Append(nil)
	for what, test := range map[string]struct {
		good   uint64 // blocks that repair keeps
		damage func(c *testChain) []write
	}{
		"state root":       {10, func(*testChain) []write { return []write{{key(tableStorage, three, odd), odd}} }},
		"flat state":       {10, func(*testChain) []write { return []write{{key(tableStorage, three, odd), odd}} }},
		"undo diff":        {10, func(c *testChain) []write { return []write{{chunkKey(numKey(tableUndo, 4), 0), nil}} }},
		"history":          {10, nil},
		"index of transac": {10, func(c *testChain) []write { return []write{{key: key(tableTx, firstTransaction(c))}} }},
		"index of hashes":  {10, func(c *testChain) []write { return []write{{key: key(tableHash, c.hashes[5].Append(nil))}} }},
		"header of block":  {6, func(*testChain) []write { return []write{{numKey(tableHeader, 6), []byte("nonsense")}} }},
		"block 6":          {6, func(*testChain) []write { return []write{{chunkKey(numKey(tableDiff, 6), 0), nil}} }},
		"its hash is":      {7, func(*testChain) []write { return []write{{numKey(tableRoot, 7), append(odd, odd...)}} }},
		"is missing":       {3, nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newTestChain(4711)
			for range 10 {
				c.grow()
			}
			var damage []write
			switch what {
			case "history":
				for num, b := range c.blocks[5:] {
					for _, s := range b.diff.Storage {
						for k, v := range felt.Pairs(s.Entries) {
							if f(v) != c.states[num+4][name("storage", s.Address, k)] {
								damage = []write{{historyKey(tableStorageHistory, uint64(num+5), s.Address, k), odd}}
							}
						}
					}
				}
			case "is missing":
				for num, b := range c.blocks {
					if len(b.classes) > 0 && len(damage) == 0 {
						damage, test.good = []write{{key: key(tableClass, b.classes[0].Hash)}}, uint64(num)
					}
				}
			default:
				damage = test.damage(c)
			}
			dir := stored(t, c)
			tamper(t, dir, damage...)
			r, err := Check(t.Context(), dir, nil)
			if err != nil || !r.Damaged {
				t.Fatalf("%+v, %v", r, err)
			}
			if text := texts(r); !strings.Contains(text, what) {
				t.Errorf("the report does not say %q:\n%s", what, text)
			}
			if _, err := Repair(t.Context(), dir, RepairOptions{Agree: func(*Plan) bool { return false }}); err != ErrDeclined {
				t.Fatal(err)
			}
			p, err := Repair(t.Context(), dir, RepairOptions{Agree: func(*Plan) bool { return true }})
			if err != nil || p.Keeps != test.good || p.InPlace {
				t.Fatalf("%+v, %v\n%s", p, err, texts(r))
			}
			s := open(t, dir, testOptions())
			kept := c.fork(int(test.good), 5)
			waitRoots(t, s, kept)
			checkBlocks(t, s, kept)
			checkState(t, s, kept, 0)
			commitAll(t, s, kept.grow())
		})
	}
}

func texts(r *Report) string {
	var b strings.Builder
	for _, v := range r.Verdicts {
		b.WriteString(v.What + ": " + v.Detail + "\n")
	}
	return b.String()
}

func firstTransaction(c *testChain) []byte {
	for _, b := range c.blocks {
		if len(b.transactions) > 0 {
			return b.transactions[0].Hash
		}
	}
	panic("no transaction")
}

// A chain that ends before its promise is refused with the blocks that are lost; repair accepts that, in place.
func TestLostEnd(t *testing.T) {
	c := newTestChain(99)
	for range 8 {
		c.grow()
	}
	dir := stored(t, c)
	o := testOptions()
	o.SyncWrites = true
	s := must(Open(dir, o))
	for range 3 {
		if _, err := s.Revert(t.Context(), revertTo(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(Open(dir, o)) // what was reverted was not promised any more
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m, _, err := openMark(dir, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.write(marked{blocks: 8, clean: true}); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, o)
	if err == nil || !strings.Contains(err.Error(), "blocks 5 to 7 were stored durably and are lost") || !strings.Contains(err.Error(), "ordo db repair") {
		t.Fatal(err)
	}
	p, err := Repair(t.Context(), dir, RepairOptions{Agree: func(p *Plan) bool { return p.Loses[0] == "blocks 5 to 7" }})
	if err != nil || !p.InPlace || p.Keeps != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
	c = c.fork(5, 1)
	s = open(t, dir, o)
	waitRoots(t, s, c)
	checkState(t, s, c, 0)
}

// The mark is either of two slots: a torn write of one leaves the other.
func TestMarkTorn(t *testing.T) {
	dir := t.TempDir()
	m := must1(openMark(dir, true, nil))
	for n := range uint64(5) {
		if err := m.write(marked{blocks: n}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, markName)
	data := must(os.ReadFile(path))
	r := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		torn := append([]byte(nil), data...)
		slot := r.IntN(2)
		for i := range markSize {
			if r.IntN(4) == 0 {
				torn[slot*markSlot+i] = byte(r.Uint32())
			}
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		got, found := peekMark(dir)
		if !found || got.blocks != 4 && got.blocks != 3 {
			t.Fatalf("%+v, %v", got, found)
		}
	}
}

func must1(m *mark, _ bool, err error) *mark {
	if err != nil {
		panic(err)
	}
	return m
}

func revertTo(s *Store) *ordov1.RevertRequest {
	now, _, _ := s.snapshot()
	return &ordov1.RevertRequest{Height: now.blocks - 1}
}
