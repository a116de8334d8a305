package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/storage/badger/files"
)

// checkedBytes is how much of the tables is read at a start that follows a clean end; after any other end all of it is.
// One gigabyte is a third of a second.
const checkedBytes = 1 << 30

// toRepair is what an operator can do about damage.
const toRepair = "see what is left with ordo db check, and go back to it with ordo db repair"

// LossError says that blocks which were promised are not there any more.
type LossError struct {
	Have, Promised uint64 // numbers of blocks
	Why            string
}

func (e *LossError) Error() string {
	return fmt.Sprintf("blocks %d to %d were stored durably and are lost (%s): %s", e.Have, e.Promised-1, e.Why, toRepair)
}

// Open opens or creates the store in dir. It checks what it finds and refuses, with an error that says what is damaged,
// rather than serve a wrong state or lose a block that was promised. Files that are damaged are not touched.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = hclog.NewNullLogger()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	release, locked, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(dir, opts, locked)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", dir, err), release())
	}
	s.unlock = release
	return s, nil
}

func openLocked(dir string, opts Options, locked bool) (s *Store, err error) {
	if err := os.RemoveAll(filepath.Join(dir, mirrorName)); err != nil { // of a process that was killed while it looked
		return nil, err
	}
	if err := roomToOpen(dir, opts); err != nil {
		return nil, err
	}
	last, found := peekMark(dir)
	limit := int64(1) << 62
	if found && last.clean {
		limit = checkedBytes
	}
	logged := uint64(0) // number of blocks that the logs tell of
	sv, err := files.Look(dir, limit, files.Watch{Entry: func(k, value []byte, deleted bool) {
		if bytes.Equal(k, metaKey(metaHead)) && !deleted && len(value) >= 8 {
			logged = binary.BigEndian.Uint64(value) + 1
		}
	}})
	if err != nil {
		return nil, err
	}
	if err := sv.Damaged(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, toRepair)
	}
	why := suspicious(sv, last, found)
	if why == "" && found && !last.clean && logged < last.blocks {
		why = fmt.Sprintf("%d blocks were stored, the logs tell of %d", last.blocks, logged)
	}
	if why != "" {
		opts.Log.Info("the last run did not end in order: looking at what is there before anything is touched", "why", why)
		if err := rehearse(sv, opts, last, found); err != nil {
			return nil, err
		}
	}
	if err := sv.Mend(); err != nil {
		return nil, fmt.Errorf("mend: %w", err)
	}
	for _, torn := range sv.Torn() {
		opts.Log.Warn("a write that was never finished is cut off", "file", torn)
	}
	blobs, err := newBlobs()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			blobs.close()
		}
	}()
	own := filePages()
	eng, err := openEngine(dir, opts, access{locked: locked})
	if err != nil {
		return nil, err
	}
	s = newStore(dir, opts, blobs, eng)
	if err := s.recover(last, found); err != nil {
		return nil, errors.Join(err, eng.close())
	}
	if s.mark, _, err = openMark(dir, opts.SyncWrites, func(err error) { s.fail(err, false) }); err != nil {
		return nil, errors.Join(err, eng.close())
	}
	if err := s.mark.begin(s.chain.blocks, s.named); err != nil {
		return nil, errors.Join(err, s.mark.f.Close(), eng.close())
	}
	s.roots.start()
	s.unmap = eng.keepMapped(own, opts.Mapped)
	return s, nil
}

// suspicious says why the files may hold less than was written. A single write that was not finished is no reason: it
// was never answered for.
func suspicious(sv *files.Survey, last marked, found bool) string {
	m := sv.Manifest
	switch {
	case sv.New:
		if found && last.blocks > 0 {
			return "there is no database, but the mark of one"
		}
		return ""
	case m.End < m.Size:
		return "the manifest ends in a part of a record"
	case found && uint64(m.End) < last.manifest:
		return fmt.Sprintf("the manifest was longer: %d bytes, now %d", last.manifest, m.End)
	}
	for i, l := range sv.Logs {
		switch {
		case l.Behind > 0:
			return fmt.Sprintf("log %s is broken at %d, and transactions follow", l.Name, l.End)
		case l.Torn() && i < len(sv.Logs)-1:
			return fmt.Sprintf("log %s is broken at %d, and is not the last", l.Name, l.End)
		case l.Torn() && found && last.clean:
			return fmt.Sprintf("log %s is broken at %d after a clean end", l.Name, l.End)
		}
	}
	return ""
}

