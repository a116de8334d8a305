package badger

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// rebuildBatch is how many leaves one update of the tries takes while they are rebuilt.
const rebuildBatch = 20_000

// rebuild makes the tries anew from the flat state, then takes them back to before block num with the undo diffs, so that
// roots continue where they stopped. The root of the block before must come out.
func (w *rootWorker) rebuild(num uint64) error {
	s := w.s
	if err := w.dropPages(); err != nil {
		return err
	}
	v := s.eng.view()
	defer v.close()
	w.state = w.newState()
	if err := w.applyFlat(v, s.eng.applySplit); err != nil {
		return fmt.Errorf("rebuild tries: %w", err)
	}
	return w.takeBack(v, num)
}

// memoryTries are tries that are not stored.
func memoryTries() *trie.State { return trie.NewState(trie.NewMemory()) }

// takeBack brings tries that hold the state at the head to before block num, and wants the root that is stored.
func (w *rootWorker) takeBack(v view, num uint64) error {
	head, _, found, err := readNum(v, metaKey(metaHead))
	if err != nil {
		return err
	}
	for h := head; found && h >= num; h-- {
		undo, err := w.s.diff(v, tableUndo, h)
		if err != nil {
			return err
		}
		if _, err := w.applyUndo(undo); err != nil {
			return fmt.Errorf("take back block %d: %w", h, err)
		}
		if h == 0 {
			break
		}
	}
	w.next, w.ahead = num, false
	w.remember()
	return w.checkRoot(v)
}

// checkRoot compares the tries with the stored root of the last block in them.
func (w *rootWorker) checkRoot(v view) error {
	roots, err := w.state.Roots()
	if err != nil {
		return err
	}
	if w.next == 0 {
		if roots != (trie.Roots{}) {
			return fmt.Errorf("the state before block 0 has root %s, not 0: the flat state is damaged: %s", roots.Root(true), toRepair)
		}
		return nil
	}
	num := w.next - 1
	header, err := w.s.header(v, num)
	if err != nil {
		return err
	}
	stored, _, err := w.s.root(v, num)
	if err != nil {
		return err
	}
	if header == nil || stored == nil {
		return fmt.Errorf("header or root of block %d is missing", num)
	}
	root, err := stateRoot(roots, header)
	if err != nil {
		return err
	}
	if b := root.Bytes(); string(b[:]) != string(stored) {
		return fmt.Errorf("the state after block %d has root %s, but 0x%x is stored: the state is damaged: %s", num, root, stored, toRepair)
	}
	return nil
}

// dropPages removes every stored page; the mark goes first.
func (w *rootWorker) dropPages() error {
	w.checkpoint, w.hasCheckpoint = 0, false
	if err := w.s.eng.apply([]write{{key: metaKey(metaCheckpoint)}}); err != nil {
		return err
	}
	v := w.s.eng.view()
	defer v.close()
	var writes []write
	err := v.scan([]byte{tableTrie}, nil, true, func(k, _ []byte) (bool, error) {
		writes = append(writes, write{key: append([]byte(nil), k...)})
		return true, nil
	})
	if err != nil {
		return err
	}
	return w.s.eng.applySplit(writes)
}

// applyFlat feeds the whole flat state to empty tries, writing pages out as they pile up; without out they stay in memory.
func (w *rootWorker) applyFlat(v view, out func([]write) error) error {
	var d trie.Diff
	n := 0
	feed := func() error {
		if _, err := w.state.Apply(&d); err != nil {
			return err
		}
		d, n = trie.Diff{}, 0
		if out == nil || !w.state.Full() {
			return nil
		}
		var writes []write
		err := w.state.Flush(func(k, value []byte) error {
			writes = append(writes, write{key(tableTrie, k), value})
			return nil
		})
		if err != nil {
			return err
		}
		return out(writes)
	}
	for _, table := range []byte{tableStorage, tableContract, tableCompiled} {
		err := v.scan([]byte{table}, nil, false, func(k, value []byte) (bool, error) {
			f, err := felt.Unpack(append(append([]byte(nil), k[1:]...), value...))
			want := map[byte]int{tableStorage: 3, tableContract: 3, tableCompiled: 2}[table]
			if err != nil || len(f) != want {
				return false, fmt.Errorf("flat entry %x is damaged", k)
			}
			switch table {
			case tableStorage:
				if l := len(d.Storage); l == 0 || d.Storage[l-1].Address != f[0] {
					d.Storage = append(d.Storage, trie.Storage{Address: f[0]})
				}
				last := &d.Storage[len(d.Storage)-1]
				last.Entries = append(last.Entries, trie.Entry{Key: f[1], Value: f[2]})
			case tableContract:
				d.Contracts = append(d.Contracts, trie.Entry{Key: f[0], Value: f[1]})
				d.Nonces = append(d.Nonces, trie.Entry{Key: f[0], Value: f[2]})
			case tableCompiled:
				d.Classes = append(d.Classes, trie.Entry{Key: f[0], Value: f[1]})
			}
			if n++; n >= rebuildBatch {
				return true, feed()
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return feed()
}
