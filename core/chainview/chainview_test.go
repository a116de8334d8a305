package chainview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func word(n uint64) (k Key) {
	for i := range 8 {
		k[31-i] = byte(n >> (8 * i))
	}
	return k
}

func tx(n uint64) *ordov1.Transaction {
	k := word(n)
	return &ordov1.Transaction{Hash: k[:], Type: ordov1.TransactionType_INVOKE}
}

func ok(n uint64) *ordov1.TransactionResult {
	k := word(n)
	return &ordov1.TransactionResult{Hash: k[:], Status: ordov1.TransactionResult_SUCCEEDED}
}

func list(words ...uint64) (packed []byte) {
	for _, w := range words {
		k := word(w)
		packed = append(packed, k[:]...)
	}
	return packed
}

func stored(contract, key, value uint64) *ordov1.StateDiff {
	return &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: list(contract), Entries: list(key, value)}}, Nonces: list(contract, value)}
}

func fresh() *Chain {
	c := New(func() *ordov1.BlockContext { return &ordov1.BlockContext{Timestamp: 50} })
	c.Start(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 4, Timestamp: 90}}, map[uint64][]byte{0: []byte("zero"), 4: []byte("four")}, nil)
	return c
}

func value(t *testing.T, v *Snapshot, contract, key uint64) string {
	t.Helper()
	got, found := v.Storage(word(contract), word(key))
	if !found {
		return "-"
	}
	return fmt.Sprint(got[31])
}

// A view never changes, whatever happens after it was taken.
func TestSnapshotsDoNotChange(t *testing.T) {
	c := fresh()
	c.Open(1, &ordov1.BlockContext{Number: 5})
	var txs []*ordov1.Transaction
	for i := range uint64(40) {
		txs = append(txs, tx(i))
		c.Received(tx(i))
	}
	c.Candidates(1, txs, nil)
	var views []*Snapshot
	for i := range uint64(40) {
		c.Preconfirm(1, []*ordov1.TransactionResult{ok(i)}, stored(7, i%5, i+1))
		views = append(views, c.Snapshot())
	}
	for i, v := range views {
		if got := value(t, v, 7, uint64(i%5)); got != fmt.Sprint(i+1) {
			t.Errorf("view %d: slot %d is %s", i, i%5, got)
		}
		if b := v.Open(); len(b.Results) != i+1 || len(b.Transactions) != 40 {
			t.Errorf("view %d: %d results of %d", i, len(b.Results), len(b.Transactions))
		}
		if i < 4 && value(t, v, 7, 4) != "-" {
			t.Errorf("view %d sees what comes later", i)
		}
		if d := v.Open().Diff(); !bytes.Equal(d.Nonces, list(7, uint64(i+1))) {
			t.Errorf("view %d: diff %x", i, d.Nonces)
		}
	}
	if n := len(c.open.layers); n > 6 {
		t.Errorf("%d layers after 40 chunks: look-ups get slow", n)
	}
}

func TestBlocksPassThrough(t *testing.T) {
	c := fresh()
	if next := c.Next(); next.Number != 5 || next.Timestamp != 90 || next.OldBlockHash != nil {
		t.Errorf("next: %v", next)
	}
	c.Open(1, &ordov1.BlockContext{Number: 5, Timestamp: 91})
	for _, n := range []uint64{1, 2, 3} {
		c.Received(tx(n))
	}
	c.Candidates(1, []*ordov1.Transaction{tx(1), tx(2), tx(3)}, nil)
	rejected := ok(2)
	rejected.Status = ordov1.TransactionResult_REJECTED
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(1), rejected}, stored(7, 1, 1))
	expect := func(n uint64, want Status) {
		t.Helper()
		if got := c.Status(word(n)).Status; got != want {
			t.Errorf("transaction %d is %s, want %s", n, got, want)
		}
	}
	expect(1, PreConfirmed)
	expect(2, Candidate)
	expect(3, Candidate)
	c.Closed(1)
	expect(3, Received)
	c.Drop(word(2), errors.New("rejected"))

	block := NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 5, Timestamp: 91}}, []*ordov1.Transaction{tx(1)}, []*ordov1.TransactionResult{ok(1)}, stored(7, 1, 1), nil)
	c.Decide(block)
	expect(1, PreConfirmed)
	expect(2, Dropped)
	if c.Unaccepted(5) != block || c.Latest().Context.Number != 4 || c.Snapshot().Open() != nil || len(c.Snapshot().Blocks()) != 1 {
		t.Error("after the decision")
	}
	if nonce, found := c.Snapshot().Nonce(word(7)); !found || nonce != word(1) {
		t.Errorf("nonce %x after the decision", nonce)
	}
	if value(t, c.Snapshot(), 7, 1) != "1" {
		t.Error("a decided block does not show")
	}
	c.Accept(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 5, Timestamp: 91}, Hash: []byte("five")})
	expect(1, Accepted)
	if c.Unaccepted(5) != nil || string(c.Latest().Hash) != "five" || value(t, c.Snapshot(), 7, 1) != "-" {
		t.Error("after the root: storage answers now")
	}
	for n := uint64(6); n <= 9; n++ {
		c.Decide(NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: n}}, nil, nil, nil, nil))
	}
	if next := c.Next(); next.Number != 10 || string(next.OldBlockHash) != "zero" {
		t.Errorf("block 10 names %q", next.OldBlockHash)
	}
}

