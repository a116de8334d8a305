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

// leafBatch is from how many results on their leaves are worth hashing: full batches cost half of small ones.
const leafBatch = 64

// commitments are a block's commitments, hashed while the block still runs: when it closes, the next one waits for its header, and
// so do the transactions of that one. They keep up with results as they come and are completed when asked.
type commitments struct {
	mu      sync.Mutex
	version starknet.Version
	hashing bool                  // whether anything is hashed ahead
	txs     []*ordov1.Transaction // all that execution was given, in order
	waiting []executed
	busy    bool // a goroutine hashes what waits
	work    sync.WaitGroup

	// of that goroutine, and of who asks when it has ended
	roots starknet.Roots
	done  []*ordov1.TransactionResult // whose leaves are in the roots
}

// executed is a transaction with its result.
type executed struct {
	tx     *ordov1.Transaction
	result *ordov1.TransactionResult
}

// begin is told the version of the block. Nothing is hashed ahead of a version that cannot be read.
func (l *commitments) begin(version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, err := starknet.ParseVersion(version)
	l.version, l.hashing = v, err == nil
}

// add is told what execution is given.
func (l *commitments) add(txs []*ordov1.Transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txs = append(l.txs, txs...)
}

// resultsArrived is told results; first is the place of the first in what execution was given. Whether they belong there is for the
// pipeline to judge: what does not is not hashed.
func (l *commitments) resultsArrived(first uint64, results []*ordov1.TransactionResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if given := uint64(len(l.txs)); !l.hashing || first > given || uint64(len(results)) > given-first {
		return
	}
	for i, r := range results {
		tx := l.txs[int(first)+i]
		if r.GetStatus() != ordov1.TransactionResult_REJECTED && bytes.Equal(tx.Hash, r.GetHash()) {
			l.waiting = append(l.waiting, executed{tx, r})
		}
	}
	if len(l.waiting) >= leafBatch && !l.busy {
		l.busy = true
		l.work.Go(l.hash)
	}
}

// hash hashes what waits, as long as it is worth it.
func (l *commitments) hash() {
	for {
		l.mu.Lock()
		batch := l.waiting
		if l.busy = len(batch) >= leafBatch; !l.busy {
			l.mu.Unlock()
			return
		}
		l.waiting = nil
		l.mu.Unlock()
		hashed, err := hashLeaves(batch, l.version)
		if err != nil {
			l.mu.Lock()
			l.hashing, l.busy = false, false // whoever asks for them finds the same, and says so
			l.mu.Unlock()
			return
		}
		l.roots.Add(hashed)
		l.roots.Grow()
		for _, one := range batch {
			l.done = append(l.done, one.result)
		}
	}
}

// finish returns the commitments of a block, hashing what is not known. each runs functions, side by side if it likes.
func (l *commitments) finish(txs []*ordov1.Transaction, results []*ordov1.TransactionResult, version starknet.Version, each func(...func())) (starknet.Commitments, error) {
	l.mu.Lock()
	l.hashing, l.waiting = false, nil // what waits is hashed here
	l.mu.Unlock()
	l.work.Wait()
	same := 0
	for version == l.version && same < min(len(results), len(l.done)) && results[same] == l.done[same] {
		same++
	}
	l.roots.Cut(same)
	l.done = l.done[:same]
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
		l.roots.Add(hashed[part])
	}
	return l.roots.Commit(each), nil
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
