package badger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/storage/badger/files"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Plan is what a repair would do.
type Plan struct {
	Report  *Report  `json:"report"`
	Nothing bool     `json:"nothing"` // there is nothing to repair
	InPlace bool     `json:"in_place"`
	Keeps   uint64   `json:"keeps"` // number of blocks
	Loses   []string `json:"loses"`
	Copy    string   `json:"copy"` // where what is there now is kept
}

// RepairOptions say how Repair asks and reports.
type RepairOptions struct {
	Agree    func(*Plan) bool // asked before anything is changed
	Progress Progress
	Log      hclog.Logger
}

// ErrDeclined is a repair that was not agreed to.
var ErrDeclined = errors.New("not repaired: nothing was changed")

// Repair goes back to the last block below which everything verifies. When only the end is gone the database is kept, and
// copies of the files that change; otherwise a new one is built from the blocks, block by block as they were committed,
// every root recomputed and compared, and the old folder is kept beside it.
func Repair(ctx context.Context, dir string, o RepairOptions) (*Plan, error) {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Progress == nil {
		o.Progress = func(string, uint64, uint64) {}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	release, locked, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	r, sv, err := check(ctx, dir, o.Progress)
	if err != nil {
		return nil, err
	}
	p := &Plan{Report: r, Keeps: r.Good, Nothing: !r.Damaged, Copy: dir + time.Now().UTC().Format(".damaged-20060102-150405")}
	if p.Nothing {
		return p, nil
	}
	if r.Good == 0 {
		return p, fmt.Errorf("repair: no block of %s can be kept: restore a backup, or start from an empty directory", dir)
	}
	p.InPlace = onlyPromise(r)
	if lost := max(r.Blocks, r.Promised); lost > r.Good {
		p.Loses = append(p.Loses, fmt.Sprintf("blocks %d to %d", r.Good, lost-1))
	}
	if err := roomToRepair(dir, sv, p.InPlace); err != nil {
		return p, err
	}
	if !o.Agree(p) {
		return p, ErrDeclined
	}
	if p.InPlace {
		return p, cutBack(dir, p, sv, r.Chain, locked, o.Log)
	}
	return p, rebuild(ctx, dir, p, sv, r.Chain, o)
}

// onlyPromise says whether all that is wrong is that the chain ends too early.
func onlyPromise(r *Report) bool {
	for _, v := range r.Verdicts {
		if !v.OK && v.What != "promise" {
			return false
		}
	}
	return true
}

func roomToRepair(dir string, sv *files.Survey, inPlace bool) error {
	var need uint64 = 64 << 20
	for _, l := range sv.Logs {
		need += uint64(l.Used)
	}
	if !inPlace {
		need += uint64(sv.Bytes())*2 + 256<<20
	}
	if free, ok := freeSpace(filepath.Dir(dir)); ok && free < need {
		return fmt.Errorf("repair: %s are free in %s, %s are needed for a copy: make room", megabytes(free), filepath.Dir(dir), megabytes(need))
	}
	return nil
}

// cutBack keeps copies of what an open changes, and opens.
func cutBack(dir string, p *Plan, sv *files.Survey, chain string, locked bool, log hclog.Logger) error {
	names := append([]string{files.ManifestName, markName}, sv.Orphans...)
	for _, l := range sv.Logs {
		names = append(names, l.Name)
	}
	if err := os.Mkdir(p.Copy, 0o700); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(p.Copy, name), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("repair: keep a copy: %w", err)
		}
	}
	o := DefaultOptions()
	o.ChainID, o.Log, o.acceptLoss = chain, log, true
	s, err := openLocked(dir, o, locked)
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	s.unlock = func() error { return nil }
	return s.Close()
}

