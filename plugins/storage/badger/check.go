package badger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/ordo-sequencer/ordo/plugins/storage/badger/files"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// Verdict is what was found about one thing.
type Verdict struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Report is the result of Check.
type Report struct {
	Dir      string    `json:"dir"`
	Chain    string    `json:"chain"`
	Blocks   uint64    `json:"blocks"`   // that the head counts
	Good     uint64    `json:"good"`     // from block 0 on, that verify without a gap
	Rooted   uint64    `json:"rooted"`   // whose root is known
	Promised uint64    `json:"promised"` // that were stored durably, as the mark says
	Head     string    `json:"head,omitempty"`
	Root     string    `json:"root,omitempty"`
	Verdicts []Verdict `json:"verdicts"`
	Damaged  bool      `json:"damaged"`
	Remedy   string    `json:"remedy,omitempty"`
}

func (r *Report) add(what string, err error, fine string) {
	if err != nil {
		r.Damaged = true
		r.Verdicts = append(r.Verdicts, Verdict{what, false, err.Error()})
		return
	}
	r.Verdicts = append(r.Verdicts, Verdict{what, true, fine})
}

// Progress is told how far a step is.
type Progress func(step string, done, total uint64)

// Check verifies everything that is in dir and changes nothing. Damage is in the report; an error is a check that could
// not be done.
func Check(ctx context.Context, dir string, progress Progress) (*Report, error) {
	release, _, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	r, _, err := check(ctx, dir, progress)
	return r, err
}

func check(ctx context.Context, dir string, progress Progress) (*Report, *files.Survey, error) {
	if progress == nil {
		progress = func(string, uint64, uint64) {}
	}
	r := &Report{Dir: dir}
	sv, err := lookAll(dir, progress)
	if err != nil {
		return nil, nil, err
	}
	last, found := peekMark(dir)
	r.Promised = last.blocks
	if sv.New {
		if found && last.blocks > 0 {
			r.add("database", &LossError{Have: 0, Promised: last.blocks, Why: "there is no database any more"}, "")
			return r, sv, nil
		}
		return nil, nil, fmt.Errorf("there is no database in %s", dir)
	}
	if err := r.contents(ctx, sv, last, found, progress); err != nil {
		return nil, nil, err
	}
	if m := sv.Manifest; r.Damaged && len(sv.Orphans) > 0 && (m.End < m.Size || uint64(m.End) < last.manifest) {
		// Tables that the lost end of the manifest listed are still there: look at all of them.
		sv.Widen()
		r = &Report{Dir: dir, Promised: last.blocks}
		r.add("manifest", &files.Damage{File: files.ManifestName, Offset: m.End, Text: "its end is lost"}, "")
		if err := r.contents(ctx, sv, last, found, progress); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case r.Damaged && r.Good > 0:
		r.Remedy = fmt.Sprintf("ordo db repair keeps blocks 0 to %d", r.Good-1)
	case r.Damaged:
		r.Remedy = "no block can be kept: restore a backup"
	}
	return r, sv, nil
}

// contents adds the verdicts about the files of a survey and what is in them.
func (r *Report) contents(ctx context.Context, sv *files.Survey, last marked, found bool, progress Progress) error {
	r.files(sv, last, found)
	if !found {
		r.Verdicts = append(r.Verdicts, Verdict{"mark", true, "there is none that can be read: lost blocks at the end cannot be told"})
	}
	s, done, err := openMirror(sv, "", checkOptions())
	if err != nil {
		r.add("database", fmt.Errorf("what is left of it cannot be opened: %w", err), "")
		return nil
	}
	defer done()
	v := s.eng.view()
	defer v.close()
	c := &checker{ctx: ctx, s: s, v: v, r: r, progress: progress}
	if err := c.run(); err != nil {
		return err
	}
	if err := s.keepPromise(v, last, found); err != nil && r.Good == r.Blocks {
		r.add("promise", err, "")
	}
	return nil
}

func checkOptions() Options {
	o := DefaultOptions()
	o.Log = hclog.NewNullLogger()
	return o
}

