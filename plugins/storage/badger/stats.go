package badger

import (
	"context"
	"fmt"
	"path/filepath"

	lib "github.com/dgraph-io/badger/v4"
)

// Kind is what the keys of one table take.
type Kind struct {
	Name  string `json:"name"`
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"` // of keys and values, before Badger's own
}

// Level is one level of the tree of tables.
type Level struct {
	Level  int    `json:"level"`
	Tables int    `json:"tables"`
	Bytes  uint64 `json:"bytes"`
}

// Statistics are what is in a database.
type Statistics struct {
	Dir          string  `json:"dir"`
	Chain        string  `json:"chain"`
	Blocks       uint64  `json:"blocks"`
	Rooted       uint64  `json:"rooted"`
	Promised     uint64  `json:"promised"`
	HistoryFloor uint64  `json:"history_floor"`
	Checkpoint   uint64  `json:"checkpoint"` // blocks in the stored trie pages
	Hash         string  `json:"hash,omitempty"`
	Root         string  `json:"root,omitempty"`
	Kinds        []Kind  `json:"kinds"`
	Levels       []Level `json:"levels"`
	LogBytes     uint64  `json:"log_bytes"`
	Free         uint64  `json:"free"`
}

func kinds() []struct {
	table byte
	name  string
} {
	return []struct {
		table byte
		name  string
	}{
		{tableMeta, "meta"}, {tableHeader, "headers"}, {tableHash, "block hashes"}, {tableBody, "transactions"},
		{tableResults, "results"}, {tableTx, "transaction index"}, {tableDiff, "state diffs"}, {tableUndo, "undo diffs"},
		{tableRoot, "roots"}, {tableCert, "certificates"}, {tableContract, "contracts"}, {tableStorage, "storage"},
		{tableCompiled, "compiled class hashes"}, {tableStorageHistory, "storage history"}, {tableNonceHistory, "nonce history"},
		{tableClassHistory, "class history"}, {tableCompiledHistory, "compiled class history"}, {tableClass, "classes"},
		{tableDefinition, "class definitions"}, {tableCasm, "compiled classes"}, {tableTrie, "trie pages"},
	}
}

// Stats counts what is in dir and changes nothing.
func Stats(ctx context.Context, dir string, progress Progress) (*Statistics, error) {
	if progress == nil {
		progress = func(string, uint64, uint64) {}
	}
	release, _, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	sv, err := lookAll(dir, progress)
	if err != nil {
		return nil, err
	}
	if sv.New {
		return nil, fmt.Errorf("there is no database in %s", dir)
	}
	if err := sv.Damaged(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, toRepair)
	}
	s, done, err := openMirror(sv, "", checkOptions())
	if err != nil {
		return nil, err
	}
	defer done()
	v := s.eng.view()
	defer v.close()
	if err := s.checkFormat(v); err != nil {
		return nil, err
	}
	rooted, _, err := countNumbers(v, tableRoot)
	if err != nil {
		return nil, err
	}
	c, err := s.loadChain(v, rooted)
	if err != nil {
		return nil, err
	}
	out := &Statistics{Dir: dir, Chain: s.opts.ChainID, Blocks: c.blocks, Rooted: c.rooted, HistoryFloor: c.floor}
	if c.rooted > 0 {
		out.Hash, out.Root = fmt.Sprintf("0x%x", c.hash), fmt.Sprintf("0x%x", c.root)
	}
	last, _ := peekMark(dir)
	out.Promised = last.blocks
	if out.Checkpoint, _, _, err = readCheckpoint(v); err != nil {
		return nil, err
	}
	out.Free, _ = freeSpace(filepath.Clean(dir))
	levels := map[int]*Level{}
	for _, t := range sv.Tables {
		if levels[t.Level] == nil {
			levels[t.Level] = &Level{Level: t.Level}
		}
		levels[t.Level].Tables++
		levels[t.Level].Bytes += uint64(t.Size)
	}
	for n := range 7 {
		if l := levels[n]; l != nil {
			out.Levels = append(out.Levels, *l)
		}
	}
	for _, l := range sv.Logs {
		out.LogBytes += uint64(l.End)
	}
	all := kinds()
	for i, k := range all {
		progress("kinds", uint64(i), uint64(len(all)))
		kind := Kind{Name: k.name}
		opt := lib.DefaultIteratorOptions
		opt.Prefix, opt.PrefetchValues = []byte{k.table}, false
		it := v.txn.NewIterator(opt)
		for it.Rewind(); it.Valid() && ctx.Err() == nil; it.Next() {
			kind.Keys++
			kind.Bytes += uint64(len(it.Item().Key())) + uint64(it.Item().ValueSize())
		}
		it.Close()
		if kind.Keys > 0 {
			out.Kinds = append(out.Kinds, kind)
		}
	}
	progress("kinds", uint64(len(all)), uint64(len(all)))
	return out, ctx.Err()
}
