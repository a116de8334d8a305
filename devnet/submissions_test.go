package devnet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// newChain is a chain without blocks whose build 1 is open.
func newChain() *chainview.Chain {
	c := chainview.New(func() *ordov1.BlockContext { return blockContext(0) })
	c.Start(&ordov1.BlockHeader{Context: blockContext(0), Hash: fe(0xb10c0)}, nil, nil)
	c.Open(1, blockContext(1))
	return c
}

func ran(tx *ordov1.Transaction) []*ordov1.TransactionResult {
	return []*ordov1.TransactionResult{{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}}
}

// TestABlockHasWhatWasSubmittedBefore: a block that is asked for right after a transaction waits until that has run.
func TestABlockHasWhatWasSubmittedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 0)
		var s submissions
		c.Received(tx)
		s.add(tx.Hash)
		time.AfterFunc(50*time.Millisecond, func() { c.Candidates(1, []*ordov1.Transaction{tx}, nil) })
		time.AfterFunc(100*time.Millisecond, func() { c.Preconfirm(1, ran(tx), nil) })
		if err := s.await(t.Context(), c); err != nil || c.Status(chainview.Key(tx.Hash)).Status != chainview.PreConfirmed || len(s.hashes) != 0 {
			t.Errorf("%v: the transaction is %v, %d are remembered", err, c.Status(chainview.Key(tx.Hash)).Status, len(s.hashes))
		}
	})
}

// TestABlockDoesNotWaitForWhatCannotRun: a transaction behind a gap costs one short wait, not one for each block; what is
// submitted later is waited for again.
func TestABlockDoesNotWaitForWhatCannotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 7)
		var s submissions
		c.Received(tx)
		s.add(tx.Hash)
		began := time.Now()
		for range 20 {
			if err := s.await(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != runWait {
			t.Errorf("20 blocks waited for %v", took)
		}
		next := account(0x502, 0)
		c.Received(next)
		s.add(next.Hash)
		c.Drop(chainview.Key(tx.Hash), context.Canceled)
		c.Drop(chainview.Key(next.Hash), context.Canceled)
		if err := s.await(t.Context(), c); err != nil || len(s.hashes) != 0 {
			t.Errorf("%v, %d are remembered", err, len(s.hashes))
		}
	})
}

// TestCreateBlockWaitsForWhatWasSubmitted, whichever method of the node submitted it.
func TestCreateBlockWaitsForWhatWasSubmitted(t *testing.T) {
	w := newWorld(t)
	if got := call(t, w, "starknet_addInvokeTransaction", invoke); len(got) < 60 {
		t.Fatal(got)
	}
	if len(w.devnet.submitted.hashes) != 1 {
		t.Fatalf("%d are remembered", len(w.devnet.submitted.hashes))
	}
	w.chain.Drop(w.devnet.submitted.hashes[0], context.Canceled)
	if got := call(t, w, "devnet_createBlock", `[]`); got != `{"block_hash":"0xb10c2"}` || len(w.devnet.submitted.hashes) != 0 {
		t.Errorf("%s, %d are remembered", got, len(w.devnet.submitted.hashes))
	}
}

const invoke = `[{"type":"INVOKE","sender_address":"0x77","calldata":["0x1"],"version":"0x3","signature":[],"nonce":"0x7",` +
	`"resource_bounds":{"l1_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"},"l2_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"},` +
	`"l1_data_gas":{"max_amount":"0x10","max_price_per_unit":"0x20"}},"tip":"0x0","paymaster_data":[],"account_deployment_data":[],` +
	`"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}]`
