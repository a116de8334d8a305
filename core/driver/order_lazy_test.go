package driver

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// TestDecidedOrderIsExecutedAfterACrash: the power goes between the decision and the execution. After it the order is executed before
// consensus, which does nothing here, is asked for anything.
func TestDecidedOrderIsExecutedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lazy := func(o *Options) { o.Lazy = true }
		storage, fuse, protocol := fakestage.NewStorage(), newFuse(0), fakestage.Solo()
		var value []byte
		m, err := boot(t, storage, &memory{fuse: fuse, files: map[string]*page{}}, fuse, func(event *ordov1.ConsensusEvent) []*ordov1.Action {
			actions := protocol(event)
			for _, a := range actions {
				if d := a.GetDecide(); d != nil {
					d.Certificate, value = []byte("signed"), d.Value
				}
			}
			return actions
		}, lazy)
		if err != nil {
			t.Fatal(err)
		}
		m.execution.Delay = 5 * time.Second
		txs := []*ordov1.Transaction{m.tx(1, 0, plain, 1), m.tx(2, 0, rejects, 3), m.tx(1, 1, reverts, 2), m.tx(3, 0, plain, 9)}
		m.submit(txs...)
		time.Sleep(time.Second)
		synctest.Wait()
		if storage.Count() != 1 || value == nil {
			t.Fatalf("%d blocks, decided is %x", storage.Count(), value)
		}
		m.off()
		time.Sleep(10 * time.Second) // what ran does not outlive the power

		storage.Restarted()
		var parent *ordov1.ConsensusEvent_Parent
		next, err := boot(t, storage, m.disk.survivor(fuse, false), fuse, func(event *ordov1.ConsensusEvent) []*ordov1.Action {
			if s := event.GetStart(); s != nil {
				parent = s.Parent
			}
			return nil
		}, lazy)
		if err != nil {
			t.Fatal(err)
		}
		defer next.off()
		next.await(chainview.Accepted, txs[0], txs[2], txs[3])
		synctest.Wait()
		if r := next.node.Chain().Status(mempool.Key(txs[1].Hash)); r.Status != chainview.Dropped || !strings.Contains(r.Why.Error(), "rejected") {
			t.Errorf("the rejected transaction is %s: %v", r.Status, r.Why)
		}
		if !bytes.Equal(parent.GetValue(), value) || string(parent.GetCertificate()) != "signed" {
			t.Errorf("consensus is told that %x was decided, by %q; it was %x", parent.GetValue(), parent.GetCertificate(), value)
		}
		b, err := next.node.Decided(ctx(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		p := &ordov1.Proposal{}
		if err := proto.Unmarshal(b.Body, p); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Value, value) || string(b.Certificate) != "signed" || len(p.Transactions) != 4 || len(p.ParentResult) == 0 {
			t.Errorf("block 1 is handed over as %x, with %q and %d transactions", b.Value, b.Certificate, len(p.Transactions))
		}
	})
}

// lazyChain makes a chain of orders in which blocks are full and transactions are rejected.
func lazyChain(t *testing.T) *world {
	w := newWorld(t)
	w.options.Lazy, w.execution.Limit = true, 3
	n := w.start()
	var all []*ordov1.Transaction
	for account := range uint64(6) {
		for nonce := range uint64(4) {
			what := uint64(plain)
			if account == 3 && nonce == 3 {
				what = rejects
			}
			all = append(all, w.tx(account+1, nonce, what, account))
		}
	}
	w.submit(all...)
	for i, tx := range all {
		if i != 3*4+3 {
			w.await(chainview.Accepted, tx)
		}
	}
	if err := n.Stop(ctx(t)); err != nil {
		t.Fatal(err)
	}
	w.chainIsSound()
	return w
}

