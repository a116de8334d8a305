package badger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func TestChainAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		c := newTestChain(seed)
		s := open(t, t.TempDir(), testOptions())
		for range 25 {
			commitAll(t, s, c.grow())
		}
		waitRoots(t, s, c)
		checkState(t, s, c, 0)
		checkBlocks(t, s, c)
	}
}

func TestRestart(t *testing.T) {
	dir, o := t.TempDir(), testOptions()
	c := newTestChain(11)
	for round := range 6 {
		o.CheckpointEvery = []int{3, 100, 1}[round%3]
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Head(t.Context(), nil); len(c.blocks) > 0 {
			if got.Height != uint64(len(c.blocks)-1) || f(got.StateRoot) != c.roots[got.AcceptedHeight] || f(got.BlockHash) != c.hashes[got.AcceptedHeight] {
				t.Fatalf("head after restart: %v", got)
			}
		} else if !got.Empty {
			t.Fatalf("head of a new store: %v", got)
		}
		for range 7 {
			commitAll(t, s, c.grow())
		}
		if round%2 == 0 {
			waitRoots(t, s, c)
		}
		if err := s.Close(); err != nil { // finishes the roots
			t.Fatal(err)
		}
	}
	s := open(t, dir, o)
	waitRoots(t, s, c)
	checkState(t, s, c, 0)
	checkBlocks(t, s, c)
}

func TestCommitContract(t *testing.T) {
	c := newTestChain(5)
	s := open(t, t.TempDir(), testOptions())
	for range 5 {
		commitAll(t, s, c.grow())
	}
	for _, b := range c.blocks {
		if repeated, err := s.commit(t.Context(), b); err != nil || !repeated {
			t.Fatalf("block %d again: %v, %v", b.num(), repeated, err)
		}
	}
	refused := func(b *block, code codes.Code, text string) {
		t.Helper()
		if _, err := s.commit(t.Context(), b); status.Code(err) != code || !strings.Contains(err.Error(), text) {
			t.Errorf("want %s %q, got %v", code, text, err)
		}
	}
	other := c.fork(4, 99).grow()
	refused(other, codes.FailedPrecondition, "height 4 holds block")
	far := c.fork(5, 98)
	far.grow()
	far.grow()
	refused(far.blocks[6], codes.FailedPrecondition, "leaves a gap: the next height is 5")

	broken := func(change func(b *block)) *block {
		n := c.fork(5, 97)
		for n.grow(); len(n.blocks[5].transactions) == 0 || len(n.blocks[5].diff.Storage) == 0; n.grow() {
			n = n.fork(5, n.r.Uint64())
		}
		b := n.blocks[5]
		copied := &block{header: proto.CloneOf(b.header), diff: proto.CloneOf(b.diff), transactions: b.transactions, results: b.results, classes: b.classes}
		change(copied)
		return copied
	}
	for text, change := range map[string]func(b *block){
		"the header counts":    func(b *block) { b.header.TransactionCount++ },
		"events, the header":   func(b *block) { b.header.EventCount += 3 },
		"state diff of length": func(b *block) { b.header.StateDiffLength++ },
		"partial hash is":      func(b *block) { b.header.Context.Timestamp++ },
		"must be empty":        func(b *block) { b.header.StateRoot = felt.One().Append(nil) },
		"not above the one before": func(b *block) {
			b.diff.Nonces = append(felt.One().Append(felt.One().Append(nil)), felt.One().Append(felt.One().Append(nil))...)
		},
		"not a multiple":     func(b *block) { b.diff.Storage[0].Entries = b.diff.Storage[0].Entries[1:] },
		"is not below 2^251": func(b *block) { b.diff.Storage[0].Address[0] = 0xff },
		"not sent": func(b *block) {
			b.classes = nil
			b.diff.Declared = append(felt.One().Append(nil), felt.One().Append(nil)...)
			b.header.StateDiffLength++
		},
		"cannot be in a block": func(b *block) {
			r := proto.CloneOf(b.results[0])
			r.Status = ordov1.TransactionResult_REJECTED
			b.results = append([]*ordov1.TransactionResult{r}, b.results[1:]...)
		},
		"both in deployed and in": func(b *block) {
			p := append(felt.One().Append(nil), felt.One().Append(nil)...)
			b.diff.Deployed, b.diff.Replaced = p, p
		},
		"starknet version":            func(b *block) { b.header.Context.StarknetVersion = "fourteen" },
		"before 0.13.2, are not supp": func(b *block) { b.header.Context.StarknetVersion = "0.13.1" },
	} {
		b := broken(change)
		if text == "not sent" {
			n, _ := checkDiff(b.diff)
			b.header.StateDiffLength = uint32(n)
		}
		refused(b, codes.InvalidArgument, text)
	}
	// Nothing of all that left a trace.
	waitRoots(t, s, c)
	checkState(t, s, c, 0)
	checkBlocks(t, s, c)
	commitAll(t, s, c.grow())
	waitRoots(t, s, c)
}