func lookAll(dir string, progress Progress) (*files.Survey, error) {
	var lock sync.Mutex
	var read, total uint64
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return nil, err
	}
	for _, name := range tables {
		if st, err := os.Stat(name); err == nil {
			total += uint64(st.Size())
		}
	}
	return files.Look(dir, math.MaxInt64, files.Watch{Table: func(n int64) {
		lock.Lock()
		defer lock.Unlock()
		read += uint64(n)
		progress("tables", read, max(total, read))
	}})
}

// files adds the verdicts about the files.
func (r *Report) files(sv *files.Survey, last marked, found bool) {
	r.add("manifest", sv.Bad, fmt.Sprintf("%d tables", len(sv.Tables)))
	bad := 0
	for _, t := range sv.Tables {
		if t.Err != nil {
			bad++
			r.add("table "+t.Name, t.Err, "")
		}
	}
	if bad == 0 {
		r.add("tables", nil, fmt.Sprintf("%d whole, %s", len(sv.Tables), megabytes(uint64(sv.Bytes()))))
	}
	if why := suspicious(sv, last, found); why != "" {
		r.Verdicts = append(r.Verdicts, Verdict{"logs", true, why})
		return
	}
	for _, torn := range sv.Torn() {
		r.Verdicts = append(r.Verdicts, Verdict{"log", true, "the last write was not finished and is left out: " + torn})
	}
}

// checker verifies the contents of a database.
type checker struct {
	ctx      context.Context
	s        *Store
	v        view
	r        *Report
	progress Progress
	pending  bool
}

// maxBad is how many damaged blocks are listed.
const maxBad = 20

func (c *checker) run() error {
	s, v, r := c.s, c.v, c.r
	err := s.checkFormat(v)
	r.add("format", err, fmt.Sprintf("version %d", formatVersion))
	r.Chain = s.opts.ChainID
	if err != nil {
		return nil
	}
	pending, _, unfinished, err := readNum(v, metaKey(metaPending))
	if c.pending = unfinished; unfinished {
		r.Verdicts = append(r.Verdicts, Verdict{"pending", true, fmt.Sprintf("block %d was being written or removed in parts: the next start takes it back", pending)})
	}
	if err != nil {
		r.add("pending", err, "")
	}
	rooted, err := s.checkNumbers(v, unfinished, pending)
	r.add("heights", err, "a header at every height")
	if rooted == 0 {
		rooted, _, _ = countNumbers(v, tableRoot)
	}
	if s.chain, err = s.loadChain(v, rooted); err != nil {
		r.add("head", err, "")
	}
	r.Blocks, r.Rooted = s.chain.blocks, s.chain.rooted
	if r.Rooted > 0 {
		r.Head, r.Root = fmt.Sprintf("0x%x", s.chain.hash), fmt.Sprintf("0x%x", s.chain.root)
	}
	state, err := c.blocks()
	if err != nil {
		return err
	}
	if state == nil || unfinished {
		return nil
	}
	r.add("flat state", state.checkFlatAll(v), fmt.Sprintf("%d entries, as the diffs make it", len(state)))
	c.progress("state root", 0, 1)
	r.add("state root", s.checkRootOfFlat(v), "that of the flat state")
	if err := c.pages(); err != nil {
		r.Verdicts = append(r.Verdicts, Verdict{"trie pages", true, "they are built anew at the next start: " + err.Error()})
	} else {
		r.add("trie pages", nil, "at their checkpoint")
	}
	c.progress("state root", 1, 1)
	return nil
}

