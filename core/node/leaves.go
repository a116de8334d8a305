package node

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"

	"github.com/ordo-sequencer/ordo/core/starknet"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/wire"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// leafBatch is from how many results on their leaves are worth hashing: full batches cost half of small ones.
const leafBatch = 64

// leaves are the leaves of a block's commitments, hashed while the block still runs: when it closes, the next one waits for
// its header, and so do the transactions of that one. It keeps up with results as they come and is complete when asked.
type leaves struct {
	mu      sync.Mutex
	version starknet.Version
	txs     []*ordov1.Transaction // all that execution was given, in order
	waiting []ran
	known   map[*ordov1.TransactionResult]starknet.Leaf
	work    sync.WaitGroup
}

// ran is a transaction with its result.
type ran struct {
	tx     *ordov1.Transaction
	result *ordov1.TransactionResult
}

// begin is told the version of the block. Nothing is hashed ahead of a version that cannot be read.
func (l *leaves) begin(version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, err := starknet.ParseVersion(version); err == nil {
		l.version, l.known = v, map[*ordov1.TransactionResult]starknet.Leaf{}
	}
}

// add is told what execution is given.
func (l *leaves) add(txs []*ordov1.Transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txs = append(l.txs, txs...)
}

// came is told results; first is the place of the first in what execution was given. Whether they belong there is for the
// pipeline to judge: what does not is not hashed.
func (l *leaves) came(first int, results []*ordov1.TransactionResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || first+len(results) > len(l.txs) {
		return
	}
	for i, r := range results {
		tx := l.txs[first+i]
		if r.GetStatus() != ordov1.TransactionResult_REJECTED && bytes.Equal(tx.Hash, r.GetHash()) {
			l.waiting = append(l.waiting, ran{tx, r})
		}
	}
	if len(l.waiting) < leafBatch {
		return
	}
	batch, version := l.waiting, l.version
	l.waiting = nil
	l.work.Go(func() {
		hashed, err := hashLeaves(batch, version)
		if err != nil {
			return // whoever asks for them finds the same, and says so
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, one := range batch {
			l.known[one.result] = hashed[i]
		}
	})
}

// of returns the leaves of a block, hashing those that are not known.
func (l *leaves) of(txs []*ordov1.Transaction, results []*ordov1.TransactionResult, version starknet.Version) ([]starknet.Leaf, error) {
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]starknet.Leaf, len(txs))
	var missing []ran
	var at []int
	for i, r := range results {
		if leaf, ok := l.known[r]; ok && version == l.version {
			list[i] = leaf
			continue
		}
		missing, at = append(missing, ran{txs[i], r}), append(at, i)
	}
	// In as many parts as there are processors.
	parts := max(1, min(runtime.GOMAXPROCS(0), len(missing)/leafBatch))
	var all sync.WaitGroup
	failed := make([]error, parts)
	for part := range parts {
		from, to := part*len(missing)/parts, (part+1)*len(missing)/parts
		all.Go(func() {
			hashed, err := hashLeaves(missing[from:to], version)
			if err != nil {
				failed[part] = err
				return
			}
			for i, leaf := range hashed {
				list[at[from+i]] = leaf
			}
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func hashLeaves(list []ran, version starknet.Version) (_ []starknet.Leaf, err error) {
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
