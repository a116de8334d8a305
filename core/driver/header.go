package driver

import (
	"bytes"
	"fmt"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// HashHeader fills in a header: counts, commitments and the partial hash.
func HashHeader(draft *ordov1.BlockHeader, txs []*ordov1.Transaction, results []*ordov1.TransactionResult, diff *ordov1.StateDiff) (*ordov1.BlockHeader, error) {
	return buildHeader(draft, txs, results, diff, nil)
}

// buildHeader is HashHeader with the commitments that were hashed before; nil: none.
func buildHeader(draft *ordov1.BlockHeader, txs []*ordov1.Transaction, results []*ordov1.TransactionResult, diff *ordov1.StateDiff, before *commitments) (*ordov1.BlockHeader, error) {
	header := clone(draft)
	version, err := starknet.ParseVersion(header.Context.GetStarknetVersion())
	if err != nil {
		return nil, err
	}
	if len(txs) != len(results) {
		return nil, fmt.Errorf("%d transactions with %d results", len(txs), len(results))
	}
	changes, err := wire.StateDiff(diff)
	if err != nil {
		return nil, err
	}
	// The state diff is one long sponge: it takes a processor of its own, while another completes the rest.
	var all sync.WaitGroup
	all.Go(func() { header.StateDiffCommitment = wire.FromFelt(changes.Commitment()) })
	if before == nil {
		before = new(commitments)
	}
	c, err := before.finish(txs, results, version, func(work ...func()) {
		for _, w := range work {
			all.Go(w)
		}
		all.Wait()
	})
	all.Wait()
	if err != nil {
		return nil, err
	}
	header.TransactionCommitment = wire.FromFelt(c.Transactions)
	header.ReceiptCommitment = wire.FromFelt(c.Receipts)
	header.EventCommitment = wire.FromFelt(c.Events)

	header.TransactionCount, header.EventCount = uint32(len(txs)), 0
	for _, r := range results {
		header.EventCount += uint32(len(r.Events))
	}
	header.StateDiffLength = uint32(changes.Length())
	if header.GasUsed == nil {
		header.GasUsed = gasUsed(results)
	}
	hashed, err := wire.Header(header)
	if err != nil {
		return nil, err
	}
	partial, err := hashed.PartialHash()
	if err != nil {
		return nil, err
	}
	header.PartialHash = wire.FromFelt(partial)
	return header, nil
}

func gasUsed(results []*ordov1.TransactionResult) *ordov1.Gas {
	sum := &ordov1.Gas{}
	for _, r := range results {
		sum.L1Gas += r.GetGas().GetL1Gas()
		sum.L1DataGas += r.GetGas().GetL1DataGas()
		sum.L2Gas += r.GetGas().GetL2Gas()
	}
	return sum
}

// withRoot completes a header with the root that storage computed, and checks parent and hash.
func withRoot(header, parent *ordov1.BlockHeader, root *ordov1.Root) (*ordov1.BlockHeader, error) {
	header = clone(header)
	header.StateRoot, header.ParentHash, header.Hash = root.StateRoot, root.ParentHash, root.BlockHash
	if parent != nil && !bytes.Equal(parent.Hash, pad(root.ParentHash)) {
		return nil, fmt.Errorf("block %d: storage names the parent 0x%x, its hash is 0x%x: the store is damaged or its plugin is broken", root.Height, root.ParentHash, parent.Hash)
	}
	hashed, err := wire.Header(header)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", root.Height, err)
	}
	hash, err := hashed.Hash()
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", root.Height, err)
	}
	if got := wire.FromFelt(hash); !bytes.Equal(got, root.BlockHash) {
		return nil, fmt.Errorf("block %d: storage says that its hash is 0x%x, it is 0x%x: the store is damaged or its plugin is broken", root.Height, root.BlockHash, got)
	}
	return header, nil
}

// pad writes an absent felt in full.
func pad(b []byte) []byte {
	if len(b) == 0 {
		return make([]byte, felt.Size)
	}
	return b
}
