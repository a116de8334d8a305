package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// What is looked at when a store is opened: so many blocks are read whole and hashed, the commitments of the last few are
// recomputed, and the flat state is compared with the diffs of the last few. Badger may lose a transaction in the middle
// of its log and keep later ones, so being able to open it proves nothing.
const (
	checkedBlocks   = 64
	checkedContents = 4
	checkedDiffs    = 8
)

// recover brings a store that was just opened to a state that can be served, or says why it cannot.
func (s *Store) recover(last marked, found bool) error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.finishPending(); err != nil {
		return err
	}
	v := s.eng.view()
	defer v.close()
	if err := s.look(v, checkedBlocks, checkedContents); err != nil {
		return err
	}
	if err := s.keepPromise(v, last, found); err != nil {
		return err
	}
	if err := s.forgetBody(v); err != nil {
		return err
	}
	rooted, err := s.forgetRoots(v)
	if err != nil {
		return err
	}
	s.roots = newRootWorker(s)
	return s.roots.recover(v, rooted)
}

// look reads a store without changing it, and fills in the chain: a header at every height, the last blocks whole, and
// the flat state as the last diffs left it.
func (s *Store) look(v view, blocks, contents uint64) error {
	if err := s.checkFormat(v); err != nil {
		return err
	}
	pending, _, unfinished, err := readNum(v, metaKey(metaPending))
	if err != nil {
		return err
	}
	rooted, err := s.checkNumbers(v, unfinished, pending)
	if err != nil {
		return err
	}
	if s.chain, err = s.loadChain(v, rooted); err != nil {
		return err
	}
	if err := s.checkBlocks(v, blocks, contents); err != nil {
		return err
	}
	if unfinished { // the flat state is that of no block until the pending one is taken back
		return nil
	}
	return s.checkFlat(v)
}

var errForeign = errors.New("there is a database in it that ordo did not write, or whose beginning is lost: use another directory")

// begin makes an empty database ours.
func (s *Store) begin() error {
	v := s.eng.view()
	defer v.close()
	empty := true
	err := v.scan(nil, nil, true, func(_, _ []byte) (bool, error) { empty = false; return false, nil })
	if err != nil || !empty {
		return err
	}
	return s.eng.apply([]write{{metaKey(metaFormat), []byte{formatVersion}}, {metaKey(metaChain), []byte(s.opts.ChainID)}})
}

// checkFormat wants our own format and chain; with no chain to want, it takes the one that is there.
func (s *Store) checkFormat(v view) error {
	format, err := v.get(metaKey(metaFormat))
	switch {
	case err != nil:
		return err
	case format == nil:
		return errForeign
	case len(format) != 1 || format[0] != formatVersion:
		return fmt.Errorf("its format is %x, this version of ordo reads %d: use the version that wrote it", format, formatVersion)
	}
	chainID, err := v.get(metaKey(metaChain))
	if err != nil {
		return err
	}
	if s.opts.ChainID == "" {
		s.opts.ChainID = string(chainID)
	}
	if string(chainID) != s.opts.ChainID {
		return fmt.Errorf("it holds chain %q, not %q: use another directory or the right chain id", chainID, s.opts.ChainID)
	}
	return nil
}

// finishPending takes back a block that was being written or removed in batches when the process ended.
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

// checkNumbers wants a header at every height up to the head and nowhere else, but at one that is being written in parts,
// and returns how many blocks have roots.
func (s *Store) checkNumbers(v view, unfinished bool, pending uint64) (rooted uint64, err error) {
	head, _, found, err := readNum(v, metaKey(metaHead))
	if err != nil {
		return 0, err
	}
	blocks := uint64(0)
	if found {
		blocks = head + 1
	}
	headers, extra, err := countNumbers(v, tableHeader)
	if err != nil {
		return 0, err
	}
	if headers == blocks+1 && (!unfinished || pending == blocks) {
		headers-- // its head was never written: forgetBody
	}
	switch {
	case headers < blocks:
		return 0, fmt.Errorf("the head is block %d, but block %d is missing (%d of %d blocks are there): %s", head, headers,
			headers+uint64(len(extra)), blocks, toRepair)
	case headers > blocks || len(extra) > 0:
		return 0, fmt.Errorf("there are blocks above the head, which is number %d of %d: %s", blocks, headers+uint64(len(extra)), toRepair)
	}
	rooted, _, err = countNumbers(v, tableRoot)
	return min(rooted, blocks), err
}

// forgetBody removes what a block that was to be written in parts left above the head when the process ended before the
// mark: its body, or some of it, which nothing reads.
func (s *Store) forgetBody(v view) error {
	var writes []write
	for _, table := range []byte{tableHeader, tableBody, tableResults, tableDiff, tableUndo, tableCert} {
		err := v.scan(numKey(table, s.chain.blocks), nil, true, func(k, _ []byte) (bool, error) {
			writes = append(writes, write{key: append([]byte(nil), k...)})
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	if len(writes) == 0 {
		return nil
	}
	s.opts.Log.Warn("removing the beginning of a block that was never finished", "block", s.chain.blocks)
	return s.eng.applySplit(writes)
}

// forgetRoots removes roots beyond the head or behind a hole: they can always be computed again.
func (s *Store) forgetRoots(v view) (rooted uint64, err error) {
	rooted, extra, err := countNumbers(v, tableRoot)
	if err != nil {
		return 0, err
	}
	var writes []write
	for _, num := range extra {
		writes = append(writes, write{key: numKey(tableRoot, num)})
	}
	for ; rooted > s.chain.blocks; rooted-- {
		writes = append(writes, write{key: numKey(tableRoot, rooted-1)})
	}
	if len(writes) == 0 {
		return rooted, nil
	}
	s.opts.Log.Warn("roots without a block or behind a hole are computed again", "roots", len(writes))
	return rooted, s.eng.applySplit(writes)
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
			return fmt.Errorf("the flat state of %x is %x, the diffs say %x: the state is damaged: "+toRepair, k, got, want)
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
			for k, value := range felt.Pairs(c.Entries) {
				if err := same(key(tableStorage, c.Address, k), orNil(value)); err != nil {
					return err
				}
			}
		}
		for _, list := range [][]byte{d.GetDeclared(), d.GetMigrated()} {
			for class, compiled := range felt.Pairs(list) {
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
		for address, want := range felt.Pairs(list.packed) {
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
				return fmt.Errorf("the %s of contract 0x%x is 0x%x, the diffs say 0x%x: the state is damaged: "+toRepair, what, address, got, want)
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
	w.remember()
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
