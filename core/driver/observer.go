package driver

import (
	"errors"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Observer is told what becomes of transactions and blocks, after readers can see it. It is called on the path of the blocks, from
// several goroutines: it must not wait, and must not change what it is given.
type Observer interface {
	// Preconfirmed: these transactions have run in the open block, in this order. Rejected ones are among them.
	Preconfirmed(height uint64, txs []*ordov1.Transaction, results []*ordov1.TransactionResult)
	// Reset: the open block begins with its first transaction, at first or again. What was told as pre-confirmed and is in no decided
	// block waits again.
	Reset(height uint64)
	// Decided: the block is final. Usually what was told as pre-confirmed are its first transactions; where consensus decided otherwise,
	// what is not in the block waits again.
	Decided(block *chainview.Block)
	// Accepted: the root and the hash of the block are known; header has them.
	Accepted(header *ordov1.BlockHeader)
	// Dropped: the transaction left without a block; a *pipeline.Rejection when it was rejected. Only its hash is sure to be there.
	Dropped(tx *ordov1.Transaction, why error)
}

// LogObserver is the observer of a node that has no other: the log.
func LogObserver(log hclog.Logger) Observer { return logObserver{log} }

// logObserver is the observer of a node that has no other: the log.
type logObserver struct{ log hclog.Logger }

var _ Observer = logObserver{}

func (logObserver) Preconfirmed(uint64, []*ordov1.Transaction, []*ordov1.TransactionResult) {}

func (logObserver) Reset(uint64) {}

func (l logObserver) Decided(b *chainview.Block) {
	l.log.Info("block decided", "number", b.Context.Number, "transactions", len(b.Transactions), "degraded", b.Header.Degraded)
}

func (logObserver) Accepted(*ordov1.BlockHeader) {}

func (l logObserver) Dropped(tx *ordov1.Transaction, why error) {
	hash := mempool.Hex(mempool.Key(tx.Hash))
	if rejection := (*pipeline.Rejection)(nil); errors.As(why, &rejection) {
		l.log.Warn("transaction rejected", "hash", hash, "code", rejection.Code.String(), "reason", rejection.Reason)
	} else {
		l.log.Debug("transaction dropped", "hash", hash, "why", why)
	}
}