func TestRevert(t *testing.T) {
	t.Parallel()
	for _, big := range []bool{false, true} {
		dir, o := t.TempDir(), testOptions()
		s := open(t, dir, o)
		c := newTestChain(21)
		for range 12 {
			commitAll(t, s, c.grow())
		}
		if big {
			commitAll(t, s, c.append(bigBlock(c)))
		}
		for round := range 5 {
			if round%2 == 0 {
				waitRoots(t, s, c) // else roots and reverts race
			}
			keep := max(0, len(c.blocks)-[]int{1, 4, 2, 0, 50}[round])
			for n := len(c.blocks); n > keep; n-- {
				if _, err := s.Revert(t.Context(), &ordov1.RevertRequest{Height: uint64(n)}); status.Code(err) != codes.FailedPrecondition {
					t.Fatalf("revert of a height that is not the head: %v", err)
				}
				head, err := s.Revert(t.Context(), &ordov1.RevertRequest{Height: uint64(n - 1)})
				if err != nil {
					t.Fatal(err)
				}
				if n == 1 != head.Empty || n > 1 && head.Height != uint64(n-2) {
					t.Fatalf("head after revert of %d: %v", n-1, head)
				}
			}
			gone := c.blocks[keep:]
			c = c.fork(keep, uint64(100+round))
			if keep > 0 {
				checkState(t, s, c, 0)
			}
			for _, b := range gone {
				for _, tx := range b.transactions {
					if at, err := s.FindTransaction(t.Context(), &ordov1.FindTransactionRequest{Hash: tx.Hash}); err != nil || at.Found {
						t.Fatalf("transaction of a reverted block: %v, %v", at, err)
					}
				}
			}
			for range 3 {
				commitAll(t, s, c.grow())
			}
		}
		waitRoots(t, s, c)
		checkState(t, s, c, 0)
		checkBlocks(t, s, c)
	}
}

// Removing every block leaves nothing but the names of the chain and the format, and the empty tries.
func TestRevertLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir(), testOptions())
	c := newTestChain(31)
	for range 15 {
		commitAll(t, s, c.grow())
	}
	waitRoots(t, s, c)
	for n := len(c.blocks); n > 0; n-- {
		if _, err := s.Revert(t.Context(), &ordov1.RevertRequest{Height: uint64(n - 1)}); err != nil {
			t.Fatal(err)
		}
	}
	v := s.eng.view()
	defer v.close()
	err := v.scan(nil, nil, false, func(k, value []byte) (bool, error) {
		if k[0] != tableMeta && !(k[0] == tableTrie && len(k) == 2) {
			t.Errorf("left over: %x = %x", k, value)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHistoryOff(t *testing.T) {
	dir, o := t.TempDir(), testOptions()
	c := newTestChain(41)
	o.History = false
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		commitAll(t, s, c.grow())
	}
	checkState(t, s, c, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.History = true // from here on
	s = open(t, dir, o)
	for range 6 {
		commitAll(t, s, c.grow())
	}
	checkState(t, s, c, 5)
	waitRoots(t, s, c)
}

// bigBlock does not fit one transaction of a Badger with 8 MB memtables.
func bigBlock(c *testChain) *block {
	list := pairMap{}
	for i := range uint64(7_000) {
		list[felt.FromUint64(100+i)] = felt.FromUint64(1 + c.r.Uint64N(1<<40))
	}
	b := &block{diff: &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: felt.FromUint64(3).Append(nil), Entries: list.pack()}}}}
	tx := testTransaction(felt.FromUint64(3), felt.FromUint64(77_000_000+uint64(len(c.blocks))), 1)
	b.transactions = []*ordov1.Transaction{tx}
	b.results = []*ordov1.TransactionResult{{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}}
	return b
}

