package badger

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// replay is a state in memory, made by applying the diffs of the chain one after the other. Keys are those of the history
// tables without the number: table, then address or class, then slot.
type replay map[string]string

// change is one key that a block changed.
type change struct {
	key      string
	old, new string
}

// apply brings the state to after a block and lists what changed.
func (r replay) apply(d *ordov1.StateDiff) []change {
	var out []change
	set := func(value []byte, table byte, parts ...[]byte) {
		k := string(key(table, parts...))
		old, there := r[k]
		if !there {
			old = string(zeroFelt)
		}
		if old == string(value) {
			return
		}
		out = append(out, change{k, old, string(value)})
		if isZero(value) {
			delete(r, k)
		} else {
			r[k] = string(value)
		}
	}
	for _, c := range d.GetStorage() {
		for k, value := range felt.Pairs(c.Entries) {
			set(value, tableStorageHistory, c.Address, k)
		}
	}
	for _, list := range [][]byte{d.GetDeployed(), d.GetReplaced()} {
		for address, class := range felt.Pairs(list) {
			set(class, tableClassHistory, address)
		}
	}
	for address, nonce := range felt.Pairs(d.GetNonces()) {
		set(nonce, tableNonceHistory, address)
	}
	for _, list := range [][]byte{d.GetDeclared(), d.GetMigrated()} {
		for class, compiled := range felt.Pairs(list) {
			set(compiled, tableCompiledHistory, class)
		}
	}
	return out
}

// checkUndo compares an undo diff with what its block changed.
func checkUndo(undo *ordov1.StateDiff, changes []change) error {
	want := make(map[string]string, len(changes))
	for _, c := range changes {
		want[c.key] = c.old
	}
	take := func(old []byte, table byte, parts ...[]byte) error {
		k := string(key(table, parts...))
		if w, there := want[k]; !there || w != string(old) {
			return fmt.Errorf("it puts 0x%x at %x, which was 0x%x", old, k, w)
		}
		delete(want, k)
		return nil
	}
	for _, c := range undo.GetStorage() {
		for k, old := range felt.Pairs(c.Entries) {
			if err := take(old, tableStorageHistory, c.Address, k); err != nil {
				return err
			}
		}
	}
	for _, l := range []struct {
		packed []byte
		table  byte
	}{{undo.GetReplaced(), tableClassHistory}, {undo.GetNonces(), tableNonceHistory}, {undo.GetMigrated(), tableCompiledHistory}} {
		for k, old := range felt.Pairs(l.packed) {
			if err := take(old, l.table, k); err != nil {
				return err
			}
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("it lacks %d keys", len(want))
	}
	return nil
}

// checkFlatAll compares the flat state with the replayed one, entry by entry.
func (r replay) checkFlatAll(v view) error {
	seen := 0
	same := func(value []byte, table byte, k []byte) error {
		if isZero(value) {
			return nil
		}
		seen++
		if want := r[string(key(table, k))]; want != string(value) {
			return fmt.Errorf("%x of table %#x is 0x%x, the diffs say 0x%x", k, table, value, want)
		}
		return nil
	}
	for _, table := range []byte{tableStorage, tableContract, tableCompiled} {
		err := v.scan([]byte{table}, nil, false, func(k, value []byte) (bool, error) {
			k = k[1:]
			switch {
			case table == tableStorage && len(k) == pairSize && len(value) == feltSize:
				return true, same(value, tableStorageHistory, k)
			case table == tableContract && len(k) == feltSize && len(value) == pairSize:
				if err := same(value[:feltSize], tableClassHistory, k); err != nil {
					return false, err
				}
				return true, same(value[feltSize:], tableNonceHistory, k)
			case table == tableCompiled && len(k) == feltSize && len(value) == feltSize:
				return true, same(value, tableCompiledHistory, k)
			}
			return false, fmt.Errorf("entry %x of table %#x is damaged", k, table)
		})
		if err != nil {
			return err
		}
	}
	if seen != len(r) {
		return fmt.Errorf("it has %d entries, the diffs make %d", seen, len(r))
	}
	return nil
}

// checkHistory wants the values that a block replaced.
func checkHistory(v view, num uint64, changes []change) error {
	for _, c := range changes {
		got, err := v.get(historyKey(c.key[0], num, []byte(c.key[1:])))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, []byte(c.old)) {
			return fmt.Errorf("entry %x is 0x%x, want 0x%x", c.key, got, c.old)
		}
	}
	return nil
}
