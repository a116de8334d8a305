package chainview

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func feedTx(n uint64) *ordov1.Transaction {
	return &ordov1.Transaction{Hash: felt.FromUint64(n).Append(nil)}
}

func feedResult(n uint64, status ordov1.TransactionResult_Status) *ordov1.TransactionResult {
	return &ordov1.TransactionResult{Hash: felt.FromUint64(n).Append(nil), Status: status}
}

// written shows changes as a line each: kind, height, transactions by number, and what else they carry.
func written(changes []Change) string {
	names := map[What]string{ReceivedNow: "received", CandidatesNow: "candidates", PreConfirmedNow: "ran", WaitingAgain: "waiting", OpenDropped: "dropped", DecidedNow: "decided", AcceptedNow: "accepted"}
	var out strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&out, "%d %s", c.Seq, names[c.What])
		for _, tx := range c.Txs {
			f, _ := felt.FromBytes(tx.Hash)
			fmt.Fprintf(&out, " %s", f.Hex())
		}
		if c.What == PreConfirmedNow {
			fmt.Fprintf(&out, " at %d.%d", c.Height, c.First)
		}
		if c.What == DecidedNow {
			fmt.Fprintf(&out, " fresh %v", c.Fresh)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// TestAFeedHasEveryStep of every transaction, in order and once, from where it begins.
func TestAFeedHasEveryStep(t *testing.T) {
	c := New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	c.Start(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 1}}, nil, nil)
	c.Received(feedTx(1)) // before
	start, f := c.Follow()
	defer f.Close()
	if start.Latest.Context.Number != 1 || start.Open != nil || start.Seq != c.Seq() {
		t.Errorf("it begins at %+v", start)
	}
	ok, rejected := ordov1.TransactionResult_SUCCEEDED, ordov1.TransactionResult_REJECTED
	c.Received(feedTx(2))
	two := &ordov1.BlockContext{Number: 2}
	c.Open(1, two)
	c.Candidates(1, []*ordov1.Transaction{feedTx(1), feedTx(2), feedTx(3), feedTx(4)}, nil)
	c.Preconfirm(1, []*ordov1.TransactionResult{feedResult(1, ok), feedResult(2, rejected)}, nil)
	c.Preconfirm(1, []*ordov1.TransactionResult{feedResult(3, ok)}, nil)
	c.ResetPreconfirmed(1)
	c.Open(2, two)
	c.Candidates(2, []*ordov1.Transaction{feedTx(1), feedTx(3), feedTx(4)}, nil)
	c.Preconfirm(2, []*ordov1.TransactionResult{feedResult(1, ok)}, nil)
	inside := []*ordov1.Transaction{feedTx(1), feedTx(5)} // 5 comes from elsewhere
	c.Decide(NewBlock(&ordov1.BlockHeader{Context: two}, inside, []*ordov1.TransactionResult{feedResult(1, ok), feedResult(5, ok)}, nil, nil))
	c.Accept(&ordov1.BlockHeader{Context: two, Hash: felt.FromUint64(9).Append(nil)})
	c.Drop(Key(felt.FromUint64(3).Append(nil)), errors.New("late"))
	changes, err := f.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := `1 received 0x2
2 candidates 0x1 0x2 0x3 0x4
3 ran 0x1 at 2.0
4 ran 0x3 at 2.1
5 dropped
6 waiting 0x1 0x3 0x4
7 waiting 0x2
8 candidates 0x1 0x3 0x4
9 ran 0x1 at 2.0
10 waiting 0x3 0x4
11 decided 0x1 0x5 fresh [1]
12 accepted 0x1 0x5
`
	if got := written(changes); got != want {
		t.Errorf("got\n%s", got)
	}
	if r, seq := c.StatusAt(Key(felt.FromUint64(5).Append(nil))); r.Status != Accepted || seq != 12 {
		t.Errorf("%v %d", r.Status, seq)
	}
}

// TestAFeedBeginsWithTheOpenBlock and with the decided ones.
func TestAFeedBeginsWithTheOpenBlock(t *testing.T) {
	c := New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	c.Decide(NewBlock(&ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 0}}, nil, nil, nil, nil))
	c.Open(1, &ordov1.BlockContext{Number: 1})
	c.Candidates(1, []*ordov1.Transaction{feedTx(1), feedTx(2)}, nil)
	c.Preconfirm(1, []*ordov1.TransactionResult{feedResult(1, ordov1.TransactionResult_SUCCEEDED)}, nil)
	start, f := c.Follow()
	f.Close()
	if len(start.Decided) != 1 || start.Open == nil || len(start.Open.Transactions) != 1 || len(start.Open.Results) != 1 {
		t.Errorf("%+v", start)
	}
}

// TestAReaderThatFallsBehindLosesItsFeed: the chain keeps so much for it and no more, and goes on.
func TestAReaderThatFallsBehindLosesItsFeed(t *testing.T) {
	c := New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	_, f := c.Follow()
	defer f.Close()
	_, other := c.Follow()
	defer other.Close()
	tx := feedTx(1)
	for i := range feedKept {
		c.Received(tx)
		if i%1000 == 0 {
			if _, err := other.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := f.Take(t.Context()); !errors.Is(err, ErrFeedBehind) {
		t.Errorf("the slow reader: %v", err)
	}
	if changes, err := other.Take(t.Context()); err != nil || len(changes) == 0 {
		t.Errorf("the other one: %v", err)
	}
}

// TestNobodyFollows: then the chain keeps nothing and counts nothing.
func TestNobodyFollows(t *testing.T) {
	c := New(func() *ordov1.BlockContext { return &ordov1.BlockContext{} })
	_, f := c.Follow()
	f.Close()
	before := c.Seq()
	c.Received(feedTx(1))
	if c.Seq() != before {
		t.Error("it goes on counting")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if changes, err := f.Take(ctx); len(changes) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", changes, err)
	}
}