// blocks checks every block and returns the state that their diffs make, nil when a block is missing.
func (c *checker) blocks() (replay, error) {
	state, bad, broken := replay{}, 0, false
	r := c.r
	for num := range r.Blocks {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		if num%16 == 0 {
			c.progress("blocks", num, r.Blocks)
		}
		err := c.s.checkWhole(c.v, num, state)
		var derived *derivedError
		primary := err != nil && !errors.As(err, &derived)
		if primary {
			state, broken = nil, true // what follows has nothing to stand on
		}
		if !broken {
			r.Good = num + 1
		}
		if err == nil {
			continue
		}
		if bad++; bad <= maxBad {
			r.add(fmt.Sprintf("block %d", num), err, "")
		}
	}
	c.progress("blocks", r.Blocks, r.Blocks)
	if bad > maxBad {
		r.add("blocks", fmt.Errorf("%d more are damaged", bad-maxBad), "")
	}
	if bad == 0 {
		r.add("blocks", nil, fmt.Sprintf("%d, every hash recomputed", r.Blocks))
	}
	return state, nil
}

// derivedError is damage of something that can be made again from the block itself.
type derivedError struct{ error }

// checkWhole checks a block, its hashes, its indexes, its classes, and with the state before it its undo diff and its
// history. The state is brought to after the block.
func (s *Store) checkWhole(v view, num uint64, state replay) error {
	b, err := s.checkBlock(v, num, true)
	if err != nil {
		return err
	}
	chainID, err := felt.FromShortString(s.opts.ChainID)
	if err != nil {
		return err
	}
	for i, t := range b.Transactions {
		hash, err := wire.TransactionHash(t, chainID)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if h := hash.Bytes(); !bytes.Equal(h[:], t.Hash) {
			return fmt.Errorf("transaction %d hashes to %s, but 0x%x is stored", i, hash, t.Hash)
		}
	}
	if err := s.checkDeclared(v, num, b.StateDiff); err != nil {
		return err
	}
	if state == nil {
		return nil
	}
	changes := state.apply(b.StateDiff)
	undo, err := s.diff(v, tableUndo, num)
	if err == nil {
		err = checkUndo(undo, changes)
	}
	if err != nil {
		return &derivedError{fmt.Errorf("its undo diff is damaged: %w", err)}
	}
	if num > s.chain.floor {
		if err := checkHistory(v, num, changes); err != nil {
			return &derivedError{fmt.Errorf("its history is damaged: %w", err)}
		}
	}
	return s.checkIndexes(v, b)
}

func (s *Store) checkIndexes(v view, b *ordov1.Block) error {
	num := b.Header.GetContext().GetNumber()
	for i, t := range b.Transactions {
		at, rest, found, err := readNum(v, key(tableTx, t.Hash))
		if err != nil || !found || at != num || len(rest) != 4 || binary.BigEndian.Uint32(rest) != uint32(i) {
			return &derivedError{fmt.Errorf("the index of transactions has no right entry for 0x%x (%v)", t.Hash, err)}
		}
	}
	if num < s.chain.rooted {
		if at, found, err := s.findHash(v, b.Header.Hash); err != nil || !found || at != num {
			return &derivedError{fmt.Errorf("the index of hashes has no right entry for 0x%x (%v)", b.Header.Hash, err)}
		}
	}
	return nil
}

// checkDeclared wants the classes that a diff declares.
func (s *Store) checkDeclared(v view, num uint64, d *ordov1.StateDiff) error {
	want := func(hash []byte) error {
		c, err := s.class(v, hash, &ordov1.ClassesRequest{Definition: true, Casm: true})
		switch {
		case err != nil:
			return err
		case c == nil:
			return fmt.Errorf("class 0x%x, which it declares, is missing", hash)
		case !bytes.Equal(c.Hash, hash) || len(c.Definition) == 0:
			return fmt.Errorf("class 0x%x is damaged", hash)
		}
		return nil
	}
	for hash := range felt.Pairs(d.GetDeclared()) {
		if err := want(hash); err != nil {
			return err
		}
	}
	for hash := range felt.Rows(d.GetDeprecatedDeclared()) {
		if err := want(hash); err != nil {
			return err
		}
	}
	return nil
}

// pages opens the tries at their checkpoint and brings them to the last root, in memory.
func (c *checker) pages() error {
	if c.s.chain.rooted == 0 {
		return nil
	}
	return newRootWorker(c.s).openPages(c.v, c.s.chain.rooted)
}
