package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Blocks looked at when a store is opened: so many are read whole and hashed, and the flat state is compared with the
// diffs of the last few. Badger may lose a transaction in the middle of its log and keep later ones, so being able to
// open it proves nothing.
const (
	checkedBlocks = 64
	checkedDiffs  = 8
)

// recover brings a store that was just opened to a state that can be served, or says why it cannot.
func (s *Store) recover() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.finishPending(); err != nil {
		return err
	}
	rooted, err := s.checkNumbers()
	if err != nil {
		return err
	}
	v := s.eng.view()
	defer v.close()
	c, err := s.loadChain(v, rooted)
	if err != nil {
		return err
	}
	s.chain = c
	if err := s.checkBlocks(v); err != nil {
		return err
	}
	if err := s.checkFlat(v); err != nil {
		return err
	}
	s.roots = newRootWorker(s)
	return s.roots.recover(v, rooted)
}

// checkFormat wants our own format and chain; an empty database becomes ours.
func (s *Store) checkFormat() error {
	v := s.eng.view()
	defer v.close()
	format, err := v.get(metaKey(metaFormat))
	if err != nil {
		return err
	}
	if format == nil {
		empty := true
		if err := v.scan(nil, nil, true, func(_, _ []byte) (bool, error) { empty = false; return false, nil }); err != nil {
			return err
		}
		if !empty {
			return errors.New("there is a database in it that ordo did not write, or whose beginning is lost: use another directory")
		}
		return s.eng.apply([]write{{metaKey(metaFormat), []byte{formatVersion}}, {metaKey(metaChain), []byte(s.opts.ChainID)}})
	}
	if len(format) != 1 || format[0] != formatVersion {
		return fmt.Errorf("its format is %x, this version of ordo reads %d: use the version that wrote it", format, formatVersion)
	}
	chainID, err := v.get(metaKey(metaChain))
	if err != nil {
		return err
	}
	if string(chainID) != s.opts.ChainID {
		return fmt.Errorf("it holds chain %q, not %q: use another directory or the right chain id", chainID, s.opts.ChainID)
	}
	return nil
}

// finishPending takes back a block that was being written or removed in batches when the process died.
func (s *Store) finishPending() error {
	v := s.eng.view()
	defer v.close()
	num, _, found, err := readNum(v, metaKey(metaPending))
	if err != nil || !found {
		return err
	}
	s.opts.Log.Warn("taking back a block that was written in part", "block", num)
	state, body, err := s.undoWrites(v, num)
	if err != nil {
		return fmt.Errorf("block %d was written in part: %w", num, err)
	}
	return s.finishUndo(state, body)
}

// loadChain reads what Head answers; at most `rooted` blocks have a root.
func (s *Store) loadChain(v view, rooted uint64) (chain, error) {
	var c chain
	head, partial, found, err := readNum(v, metaKey(metaHead))
	if err != nil || !found {
		return c, err
	}
	c.blocks, c.partial = head+1, partial
	if c.floor, _, _, err = readNum(v, metaKey(metaHistoryFloor)); err != nil {
		return c, err
	}
	s.mu.Lock()
	c.rooted = min(rooted, c.blocks)
	if s.chain.blocks > 0 {
		c.rooted = min(c.rooted, s.chain.rooted)
	}
	s.mu.Unlock()
	if c.rooted > 0 {
		c.root, c.hash, err = s.root(v, c.rooted-1)
	}
	return c, err
}

// checkNumbers wants a header at every height up to the head and nowhere else, and returns how many blocks have roots.
func (s *Store) checkNumbers() (rooted uint64, err error) {
	v := s.eng.view()
	defer v.close()
	head, _, found, err := readNum(v, metaKey(metaHead))
	if err != nil {
		return 0, err
	}
	blocks := uint64(0)
	if found {
		blocks = head + 1
	}
	headers, _, err := countNumbers(v, tableHeader)
	if err != nil {
		return 0, err
	}
	total := uint64(0)
	err = v.scan([]byte{tableHeader}, nil, true, func(_, _ []byte) (bool, error) { total++; return true, nil })
	if err != nil {
		return 0, err
	}
	if headers != blocks || total != blocks {
		return 0, fmt.Errorf("the head is block %d, but block %d is missing (%d of %d blocks are there): restore a backup or start from an empty directory",
			head, headers, total, blocks)
	}
	rooted, extra, err := countNumbers(v, tableRoot)
	if err != nil {
		return 0, err
	}
	// Roots can always be computed again: forget what is beyond the head or behind a hole.
	var writes []write
	for _, num := range extra {
		writes = append(writes, write{key: numKey(tableRoot, num)})
	}
	for ; rooted > blocks; rooted-- {
		writes = append(writes, write{key: numKey(tableRoot, rooted-1)})
	}
	if len(writes) > 0 {
		s.opts.Log.Warn("roots without a block or behind a hole are computed again", "roots", len(writes))
		return rooted, s.eng.applySplit(writes)
	}
	return rooted, nil
}

// countNumbers returns the length of the run 0, 1, 2.. in a table keyed by number, and the numbers after it.
func countNumbers(v view, table byte) (n uint64, extra []uint64, err error) {
	err = v.scan([]byte{table}, nil, true, func(k, _ []byte) (bool, error) {
		if len(k) != 9 {
			return false, fmt.Errorf("entry %x does not belong into its table", k)
		}
		if num := binary.BigEndian.Uint64(k[1:]); num == n {
			n++
		} else {
			extra = append(extra, num)
		}
		return true, nil
	})
	return n, extra, err
}

