package badger

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// stateWrites lists the entries that a diff changes in the flat state and the history, and collects what they replace.
// The undo diff names contracts in `replaced`, classes in `migrated`, and in `deprecated_declared` the classes whose
// definition came with the block.
func (s *Store) stateWrites(v view, num uint64, d *ordov1.StateDiff) ([]write, *ordov1.StateDiff, error) {
	undo := &ordov1.StateDiff{}
	var writes []write
	history := func(table byte, old []byte, parts ...[]byte) {
		if s.opts.History {
			writes = append(writes, write{historyKey(table, num, parts...), old})
		}
	}
	for _, c := range d.GetStorage() {
		before, err := s.readAll(v, len(c.Entries)/pairSize, func(i int) []byte {
			return key(tableStorage, c.Address, c.Entries[i*pairSize:i*pairSize+feltSize])
		})
		if err != nil {
			return nil, nil, err
		}
		u := &ordov1.ContractStorage{Address: c.Address}
		i := 0
		for k, value := range felt.Pairs(c.Entries) {
			old := orZero(before[i])
			i++
			if bytes.Equal(old, value) {
				continue
			}
			u.Entries = append(append(u.Entries, k...), old...)
			writes = append(writes, write{key(tableStorage, c.Address, k), orNil(value)})
			history(tableStorageHistory, old, c.Address, k)
		}
		if len(u.Entries) > 0 {
			undo.Storage = append(undo.Storage, u)
		}
	}

	contracts, err := s.newContracts(v, d)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range contracts {
		if !bytes.Equal(c.class, c.oldClass) {
			undo.Replaced = append(append(undo.Replaced, c.address...), c.oldClass...)
			history(tableClassHistory, c.oldClass, c.address)
		}
		if !bytes.Equal(c.nonce, c.oldNonce) {
			undo.Nonces = append(append(undo.Nonces, c.address...), c.oldNonce...)
			history(tableNonceHistory, c.oldNonce, c.address)
		}
		writes = append(writes, c.write())
	}

	for _, list := range [][]byte{d.GetDeclared(), d.GetMigrated()} {
		for class, compiled := range felt.Pairs(list) {
			old, err := v.get(key(tableCompiled, class))
			if err != nil {
				return nil, nil, err
			}
			if old == nil {
				old = zeroFelt
			}
			if bytes.Equal(old, compiled) {
				continue
			}
			undo.Migrated = append(append(undo.Migrated, class...), old...)
			writes = append(writes, write{key(tableCompiled, class), orNil(compiled)})
			history(tableCompiledHistory, old, class)
		}
	}
	return writes, undo, nil
}

// orNil is how a value is stored in the flat state: 0 is no entry.
func orNil(value []byte) []byte {
	if isZero(value) {
		return nil
	}
	return value
}

// readAll reads n values, nil where there is none. A big block reads thousands, at ten microseconds each: the cores share
// the work.
func (s *Store) readAll(v view, n int, at func(i int) []byte) ([][]byte, error) {
	out := make([][]byte, n)
	read := func(v view, lo, hi int) (err error) {
		for i := lo; i < hi && err == nil; i++ {
			out[i], err = v.get(at(i))
		}
		return err
	}
	workers := min(runtime.GOMAXPROCS(0), n/256)
	if workers < 2 {
		return out, read(v, 0, n)
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			own := s.eng.view() // a transaction is for one goroutine; nothing changes while we hold the writer's lock
			defer own.close()
			errs[w] = read(own, w*n/workers, (w+1)*n/workers)
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// contractChange is the flat record of a contract before and after.
type contractChange struct {
	address, class, nonce, oldClass, oldNonce []byte
}

func (c *contractChange) write() write {
	w := write{key: key(tableContract, c.address)}
	if !isZero(c.class) || !isZero(c.nonce) {
		w.value = slices.Concat(c.class, c.nonce)
	}
	return w
}

// newContracts merges the class and nonce changes of a diff with what is stored, sorted by address.
func (s *Store) newContracts(v view, d *ordov1.StateDiff) ([]*contractChange, error) {
	byAddress := make(map[string]*contractChange, len(d.GetNonces())/pairSize)
	at := func(address []byte) *contractChange {
		c := byAddress[string(address)]
		if c == nil {
			c = &contractChange{address: address}
			byAddress[string(address)] = c
		}
		return c
	}
	for _, list := range [][]byte{d.GetDeployed(), d.GetReplaced()} {
		for address, class := range felt.Pairs(list) {
			at(address).class = class
		}
	}
	for address, nonce := range felt.Pairs(d.GetNonces()) {
		at(address).nonce = nonce
	}
	out := make([]*contractChange, 0, len(byAddress))
	for _, c := range byAddress {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *contractChange) int { return bytes.Compare(a.address, b.address) })
	records, err := s.readAll(v, len(out), func(i int) []byte { return key(tableContract, out[i].address) })
	if err != nil {
		return nil, err
	}
	for i, c := range out {
		if c.oldClass, c.oldNonce, err = splitContract(c.address, records[i]); err != nil {
			return nil, err
		}
		if c.class == nil {
			c.class = c.oldClass
		}
		if c.nonce == nil {
			c.nonce = c.oldNonce
		}
	}
	return out, nil
}

// classWrites stores the classes that are new. The value in tableClass is the block that declared the class, then the
// Class without its two blobs.
func (s *Store) classWrites(v view, num uint64, classes []*ordov1.Class, undo *ordov1.StateDiff) ([]write, error) {
	var writes []write
	for _, c := range classes {
		known, err := v.get(key(tableClass, c.Hash))
		if err != nil {
			return nil, err
		}
		if known != nil {
			continue // a class never changes
		}
		meta := &ordov1.Class{
			Hash: c.Hash, Kind: c.Kind, CompiledClassHash: c.CompiledClassHash, CompiledClassHashV1: c.CompiledClassHashV1,
			SierraVersion: c.SierraVersion,
		}
		data, err := proto.Marshal(meta)
		if err != nil {
			return nil, err
		}
		writes = append(writes, write{key(tableClass, c.Hash), append(encodeHead(num, nil), data...)})
		writes = s.blobs.put(writes, key(tableDefinition, c.Hash), c.Definition)
		if len(c.Casm) > 0 {
			writes = s.blobs.put(writes, key(tableCasm, c.Hash), c.Casm)
		}
		undo.DeprecatedDeclared = append(undo.DeprecatedDeclared, c.Hash...)
	}
	return writes, nil
}