// rebuild commits the good blocks to a new database and puts it in the place of the old one.
func rebuild(ctx context.Context, dir string, p *Plan, sv *files.Survey, chain string, o RepairOptions) error {
	from, done, err := openMirror(sv, "", checkOptions())
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	defer done()
	fresh := dir + ".repair"
	if err := os.RemoveAll(fresh); err != nil { // of a repair that did not end
		return fmt.Errorf("repair: %w", err)
	}
	opts := DefaultOptions()
	opts.ChainID, opts.Log, opts.SyncWrites = chain, o.Log, false
	to, err := Open(fresh, opts)
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	kept, err := from.copyBlocks(ctx, to, p.Keeps, o.Progress)
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(fmt.Errorf("repair: %w", err), os.RemoveAll(fresh))
	}
	if kept < p.Keeps {
		p.Loses = append(p.Loses, fmt.Sprintf("blocks %d to %d: their roots do not come out", kept, p.Keeps-1))
		p.Keeps = kept
	}
	// Once more with syncs: everything is on the device, and the new mark says so.
	opts.SyncWrites = true
	if to, err = Open(fresh, opts); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if err := to.Close(); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if err := errors.Join(os.Rename(dir, p.Copy), os.Rename(fresh, dir), syncDir(filepath.Dir(dir))); err != nil {
		return fmt.Errorf("repair: the new database is in %s: %w", fresh, err)
	}
	return nil
}

// copyBlocks commits the first blocks of s to another store and compares the roots that come out with those known; it
// returns how many are there in the end.
func (s *Store) copyBlocks(ctx context.Context, to *Store, blocks uint64, progress Progress) (uint64, error) {
	v := s.eng.view()
	defer v.close()
	if err := s.checkFormat(v); err != nil {
		return 0, err
	}
	rooted, _, err := countNumbers(v, tableRoot)
	if err != nil {
		return 0, err
	}
	for num := range blocks {
		b, err := s.wholeBlock(v, num)
		if err != nil {
			return 0, fmt.Errorf("block %d: %w", num, err)
		}
		if _, err := to.commit(ctx, b); err != nil {
			return 0, fmt.Errorf("block %d: %w", num, err)
		}
		if num%16 == 0 {
			progress("copy", num, blocks)
		}
	}
	if err := to.waitRooted(ctx, blocks); err != nil {
		return 0, err
	}
	progress("copy", blocks, blocks)
	good, err := s.sameRoots(v, to, min(blocks, rooted))
	if err != nil || good == min(blocks, rooted) {
		return blocks, err
	}
	for num := blocks; num > good; num-- {
		if _, err := to.Revert(ctx, &ordov1.RevertRequest{Height: num - 1}); err != nil {
			return 0, err
		}
	}
	return good, nil
}

// wholeBlock reads a block as it was committed.
func (s *Store) wholeBlock(v view, num uint64) (*block, error) {
	got, err := s.readBlock(v, num, parts{transactions: true, results: true, diff: true, certificate: true})
	if err != nil {
		return nil, err
	}
	if got == nil {
		return nil, errors.New("it is missing")
	}
	h := got.Header
	h.StateRoot, h.Hash, h.ParentHash = nil, nil, nil
	b := &block{header: h, transactions: got.Transactions, results: got.Results, diff: got.StateDiff, certificate: got.Certificate}
	add := func(hash []byte) error {
		c, err := s.class(v, hash, &ordov1.ClassesRequest{Definition: true, Casm: true})
		if err == nil && c == nil {
			err = fmt.Errorf("class 0x%x is missing", hash)
		}
		b.classes = append(b.classes, c)
		return err
	}
	for hash := range felt.Pairs(got.StateDiff.GetDeclared()) {
		if err := add(hash); err != nil {
			return nil, err
		}
	}
	for hash := range felt.Rows(got.StateDiff.GetDeprecatedDeclared()) {
		if err := add(hash); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// waitRooted waits until so many blocks have their root.
func (s *Store) waitRooted(ctx context.Context, blocks uint64) error {
	for {
		c, changed, err := s.snapshot()
		if err != nil || c.rooted >= blocks {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sameRoots returns how many of the first roots are the same in two stores.
func (s *Store) sameRoots(v view, to *Store, rooted uint64) (uint64, error) {
	other := to.eng.view()
	defer other.close()
	for num := range rooted {
		_, want, err := s.root(v, num)
		if err != nil {
			return num, nil
		}
		_, got, err := to.root(other, num)
		if err != nil {
			return 0, err
		}
		if string(got) != string(want) {
			return num, nil
		}
	}
	return rooted, nil
}
