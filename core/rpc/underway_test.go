package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// blocks counts the blocks that are asked for, and notes how far a transaction was at that time.
func blocks(w *world, hash *Key, stages *[]chainview.Status) {
	o := w.server.Options
	o.Devnet.CreateBlock = func(context.Context) ([]byte, error) {
		*stages = append(*stages, w.chain.Status(*hash).Status)
		return fe(0xb10c2), nil
	}
	w.server = New(o)
}

// TestABlockHasWhatWasSentBefore: createBlock right after a transaction waits until that has run.
func TestABlockHasWhatWasSentBefore(t *testing.T) { synctest.Test(t, blockHasWhatWasSentBefore) }

func blockHasWhatWasSentBefore(t *testing.T) {
	w := devnetWorld(t)
	var hash Key
	var stages []chainview.Status
	blocks(w, &hash, &stages)
	if got := call(t, w, "starknet_addInvokeTransaction", invoke); len(got) < 60 {
		t.Fatal(got)
	}
	hash = w.server.underway.sent[0]
	tx := w.chain.Status(hash).Tx
	time.AfterFunc(50*time.Millisecond, func() { // ranked, taken, executed
		w.chain.Open(2, blockContext(4))
		w.chain.Candidates(2, []*ordov1.Transaction{tx}, nil)
		time.Sleep(50 * time.Millisecond)
		w.chain.Preconfirm(2, []*ordov1.TransactionResult{{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}}, nil)
	})
	if got := call(t, w, "devnet_createBlock", `[]`); got != `{"block_hash":"0xb10c2"}` {
		t.Fatal(got)
	}
	if len(stages) != 1 || stages[0] != chainview.PreConfirmed {
		t.Errorf("the block was asked for when the transaction was %v", stages)
	}
}

// TestABlockDoesNotWaitForWhatCannotRun: a transaction behind a gap costs one short wait, not one for each block.
func TestABlockDoesNotWaitForWhatCannotRun(t *testing.T) { synctest.Test(t, blockDoesNotWait) }

func blockDoesNotWait(t *testing.T) {
	w := devnetWorld(t)
	var hash Key
	var stages []chainview.Status
	blocks(w, &hash, &stages)
	call(t, w, "starknet_addInvokeTransaction", invoke)
	hash = w.server.underway.sent[0]
	began := time.Now()
	for range 20 {
		call(t, w, "devnet_createBlock", `[]`)
	}
	if took := time.Since(began); took != runPatience {
		t.Errorf("20 blocks took %v", took)
	}
	if len(stages) != 20 || stages[0] != chainview.Received {
		t.Errorf("stages %v", stages)
	}
	// What fills the gap is waited for, and then what was behind it too.
	w.server.underway.add(fe(0x301)) // has run
	w.chain.Drop(hash, context.Canceled)
	call(t, w, "devnet_createBlock", `[]`)
	if len(w.server.underway.sent) != 0 {
		t.Errorf("%d are remembered", len(w.server.underway.sent))
	}
}