// A dropped build gives everything back; a result of a build that is gone is nothing.
func TestReset(t *testing.T) {
	c := fresh()
	c.Open(1, &ordov1.BlockContext{Number: 5})
	c.Received(tx(1))
	c.Candidates(1, []*ordov1.Transaction{tx(1)}, nil)
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(1)}, stored(7, 1, 1))
	c.ResetPreconfirmed(2)
	if c.Status(word(1)).Status != PreConfirmed {
		t.Error("another build's end touched this one")
	}
	c.ResetPreconfirmed(1)
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(1)}, stored(7, 1, 1))
	if c.Status(word(1)).Status != Received || c.Snapshot().Open() != nil || value(t, c.Snapshot(), 7, 1) != "-" {
		t.Error("not back")
	}
}

// A class that is declared in the open block can be read from it.
func TestOpenClasses(t *testing.T) {
	c := fresh()
	c.Open(1, &ordov1.BlockContext{Number: 5})
	declare := tx(1)
	declare.Type, declare.ClassHash = ordov1.TransactionType_DECLARE, list(99)
	c.Candidates(1, []*ordov1.Transaction{declare}, []*ordov1.Class{{Hash: list(99)}})
	if _, found := c.Snapshot().Class(word(99)); found {
		t.Error("before it has run")
	}
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(1)}, &ordov1.StateDiff{Declared: list(99, 98)})
	if class, found := c.Snapshot().Class(word(99)); !found || !bytes.Equal(class.Hash, list(99)) {
		t.Error("not found")
	}
	if compiled, found := c.Snapshot().CompiledClassHash(word(99)); !found || compiled != word(98) {
		t.Error("no compiled class hash")
	}
}

func TestMerge(t *testing.T) {
	got := Merge([]*ordov1.StateDiff{
		{Storage: []*ordov1.ContractStorage{{Address: list(9), Entries: list(2, 1, 3, 1)}}, Deployed: list(5, 1), Declared: list(7, 7), DeprecatedDeclared: list(4)},
		nil,
		{Storage: []*ordov1.ContractStorage{{Address: list(1), Entries: list(1, 1)}, {Address: list(9), Entries: list(1, 5, 2, 6)}},
			Replaced: list(5, 2, 6, 3), Nonces: list(8, 1), DeprecatedDeclared: list(3)},
	})
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"deployed", got.Deployed, list(5, 2)}, {"replaced", got.Replaced, list(6, 3)}, {"nonces", got.Nonces, list(8, 1)},
		{"declared", got.Declared, list(7, 7)}, {"deprecated", got.DeprecatedDeclared, list(3, 4)},
		{"first contract", got.Storage[0].Entries, list(1, 1)}, {"second contract", got.Storage[1].Entries, list(1, 5, 2, 6, 3, 1)},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: %x, want %x", c.name, c.got, c.want)
		}
	}
}

// Memory is bounded: what was accepted long ago is forgotten, what is on its way never is.
func TestRecordsAreBounded(t *testing.T) {
	c := fresh()
	c.Received(tx(1 << 40))
	for n := range uint64(finalKept + 100) {
		c.Drop(word(n), errors.New("no"))
		c.Drop(word(n), errors.New("twice"))
	}
	if len(c.records.all) > finalKept+1 {
		t.Errorf("%d records", len(c.records.all))
	}
	if c.Status(word(3)).Status != Unknown || c.Status(word(finalKept)).Status != Dropped || c.Status(word(1<<40)).Status != Received {
		t.Error("the wrong ones were forgotten")
	}
	// One that came back after it was dropped is on its way again.
	c.Received(tx(finalKept + 99))
	for n := range uint64(finalKept) {
		c.Drop(word(1<<20+n), errors.New("no"))
	}
	if c.Status(word(finalKept+99)).Status != Received {
		t.Error("forgotten while it waits")
	}
}

