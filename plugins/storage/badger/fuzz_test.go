package badger

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// FuzzDiff reads state diffs as they may come over the wire or lie in a damaged blob: one that is let through has the
// length that it says, goes into the tries, and comes back the same.
func FuzzDiff(f *testing.F) {
	for _, b := range richChain(9).blocks[:4] {
		f.Add(must(proto.Marshal(b.diff)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &ordov1.StateDiff{}
		if proto.Unmarshal(data, d) != nil {
			return
		}
		n, err := checkDiff(d)
		if err != nil {
			return
		}
		td, err := trieDiff(d)
		if err != nil {
			t.Fatalf("let through, and not for the tries: %v", err)
		}
		total := len(td.Contracts) + len(td.Nonces) + len(td.Classes) + len(d.DeprecatedDeclared)/feltSize
		for _, s := range td.Storage {
			total += len(s.Entries)
		}
		if total != n {
			t.Fatalf("length %d, %d entries", n, total)
		}
		if n > 64 {
			return
		}
		if _, err := memoryTries().Apply(td); err != nil {
			t.Fatalf("let through, and the tries refuse it: %v", err)
		}
		state := replay{}
		changes := state.apply(d)
		undo := &ordov1.StateDiff{}
		for _, c := range changes {
			if state[c.key] == c.old {
				t.Fatalf("%x did not change", c.key)
			}
		}
		if err := checkUndo(undo, changes); (err == nil) != (len(changes) == 0) {
			t.Fatalf("an empty undo of %d changes: %v", len(changes), err)
		}
	})
}

// FuzzBlock checks blocks whose parts are damaged: no panic, and none that differs from what the header commits to passes.
func FuzzBlock(f *testing.F) {
	c := richChain(9)
	for _, b := range c.blocks[5:] {
		f.Add(must(proto.Marshal(request(b))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &ordov1.CommitRequest{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		b := &block{header: m.Header, transactions: m.Transactions, results: m.Results, diff: m.StateDiff, classes: m.Classes}
		if b.diff == nil {
			b.diff = &ordov1.StateDiff{}
		}
		if b.header == nil || b.check() != nil {
			return
		}
		got := &ordov1.Block{Header: b.header, Transactions: b.transactions, Results: b.results, StateDiff: b.diff}
		if err := checkContents(got); err != nil {
			return
		}
		if err := b.check(); err != nil {
			t.Fatalf("the second look differs: %v", err)
		}
	})
}

// FuzzBlob unpacks blobs from damaged chunks.
func FuzzBlob(f *testing.F) {
	blobs := must(newBlobs())
	f.Cleanup(blobs.close)
	for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long "), 1000)} {
		f.Add(blobs.put(nil, []byte{1}, data)[0].value)
	}
	f.Fuzz(func(t *testing.T, chunk []byte) {
		data, err := blobs.unpack([]byte{1}, func(n int) ([]byte, error) {
			if n == 0 {
				return chunk, nil
			}
			return nil, nil
		})
		if err == nil && chunk != nil {
			again, err := blobs.unpack([]byte{1}, func(n int) ([]byte, error) { return blobs.put(nil, []byte{1}, data)[n].value, nil })
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%v", err)
			}
		}
	})
}

// FuzzPage puts a damaged page into stored tries: an error, or a root, but no panic; and a root other than the true one only
// where the page was made to say so.
func FuzzPage(f *testing.F) {
	c := newTestChain(5)
	for range 6 {
		c.grow()
	}
	pages := trie.NewMemory()
	st := trie.NewState(pages)
	for _, b := range c.blocks {
		if _, err := st.Apply(must(trieDiff(b.diff))); err != nil {
			f.Fatal(err)
		}
	}
	if err := st.Flush(pages.Put); err != nil {
		f.Fatal(err)
	}
	var names []string
	for k := range pages {
		names = append(names, k)
	}
	for i, k := range names {
		if i < 8 {
			f.Add([]byte(k), pages[k])
		}
	}
	diff := &trie.Diff{Nonces: []trie.Entry{{Key: felt.FromUint64(3), Value: felt.FromUint64(9)}},
		Storage: []trie.Storage{{Address: felt.FromUint64(2), Entries: []trie.Entry{{Key: felt.FromUint64(7), Value: felt.FromUint64(1)}}}},
		Classes: []trie.Entry{{Key: felt.FromUint64(5001), Value: felt.FromUint64(4)}}}
	f.Fuzz(func(t *testing.T, k, page []byte) {
		damaged := trie.NewMemory()
		for name, data := range pages {
			damaged[name] = data
		}
		damaged[string(k)] = page
		st := trie.NewState(damaged)
		if _, err := st.Roots(); err != nil {
			return
		}
		if _, err := st.Apply(diff); err == nil {
			_ = st.Flush(func(_, _ []byte) error { return nil })
		}
	})
}

// FuzzMark reads damaged marks.
func FuzzMark(f *testing.F) {
	f.Add(marked{seq: 3, blocks: 17, manifest: 900, synced: true, clean: true}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < markSize {
			return
		}
		if m, ok := decodeMark(data[:markSize]); ok && m.seq < 1<<60 {
			if again, ok := decodeMark(m.encode()); !ok || again != m {
				t.Fatalf("%+v, %+v", m, again)
			}
		}
	})
}
