package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Badger writes through maps of its files. On a full disk such a write is no error but the end of the process (SIGBUS),
// in whichever of its goroutines it happens: so there must be room for what it does behind our back before a block is
// taken. What is in its tables in memory goes to disk once more while the logs are still there, and a compaction holds
// its input and its output at once.

// errNoRoom is a write that was not begun for want of space.
var errNoRoom = errors.New("not enough room")

// reserve is the space that a commit of `size` bytes must leave to Badger.
func (e *engine) reserve(size int64) uint64 {
	m := e.memTable
	need := (memTables+1)*m + // tables in memory, written out
		2*m + // the log, whose pages are taken as they are written
		3*size // a block: in the log, in a table, in a compaction of it
	for _, l := range e.db.Levels() {
		switch {
		case l.Level == 0, l.IsBaseLevel:
			need += min(l.Size, 16*m)
		case l.NumTables > 0:
			need += min(l.Size, 12*l.Size/int64(l.NumTables)) / 2 // one table and those below that it overlaps
		}
	}
	return uint64(need)
}

// floor is the space below which nothing at all is written any more.
func (e *engine) floor(size int64) uint64 { return uint64(e.memTable/2 + 2*size) }

// room wants so much space on the file system of the database.
func (e *engine) room(need uint64) error {
	free, ok := e.free(e.dir)
	if !ok || free >= need {
		return nil
	}
	return fmt.Errorf("%w: %s are free in %s, %s are needed: make room; nothing that was stored is lost, and the node goes on by itself",
		errNoRoom, megabytes(free), e.dir, megabytes(need))
}

// megabytes rounds up.
func megabytes(n uint64) string { return fmt.Sprintf("%d MB", (n+1<<20-1)>>20) }

// roomToOpen wants space for what an open writes: the logs of the last instance, as tables.
func roomToOpen(dir string, o Options) error {
	need := uint64(o.MemTableSize)
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		if st, err := os.Stat(name); err == nil {
			need += min(uint64(st.Size()), uint64(o.MemTableSize))
		}
	}
	if free, ok := o.freeSpace()(dir); ok && free < need {
		return fmt.Errorf("%w to open the database: %s are free, %s are needed: make room; nothing that was stored is lost",
			errNoRoom, megabytes(free), megabytes(need))
	}
	return nil
}

// freeSpace is how free space is found out.
func (o *Options) freeSpace() func(dir string) (uint64, bool) {
	if o.Free != nil {
		return o.Free
	}
	return freeSpace
}

// fullAgain is how often a full disk is looked at by work that waits for room.
const fullAgain = 500 * time.Millisecond

// full notes that a commit was refused, or that there is room again; the log has each change once.
func (s *Store) full(err error) {
	s.mu.Lock()
	was := s.noRoom
	s.noRoom = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		s.opts.Log.Error("THE DISK IS FULL: no block is taken until there is room", "error", err)
	case err == nil && was:
		s.opts.Log.Info("there is room again: blocks are taken")
	}
}