// A block that needs several transactions is taken back when the last of them is missing.
func TestPendingBlock(t *testing.T) {
	dir, o := t.TempDir(), testOptions()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	c := newTestChain(51)
	for range 4 {
		commitAll(t, s, c.grow())
	}
	waitRoots(t, s, c)
	whole := c.fork(4, 1)
	b := whole.append(bigBlock(whole))

	// Do by hand what applyBlock does, and stop before its last transaction.
	now, _, _ := s.snapshot()
	v := s.eng.view()
	body, state, err := s.writes(v, b, &now)
	v.close()
	if err != nil {
		t.Fatal(err)
	}
	if s.eng.fits(append(body, state...)) {
		t.Fatal("the block fits one transaction: the test tests nothing")
	}
	for _, part := range [][]write{body, {{metaKey(metaPending), encodeHead(4, nil)}}, state[:len(state)/2]} {
		if err := s.eng.applySplit(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, o)
	waitRoots(t, s, c)
	checkState(t, s, c, 0)
	commitAll(t, s, b)
	waitRoots(t, s, whole)
	checkBlocks(t, s, whole)
}

// Pages are a cache: whatever happens to them, roots come out the same.
func TestPagesLost(t *testing.T) {
	dir, o := t.TempDir(), testOptions()
	c := newTestChain(61)
	for round := range 4 {
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			commitAll(t, s, c.grow())
		}
		waitRoots(t, s, c)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := openEngine(dir, o, access{})
		if err != nil {
			t.Fatal(err)
		}
		var damage []write
		switch round {
		case 0: // all pages and the mark
			damage = append(damage, write{key: metaKey(metaCheckpoint)})
			fallthrough
		case 1, 2: // all pages; every third page
			v := raw.view()
			n := 0
			err := v.scan([]byte{tableTrie}, nil, true, func(k, _ []byte) (bool, error) {
				if n++; round != 2 || n%3 == 0 {
					damage = append(damage, write{key: append([]byte(nil), k...)})
				}
				return true, nil
			})
			v.close()
			if err != nil {
				t.Fatal(err)
			}
		case 3: // some roots
			damage = append(damage, write{key: numKey(tableRoot, 20)}, write{key: numKey(tableRoot, 31)})
		}
		if err := raw.apply(damage); err != nil {
			t.Fatal(err)
		}
		if err := raw.close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, o)
	commitAll(t, s, c.grow())
	waitRoots(t, s, c)
}

// What cannot be repaired is refused, with the reason.
func TestDamageIsRefused(t *testing.T) {
	for text, damage := range map[string]func(c *testChain) []write{
		"block 7 is missing":     func(*testChain) []write { return []write{{key: numKey(tableHeader, 7)}} },
		"diff of block 9 is mis": func(*testChain) []write { return []write{{key: chunkKey(numKey(tableDiff, 9), 0)}} },
		"block 9 is damaged":     func(*testChain) []write { return []write{{chunkKey(numKey(tableBody, 9), 0), []byte{0, 1, 1, 2, 3}}} },
		"its partial hash is": func(c *testChain) []write {
			h := proto.CloneOf(c.blocks[8].header)
			h.Context.Timestamp++
			data, _ := proto.Marshal(h)
			return []write{{numKey(tableHeader, 8), data}}
		},
		"the state is damaged": func(c *testChain) []write {
			// A slot that only an old block wrote, and no pages: the root tells.
			return []write{{key(tableStorage, felt.FromUint64(3).Append(nil), felt.FromUint64(999).Append(nil)), felt.One().Append(nil)}, {key: metaKey(metaCheckpoint)}}
		},
		"the diffs say": func(c *testChain) []write {
			for n := len(c.blocks) - 1; ; n-- {
				for _, s := range c.blocks[n].diff.Storage {
					for k, v := range felt.Pairs(s.Entries) {
						return []write{{key(tableStorage, s.Address, k), f(v).Add(felt.One()).Append(nil)}}
					}
				}
			}
		},
		"it holds chain": func(*testChain) []write { return []write{{metaKey(metaChain), []byte("SN_OTHER")}} },
		"its format is":  func(*testChain) []write { return []write{{metaKey(metaFormat), []byte{99}}} },
	} {
		t.Run(text, func(t *testing.T) {
			dir, o := t.TempDir(), testOptions()
			s, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			c := newTestChain(71)
			for range 10 {
				commitAll(t, s, c.grow())
			}
			waitRoots(t, s, c)
			if err := s.eng.apply(damage(c)); err != nil {
				t.Fatal(err)
			}
			s.roots.mu.Lock()
			s.roots.hasCheckpoint, s.roots.checkpoint = true, s.roots.next // Close is to write no pages
			s.roots.mu.Unlock()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir, o); err == nil {
				s.Close()
				t.Fatal("a damaged store was opened")
			} else if !strings.Contains(err.Error(), text) {
				t.Fatalf("refused for another reason: %v", err)
			}
		})
	}
}

func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	raw, err := openEngine(dir, testOptions(), access{})
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.apply([]write{{[]byte("someone"), []byte("else's")}}); err != nil {
		t.Fatal(err)
	}
	if err := raw.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, testOptions()); err == nil || !strings.Contains(err.Error(), "did not write") {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, testOptions()); err == nil || !strings.Contains(err.Error(), "data directory") {
		t.Fatal(err)
	}
}