// rehearse opens what can be read of a folder in another folder, read-only, and looks whether a chain comes out that keeps
// the promise. If it does not, the files stay as they are.
func rehearse(sv *files.Survey, opts Options, last marked, found bool) error {
	if sv.New {
		return &LossError{Have: 0, Promised: last.blocks, Why: "there is no database any more"}
	}
	s, done, err := openMirror(sv, sv.Dir, opts)
	if err != nil {
		return err
	}
	defer done()
	v := s.eng.view()
	defer v.close()
	if err := s.look(v, checkedBlocks, checkedContents); err != nil {
		return err
	}
	if err := s.checkRootOfFlat(v); err != nil {
		return err
	}
	return s.keepPromise(v, last, found)
}

// mirrorName is the folder, in that of the store, in which a doubtful store is opened first: the next start finds it there
// if this process is killed.
const mirrorName = "mirror"

// openMirror opens what can be read of a store, read-only, in a folder in parent that goes with done; "" is the folder of
// temporary files.
func openMirror(sv *files.Survey, parent string, opts Options) (s *Store, done func(), err error) {
	var dir string
	if parent == "" {
		dir, err = os.MkdirTemp("", "ordo-db-")
	} else {
		dir = filepath.Join(parent, mirrorName)
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if err := sv.Mirror(dir); err != nil {
		return nil, nil, fmt.Errorf("copy the logs: %w", err)
	}
	blobs, err := newBlobs()
	if err != nil {
		return nil, nil, err
	}
	opts.Fault = nil
	eng, err := openEngine(dir, opts, access{readOnly: true})
	if err != nil {
		blobs.close()
		return nil, nil, err
	}
	s = newStore(dir, opts, blobs, eng)
	return s, func() {
		_ = s.eng.close()
		s.blobs.close()
		_ = os.RemoveAll(dir)
	}, nil
}

var errForeignMark = errors.New("the file " + markName + " is of another chain: files of two data folders are mixed: put back the one that belongs here, or remove it when every other file is right")

// keepPromise compares the chain with what the last instance promised. Blocks that were synced must be there; those that were
// not may be gone after a power cut, and are reported.
func (s *Store) keepPromise(v view, last marked, found bool) error {
	have := s.chain.blocks
	if have > 0 {
		zero, err := s.header(v, 0)
		if err != nil {
			return err
		}
		if s.named = chainMark(zero.GetPartialHash()); found && last.chain != 0 && last.chain != s.named {
			return errForeignMark
		}
	}
	if !found || have >= last.blocks {
		return nil
	}
	if last.synced && !s.opts.acceptLoss {
		return &LossError{Have: have, Promised: last.blocks, Why: "a log or the manifest ends too early"}
	}
	s.opts.Log.Error("BLOCKS ARE LOST: going on from the last good one", "lost", last.blocks-have, "first", have, "last", last.blocks-1,
		"why", map[bool]string{true: "the operator accepted it", false: "they were written without sync_writes"}[last.synced])
	return nil
}

// Close finishes the roots that are due, writes the trie pages and closes the database.
func (s *Store) Close() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.wake()
	blocks := s.chain.blocks
	s.mu.Unlock()
	err := s.roots.stop()
	s.readers.Wait()
	s.unmap()
	s.blobs.close()
	clean := err == nil && !s.roots.failedState()
	if full := s.eng.room(uint64(2 * s.opts.MemTableSize)); full != nil {
		// Badger would write its tables in memory out, and end the process by it. They are in its log too.
		s.opts.Log.Warn("the disk is full: the database is left to its log, which the next start reads", "error", full)
		clean = false
	} else {
		err = errors.Join(err, s.eng.close())
	}
	err = errors.Join(err, s.mark.close(blocks, clean && err == nil))
	return errors.Join(err, s.unlock())
}