// TestAwaitEndsWithItsContext: nothing else ends it when the condition never holds.
func TestAwaitEndsWithItsContext(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := fresh().Await(gone, func() bool { return false }); err == nil {
		t.Error("awaited for ever")
	}
}

// Readers and the writer at once; meaningful with -race.
func TestConcurrentReaders(t *testing.T) {
	c := fresh()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := c.Snapshot()
				v.Storage(word(7), word(1))
				for _, b := range v.Blocks() {
					b.Diff()
					if len(b.Results) > len(b.Transactions) {
						t.Error("more results than transactions")
					}
				}
				v.Next()
				c.Status(word(5))
				time.Sleep(10 * time.Microsecond)
			}
		})
	}
	n := uint64(0)
	for height := uint64(5); height < 40; height++ {
		c.Open(height, &ordov1.BlockContext{Number: height})
		var txs []*ordov1.Transaction
		var results []*ordov1.TransactionResult
		for range 20 {
			c.Received(tx(n))
			c.Candidates(height, []*ordov1.Transaction{tx(n)}, nil)
			c.Preconfirm(height, []*ordov1.TransactionResult{ok(n)}, stored(7, n%9, n))
			txs, results = append(txs, tx(n)), append(results, ok(n))
			n++
		}
		c.Decide(NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: height}}, txs, results, stored(7, 1, n), nil))
		if height > 8 {
			c.Accept(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: height - 4}})
		}
	}
	close(stop)
	readers.Wait()
}

// A rejected transaction leaves the open block, not the views taken before, and waits again when the build is lost.
func TestRejectedLeavesTheOpenBlock(t *testing.T) {
	c := fresh()
	c.Open(1, &ordov1.BlockContext{Number: 5})
	c.Candidates(1, []*ordov1.Transaction{tx(1), tx(2), tx(3)}, nil)
	before := c.Snapshot()
	refused := ok(2)
	refused.Status = ordov1.TransactionResult_REJECTED
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(1), refused}, nil)
	c.Candidates(1, []*ordov1.Transaction{tx(4)}, nil)
	c.Preconfirm(1, []*ordov1.TransactionResult{ok(3)}, nil)
	numbers := func(v *Snapshot) (all []byte) {
		for _, tx := range v.Open().Transactions {
			all = append(all, tx.Hash[31])
		}
		return all
	}
	if got := numbers(before); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("the first view has %v", got)
	}
	if v := c.Snapshot(); !bytes.Equal(numbers(v), []byte{1, 3, 4}) || len(v.Open().Results) != 2 {
		t.Errorf("the last view has %v with %d results", numbers(v), len(v.Open().Results))
	}
	if got := c.Status(word(2)).Status; got != Candidate {
		t.Errorf("the rejected one is %s", got)
	}
	c.ResetPreconfirmed(1)
	for n := range uint64(4) {
		if got := c.Status(word(n + 1)).Status; got != Received {
			t.Errorf("transaction %d is %s", n+1, got)
		}
	}
}

// How an accepted transaction ended is known without storage, unless that is a long story.
func TestOutcomeOfAcceptedIsKept(t *testing.T) {
	c := fresh()
	short, long := ok(1), ok(2)
	short.Status, short.Reason = ordov1.TransactionResult_REVERTED, "no"
	long.Status, long.Reason = ordov1.TransactionResult_REVERTED, string(make([]byte, reasonKept+1))
	header := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 5}}
	c.Decide(NewBlock(header, []*ordov1.Transaction{tx(1), tx(2)}, []*ordov1.TransactionResult{short, long}, nil, nil))
	c.Accept(header)
	if r := c.Status(word(1)); r.Status != Accepted || r.Result.GetReason() != "no" || r.Result.Status != ordov1.TransactionResult_REVERTED {
		t.Errorf("got %+v", r)
	}
	if r := c.Status(word(2)); r.Status != Accepted || r.Result != nil {
		t.Errorf("got %+v", r)
	}
}

// BenchmarkLargeBlock: a reader looks after every result. The time per transaction must not grow with the block.
func BenchmarkLargeBlock(b *testing.B) {
	for _, size := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for b.Loop() {
				c := fresh()
				c.Open(1, &ordov1.BlockContext{Number: 5})
				for first := 0; first < size; first += 100 {
					var txs []*ordov1.Transaction
					for i := range uint64(100) {
						txs = append(txs, tx(uint64(first)+i))
					}
					c.Candidates(1, txs, nil)
					for i := range uint64(100) {
						n := uint64(first) + i
						c.Preconfirm(1, []*ordov1.TransactionResult{ok(n)}, stored(n%500, n, n+1))
						if v := c.Snapshot(); len(v.Open().Results) != int(n)+1 {
							b.Fatal(len(v.Open().Results))
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/tx")
		})
	}
}
