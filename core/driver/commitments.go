package driver

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// leafBatch is the smallest number of results whose leaves are hashed ahead: full batches cost half of small ones.
const leafBatch = 64

// commitments are a block's commitments, hashed while the block still runs: when it closes, the next block waits for its header.
// They keep up with results as they come; finish completes them. Safe for concurrent use.
type commitments struct {
	mu      sync.Mutex
	version starknet.Version
	hashing bool                  // whether anything is hashed ahead
	txs     []*ordov1.Transaction // all that execution was given, in order
	waiting []executed
	busy    bool // a goroutine hashes what waits
	work    sync.WaitGroup

	// The goroutine that hashes owns the fields below; after it, finish does.
	roots starknet.Roots
	done  []*ordov1.TransactionResult // whose leaves are in the roots
}

// executed is a transaction with its result.
type executed struct {
	tx     *ordov1.Transaction
	result *ordov1.TransactionResult
}

// begin sets the version of the block. Nothing is hashed ahead when it cannot be read.
func (c *commitments) begin(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := starknet.ParseVersion(version)
	c.version, c.hashing = v, err == nil
}

// add takes what execution is given next, and returns how much it was given before.
func (c *commitments) add(txs []*ordov1.Transaction) (before int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = len(c.txs)
	c.txs = append(c.txs, txs...)
	return before
}

// resultsArrived takes results; first is the place of the first in what execution was given. Results that do not belong there are
// not hashed: the pipeline judges them.
func (c *commitments) resultsArrived(first uint64, results []*ordov1.TransactionResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if given := uint64(len(c.txs)); !c.hashing || first > given || uint64(len(results)) > given-first {
		return
	}
	for i, r := range results {
		tx := c.txs[int(first)+i]
		if r.GetStatus() != ordov1.TransactionResult_REJECTED && bytes.Equal(tx.Hash, r.GetHash()) {
			c.waiting = append(c.waiting, executed{tx, r})
		}
	}
	if len(c.waiting) >= leafBatch && !c.busy {
		c.busy = true
		c.work.Go(c.hash)
	}
}

// hash hashes what waits, as long as it is worth it.
func (c *commitments) hash() {
	for {
		c.mu.Lock()
		batch := c.waiting
		if c.busy = len(batch) >= leafBatch; !c.busy {
			c.mu.Unlock()
			return
		}
		c.waiting = nil
		c.mu.Unlock()
		hashed, err := hashLeaves(batch, c.version)
		if err != nil {
			c.mu.Lock()
			c.hashing, c.busy = false, false // finish finds the same, and returns the error
			c.mu.Unlock()
			return
		}
		c.roots.Add(hashed)
		c.roots.Grow()
		for _, one := range batch {
			c.done = append(c.done, one.result)
		}
	}
}

// finish returns the commitments of a block, hashing what is not known. each runs functions, side by side or not.
func (c *commitments) finish(txs []*ordov1.Transaction, results []*ordov1.TransactionResult, version starknet.Version, each func(...func())) (starknet.Commitments, error) {
	c.mu.Lock()
	c.hashing, c.waiting = false, nil // what waits is hashed here
	c.mu.Unlock()
	c.work.Wait()
	same := 0
	for version == c.version && same < min(len(results), len(c.done)) && results[same] == c.done[same] {
		same++
	}
	c.roots.Cut(same)
	c.done = c.done[:same]
	rest := make([]executed, len(results)-same)
	for i := range rest {
		rest[i] = executed{txs[same+i], results[same+i]}
	}
	// In as many parts as there are processors.
	parts := max(1, min(runtime.GOMAXPROCS(0), len(rest)/leafBatch))
	hashed, failed := make([][]starknet.Leaf, parts), make([]error, parts)
	var all sync.WaitGroup
	for part := range parts {
		from, to := part*len(rest)/parts, (part+1)*len(rest)/parts
		all.Go(func() { hashed[part], failed[part] = hashLeaves(rest[from:to], version) })
	}
	all.Wait()
	for part := range parts {
		if failed[part] != nil {
			return starknet.Commitments{}, failed[part]
		}
		c.roots.Add(hashed[part])
	}
	return c.roots.Commit(each), nil
}

func hashLeaves(list []executed, version starknet.Version) (_ []starknet.Leaf, err error) {
	signed, receipts := make([]starknet.Signed, len(list)), make([]starknet.Receipt, len(list))
	for i, one := range list {
		if signed[i].Hash, err = wire.Felt(one.tx.Hash); err != nil {
			return nil, fmt.Errorf("transaction 0x%x: hash: %w", one.tx.Hash, err)
		}
		if signed[i].Signature, err = felt.Unpack(one.tx.Signature); err != nil {
			return nil, fmt.Errorf("transaction 0x%x: signature: %w", one.tx.Hash, err)
		}
		if receipts[i], err = wire.Receipt(one.result); err != nil {
			return nil, fmt.Errorf("transaction 0x%x: %w", one.tx.Hash, err)
		}
	}
	return starknet.HashLeaves(signed, receipts, version), nil
}