// TestOrdersAreHandedOver to a node that follows, and executed again: both come to the same blocks, and find what was left out of them.
func TestOrdersAreHandedOver(t *testing.T) {
	w := lazyChain(t)
	rest, left := 0, 0
	for _, b := range w.storage.Stored[1:] {
		o, err := w.node.decidedOrder(b)
		if err != nil {
			t.Fatal(err)
		}
		rest, left = rest+len(o.Rest), left+len(o.LeftOut)
	}
	if rest == 0 || left == 0 {
		t.Fatalf("no block is full: %d left out, %d bytes of digests", left, rest)
	}

	follower := newWorld(t)
	follower.options.Lazy, follower.options.Follow, follower.execution.Limit = true, true, 3
	n := follower.start()
	hand := func(height uint64, change func(*ordov1.Proposal)) error {
		b, err := w.node.Decided(ctx(t), height)
		if err != nil {
			t.Fatal(err)
		}
		p := &ordov1.Proposal{}
		if err := proto.Unmarshal(b.Body, p); err != nil {
			t.Fatal(err)
		}
		change(p)
		if b.Body, err = proto.Marshal(p); err != nil {
			t.Fatal(err)
		}
		return n.Learn(ctx(t), b)
	}
	for _, lie := range []struct {
		what string
		do   func(*ordov1.Proposal)
		want string
	}{
		{"one transaction less", func(p *ordov1.Proposal) { p.Transactions, p.N = p.Transactions[1:], p.N-1 }, "the order that came with it"},
		{"the block alone", func(p *ordov1.Proposal) { p.ParentResult, p.Rest = nil, nil }, "this network decides orders"},
		{"another signature", func(p *ordov1.Proposal) { p.Transactions[0].Signature = num(9) }, "the order that came with it"},
	} {
		if err := hand(1, lie.do); err == nil || !strings.Contains(err.Error(), lie.want) {
			t.Errorf("%s: %v", lie.what, err)
		}
	}
	for height := range uint64(len(w.storage.Stored)) {
		if height == 0 {
			continue
		}
		if err := hand(height, func(*ordov1.Proposal) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Stop(ctx(t)); err != nil {
		t.Fatal(err)
	}
	for i, b := range w.storage.Stored {
		if got := follower.storage.Stored[i]; !bytes.Equal(got.Header.Hash, b.Header.Hash) || !bytes.Equal(got.Certificate, b.Certificate) {
			t.Errorf("block %d is 0x%x there, 0x%x here", i, b.Header.Hash, got.Header.Hash)
		}
	}

	fresh := newWorld(t)
	fresh.execution.Limit = 3
	fresh.make()
	found, err := Reexecute(ctx(t), w.execution.Read, fresh.options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found.Blocks != uint64(len(w.storage.Stored)-1) || found.Transactions != 23 {
		t.Errorf("executed again: %+v", found)
	}
}

// TestExecutionBelongsToTheChain: a chain of orders is not gone on with by a node that decides blocks, and the other way.
func TestExecutionBelongsToTheChain(t *testing.T) {
	for _, lazy := range []bool{true, false} {
		w := newWorld(t)
		w.options.Lazy = lazy
		if err := w.start().Stop(ctx(t)); err != nil {
			t.Fatal(err)
		}
		w.options.Lazy = !lazy
		w.make()
		n, err := New(w.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(ctx(t)); err == nil || !strings.Contains(err.Error(), "the stored chain has "+executionName(lazy)+" execution, not "+executionName(!lazy)) {
			t.Errorf("lazy %v: %v", lazy, err)
		}
	}
}

// TestEagerAndLazyComeToTheSameState: the same transactions, in another number of blocks, leave the same nonces when none is left out.
func TestEagerAndLazyComeToTheSameState(t *testing.T) {
	state := func(lazy bool) []byte {
		w := newWorld(t)
		w.options.Lazy = lazy
		if lazy {
			w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
			w.options.Order = pipeline.OrderLimits{Transactions: 5}
		}
		w.start()
		var all []*ordov1.Transaction
		var accounts []byte
		for account := range uint64(5) {
			accounts = append(accounts, num(account+1)...)
			for nonce := range uint64(3 + account) {
				all = append(all, w.tx(account+1, nonce, nonce%2*reverts, account))
			}
		}
		w.submit(all...)
		w.await(chainview.Accepted, all...)
		got, err := w.execution.Read.State(ctx(t), &ordov1.StateRequest{Nonces: accounts})
		if err != nil {
			t.Fatal(err)
		}
		w.chainIsSound()
		return got.Nonces
	}
	if eager, lazy := state(false), state(true); !bytes.Equal(eager, lazy) {
		t.Errorf("nonces %x and %x", eager, lazy)
	}
}
