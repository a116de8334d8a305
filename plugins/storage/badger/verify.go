package badger

import (
	"bytes"
	"errors"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// checkBlocks reads the last blocks whole, recomputes their hashes and the chain of parents, and the commitments of the
// last few.
func (s *Store) checkBlocks(v view, blocks, contents uint64) error {
	c := s.chain
	for num := c.blocks - min(c.blocks, blocks); num < c.blocks; num++ {
		_, err := s.checkBlock(v, num, num+contents >= c.blocks)
		if err == nil {
			_, err = s.diff(v, tableUndo, num)
		}
		if err != nil {
			return fmt.Errorf("block %d is damaged: %w: %s", num, err, toRepair)
		}
	}
	if c.blocks > 0 {
		h, err := s.header(v, c.blocks-1)
		if err != nil {
			return err
		}
		if !bytes.Equal(h.GetPartialHash(), c.partial) {
			return fmt.Errorf("the head says block 0x%x, the header 0x%x: %s", c.partial, h.GetPartialHash(), toRepair)
		}
	}
	return nil
}

// checkBlock reads a block whole and compares it with its header; with contents, it hashes everything that the header
// commits to.
func (s *Store) checkBlock(v view, num uint64, contents bool) (*ordov1.Block, error) {
	b, err := s.readBlock(v, num, parts{transactions: true, results: true, certificate: true})
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errors.New("its header is missing")
	}
	h := b.Header
	if len(b.Transactions) != int(h.TransactionCount) || len(b.Results) != int(h.TransactionCount) {
		return nil, fmt.Errorf("%d transactions and %d results of %d", len(b.Transactions), len(b.Results), h.TransactionCount)
	}
	if b.StateDiff, err = s.diff(v, tableDiff, num); err != nil {
		return nil, err
	}
	n, err := checkDiff(b.StateDiff)
	if err != nil {
		return nil, fmt.Errorf("state diff: %w", err)
	}
	if n != int(h.StateDiffLength) {
		return nil, fmt.Errorf("state diff of length %d, the header says %d", n, h.StateDiffLength)
	}
	if contents {
		if err := checkContents(b); err != nil {
			return nil, err
		}
	}
	if num >= s.chain.rooted { // its root is not known yet, or behind a hole and to be computed again
		return b, nil
	}
	root, err := felt.FromBytes(h.StateRoot)
	if err != nil {
		return nil, fmt.Errorf("state root: %w", err)
	}
	hash, err := blockHash(h, root, h.ParentHash)
	if err != nil {
		return nil, err
	}
	if got := hash.Bytes(); !bytes.Equal(got[:], h.Hash) {
		return nil, fmt.Errorf("its hash is %s, but 0x%x is stored", hash, h.Hash)
	}
	return b, nil
}

// checkContents recomputes the partial hash of a block from everything in it.
func checkContents(b *ordov1.Block) error {
	want, err := wire.Header(b.Header)
	if err != nil {
		return err
	}
	got := want
	signed := make([]starknet.Signed, len(b.Transactions))
	receipts := make([]starknet.Receipt, len(b.Results))
	for i, t := range b.Transactions {
		if signed[i], err = signedTransaction(t); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if receipts[i], err = wire.Receipt(b.Results[i]); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	diff, err := wire.StateDiff(b.StateDiff)
	if err != nil {
		return err
	}
	if err := got.Fill(signed, receipts, diff); err != nil {
		return err
	}
	for _, c := range []struct {
		what      string
		got, want felt.Felt
	}{
		{"transactions", got.TransactionCommitment, want.TransactionCommitment},
		{"events", got.EventCommitment, want.EventCommitment},
		{"receipts", got.ReceiptCommitment, want.ReceiptCommitment},
		{"state diff", got.StateDiffCommitment, want.StateDiffCommitment},
	} {
		if c.got != c.want {
			return fmt.Errorf("the commitment to its %s is %s, the header says %s", c.what, c.got, c.want)
		}
	}
	partial, err := got.PartialHash()
	if err != nil {
		return err
	}
	if p := partial.Bytes(); !bytes.Equal(p[:], b.Header.GetPartialHash()) {
		return fmt.Errorf("its partial hash is %s, the header says 0x%x", partial, b.Header.GetPartialHash())
	}
	return nil
}

func signedTransaction(t *ordov1.Transaction) (s starknet.Signed, err error) {
	if s.Hash, err = felt.FromBytes(t.GetHash()); err != nil {
		return s, fmt.Errorf("hash: %w", err)
	}
	if s.Signature, err = felt.Unpack(t.GetSignature()); err != nil {
		return s, fmt.Errorf("signature: %w", err)
	}
	return s, nil
}

// checkRootOfFlat computes the root of the flat state from nothing and compares it with the last one known.
func (s *Store) checkRootOfFlat(v view) error {
	if s.chain.rooted == 0 {
		return nil
	}
	if _, _, unfinished, err := readNum(v, metaKey(metaPending)); err != nil || unfinished {
		return err
	}
	w := newRootWorker(s)
	w.state = memoryTries()
	if err := w.applyFlat(v, nil); err != nil {
		return err
	}
	return w.takeBack(v, s.chain.rooted)
}
