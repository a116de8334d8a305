package rpc

import (
	"context"
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/ingress"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Key is a hash, an address or a storage key: a felt, 32 bytes big-endian.
type Key = [32]byte

// Chain is what the node knows and storage does not.
type Chain interface {
	// View is one consistent look; it never changes afterwards.
	View() View
	// Waiting tells whether a transaction is in the pool and, if so, whether it was handed to execution. One that has a
	// result is not waiting any more: it is in the view's blocks.
	Waiting(hash Key) (stage Waiting, tx *ordov1.Transaction)
}

// Waiting is how far a transaction without a result got.
type Waiting int

const (
	NotWaiting Waiting = iota
	Received           // admitted, waits for its turn
	Candidate          // handed to execution
)

// View is a look at the chain: the latest block with a root, and the blocks after it with what they change.
type View interface {
	// Latest is the last block whose root is known; nil before genesis.
	Latest() *ordov1.BlockHeader
	// Blocks are those after Latest, by number: decided ones, then the open one if any.
	Blocks() []*Block
	// Next is the context of the open block, or of the block that would be opened next.
	Next() *ordov1.BlockContext
	// State tells what the blocks after Latest changed.
	State
}

// State looks up changes; ok is false for what did not change.
type State interface {
	Storage(contract, key Key) (value Key, ok bool)
	Nonce(contract Key) (nonce Key, ok bool)
	ClassHash(contract Key) (class Key, ok bool)
	Class(hash Key) (*ordov1.Class, bool)
}

// Block is a block without a root. Results may be fewer than Transactions while the block is open.
type Block struct {
	Context      *ordov1.BlockContext
	Transactions []*ordov1.Transaction
	Results      []*ordov1.TransactionResult
	Diff         *ordov1.StateDiff
}

// Ingress admits transactions and reads those of estimates.
type Ingress interface {
	Submit(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, error)
	// Admit takes a transaction that is built already: the faucet's.
	Admit(ctx context.Context, b *ingress.Broadcast) error
	Read(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, *ordov1.Class, error)
}
