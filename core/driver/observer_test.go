package driver

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// watching is an observer that holds what it is told against the rules of Observer.
type watching struct {
	mu       sync.Mutex
	shown    []mempool.Key // of the open block
	resets   int           // of blocks of which something was told
	cut      int           // decided with fewer transactions than were told
	early    int           // transactions of decided blocks that were told before
	inside   map[mempool.Key]uint64
	accepted uint64
	dropped  map[mempool.Key]error
	senders  map[mempool.Key]string
	wrong    []string
}

func (w *watching) complain(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

func (w *watching) Preconfirmed(height uint64, txs []*ordov1.Transaction, results []*ordov1.TransactionResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(txs) != len(results) {
		w.complain("%d transactions with %d results", len(txs), len(results))
	}
	for i, tx := range txs {
		if mempool.Key(results[i].Hash) != mempool.Key(tx.Hash) {
			w.complain("block %d: a result of another transaction", height)
		}
		if results[i].Status != ordov1.TransactionResult_REJECTED {
			w.shown = append(w.shown, mempool.Key(tx.Hash))
		}
	}
}

func (w *watching) Reset(uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.shown) > 0 {
		w.resets++
	}
	w.shown = nil
}

func (w *watching) Decided(b *chainview.Block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, tx := range b.Transactions {
		if i < len(w.shown) && w.shown[i] != mempool.Key(tx.Hash) {
			w.complain("block %d: place %d was told as %s", b.Context.Number, i, mempool.Hex(w.shown[i]))
		}
	}
	w.early += min(len(w.shown), len(b.Transactions))
	if len(w.shown) > len(b.Transactions) {
		w.cut++
	}
	w.shown = nil
	for _, tx := range b.Transactions {
		if before := w.inside[mempool.Key(tx.Hash)]; before != 0 {
			w.complain("%s is in blocks %d and %d", mempool.Hex(mempool.Key(tx.Hash)), before, b.Context.Number)
		}
		w.inside[mempool.Key(tx.Hash)] = b.Context.Number
	}
}

func (w *watching) Accepted(h *ordov1.BlockHeader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.Context.Number != w.accepted+1 || len(h.StateRoot) == 0 || len(h.Hash) == 0 {
		w.complain("block %d is accepted after %d", h.Context.Number, w.accepted)
	}
	w.accepted = h.Context.Number
}

func (w *watching) Dropped(tx *ordov1.Transaction, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped[mempool.Key(tx.Hash)], w.senders[mempool.Key(tx.Hash)] = why, string(tx.Sender)
}

// TestObserver: an observer is told of every transaction and block, once and in order, with a consensus that decides at once and with
// one that gives attempts up and proposes anew.
func TestObserver(t *testing.T) {
	for _, script := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if script {
				w.consensus = (&scripted{}).step
				w.options.Stages.ConsensusCapabilities = []string{sdk.CapNetwork}
				w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
			}
			told := &watching{inside: map[mempool.Key]uint64{}, dropped: map[mempool.Key]error{}, senders: map[mempool.Key]string{}}
			w.options.Observer = told
			n := w.start()
			var all []*ordov1.Transaction
			for nonce := range uint64(6) {
				for account := uint64(1); account <= 4; account++ {
					all = append(all, w.tx(account, nonce, nonce%2*reverts, 0))
				}
			}
			w.submit(all...)
			w.await(chainview.Accepted, all...)
			var bad *ordov1.Transaction
			if !script { // that one has no answer to a block of one
				bad = w.tx(9, 0, rejects, 0)
				w.submit(bad, w.tx(1, 6, plain, 0)) // it leaves with the block of the other
				w.await(chainview.Dropped, bad)
				w.await(chainview.Accepted, w.tx(1, 6, plain, 0))
			}
			synctest.Wait()
			told.mu.Lock()
			defer told.mu.Unlock()
			for _, wrong := range told.wrong {
				t.Error(wrong)
			}
			for _, tx := range all {
				if told.inside[mempool.Key(tx.Hash)] == 0 {
					t.Error("a transaction was not told of")
				}
			}
			if latest := n.Chain().Latest().Context.Number; told.accepted != latest || told.early == 0 || script != (told.resets > 0) || !script && told.cut > 0 {
				t.Errorf("blocks to %d of %d, %d transactions when they ran, %d resets, %d blocks cut", told.accepted, latest, told.early, told.resets, told.cut)
			}
			if rejection := (*pipeline.Rejection)(nil); bad != nil && (!errors.As(told.dropped[mempool.Key(bad.Hash)], &rejection) || told.senders[mempool.Key(bad.Hash)] != string(bad.Sender)) {
				t.Errorf("rejected: %v", told.dropped)
			}
		})
	}
}