// checkBlocks reads the last blocks whole, and recomputes their hashes and the chain of parents.
func (s *Store) checkBlocks(v view) error {
	c := s.chain
	for num := c.blocks - min(c.blocks, checkedBlocks); num < c.blocks; num++ {
		if err := s.checkBlock(v, num); err != nil {
			return fmt.Errorf("block %d is damaged: %w: restore a backup or start from an empty directory", num, err)
		}
	}
	if c.blocks > 0 {
		h, err := s.header(v, c.blocks-1)
		if err != nil {
			return err
		}
		if !bytes.Equal(h.GetPartialHash(), c.partial) {
			return fmt.Errorf("the head says block 0x%x, the header 0x%x: restore a backup", c.partial, h.GetPartialHash())
		}
	}
	return nil
}

func (s *Store) checkBlock(v view, num uint64) error {
	b, err := s.readBlock(v, num, parts{transactions: true, results: true})
	if err != nil {
		return err
	}
	if b == nil {
		return errors.New("header is missing")
	}
	h := b.Header
	if len(b.Transactions) != int(h.TransactionCount) || len(b.Results) != int(h.TransactionCount) {
		return fmt.Errorf("%d transactions and %d results of %d", len(b.Transactions), len(b.Results), h.TransactionCount)
	}
	d, err := s.diff(v, tableDiff, num)
	if err != nil {
		return err
	}
	n, err := checkDiff(d)
	if err != nil {
		return fmt.Errorf("state diff: %w", err)
	}
	if n != int(h.StateDiffLength) {
		return fmt.Errorf("state diff of length %d, the header says %d", n, h.StateDiffLength)
	}
	if _, err := s.diff(v, tableUndo, num); err != nil {
		return err
	}
	if len(h.Hash) == 0 { // its root is not known yet
		return nil
	}
	root, err := felt.FromBytes(h.StateRoot)
	if err != nil {
		return fmt.Errorf("state root: %w", err)
	}
	hash, err := blockHash(h, root, h.ParentHash)
	if err != nil {
		return err
	}
	if got := hash.Bytes(); !bytes.Equal(got[:], h.Hash) {
		return fmt.Errorf("its hash is %s, but 0x%x is stored", hash, h.Hash)
	}
	return nil
}

// checkFlat compares the flat state with the last diffs, newest first.
func (s *Store) checkFlat(v view) error {
	seen := make(map[string]bool)
	same := func(k, want []byte) error {
		if seen[string(k)] {
			return nil
		}
		seen[string(k)] = true
		got, err := v.get(k)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("the flat state of %x is %x, the diffs say %x: the state is damaged: restore a backup or start from an empty directory", k, got, want)
		}
		return nil
	}
	blocks := s.chain.blocks
	for num := blocks; num > blocks-min(blocks, checkedDiffs); num-- {
		d, err := s.diff(v, tableDiff, num-1)
		if err != nil {
			return err
		}
		for _, c := range d.GetStorage() {
			for k, value := range pairs(c.Entries) {
				if err := same(key(tableStorage, c.Address, k), orNil(value)); err != nil {
					return err
				}
			}
		}
		for _, list := range [][]byte{d.GetDeclared(), d.GetMigrated()} {
			for class, compiled := range pairs(list) {
				if err := same(key(tableCompiled, class), orNil(compiled)); err != nil {
					return err
				}
			}
		}
		if err := checkContracts(v, d, seen); err != nil {
			return err
		}
	}
	return nil
}

// checkContracts is checkFlat for class hashes and nonces.
func checkContracts(v view, d *ordov1.StateDiff, seen map[string]bool) error {
	for _, list := range []struct {
		packed []byte
		nonce  bool
	}{{d.GetDeployed(), false}, {d.GetReplaced(), false}, {d.GetNonces(), true}} {
		for address, want := range pairs(list.packed) {
			what := "class hash"
			if list.nonce {
				what = "nonce"
			}
			if k := what + string(address); seen[k] {
				continue
			} else {
				seen[k] = true
			}
			class, nonce, err := contract(v, address)
			if err != nil {
				return err
			}
			got := class
			if list.nonce {
				got = nonce
			}
			if !bytes.Equal(got, want) {
				return fmt.Errorf("the %s of contract 0x%x is 0x%x, the diffs say 0x%x: the state is damaged: restore a backup", what, address, got, want)
			}
		}
	}
	return nil
}

// recover opens the tries at their checkpoint and brings them to the last root; whatever is wrong with them is answered
// by building them anew.
func (w *rootWorker) recover(v view, rooted uint64) error {
	why := w.openPages(v, rooted)
	if why == nil {
		return nil
	}
	if w.s.chain.blocks > 0 {
		w.s.opts.Log.Info("building the tries from the flat state", "why", why)
	}
	return w.rebuild(rooted)
}

func (w *rootWorker) openPages(v view, rooted uint64) error {
	blocks, roots, found, err := readCheckpoint(v)
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New("no checkpoint")
	case blocks > rooted:
		return fmt.Errorf("checkpoint of %d blocks, roots of %d", blocks, rooted)
	}
	w.state, w.next = w.newState(), blocks
	w.checkpoint, w.hasCheckpoint = blocks, true
	got, err := w.state.Roots()
	if err != nil {
		return err
	}
	if got != roots {
		return fmt.Errorf("pages have roots %v, the checkpoint %v", got, roots)
	}
	if err := w.checkRoot(v); err != nil {
		return err
	}
	for ; w.next < rooted; w.next++ {
		d, err := w.s.diff(v, tableDiff, w.next)
		if err != nil {
			return err
		}
		if _, err := w.apply(d); err != nil {
			return err
		}
	}
	return w.checkRoot(v)
}
