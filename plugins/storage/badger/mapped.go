package badger

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Badger maps its tables, and every page of them that was read or written once counts as memory of the process until the
// kernel is short of it: in the end the whole database. So from time to time the process lets go of them. They stay in the
// kernel's cache, and what is read again is mapped again without the disk.

// mappedLook is how often the size is looked at.
const mappedLook = 2 * time.Second

// mappedShare is the most of the time that letting go may take, as a divisor: a large database under random reads would
// always be over the limit.
const mappedShare = 100

// keepMapped holds the mapped pages of the tables to about limit bytes until the returned function is called. own is what was
// mapped before the tables were: the program.
func (e *engine) keepMapped(own, limit int64) (stop func()) {
	if limit <= 0 {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		wait := mappedLook
		for {
			select {
			case <-time.After(wait):
			case <-quit:
				return
			}
			wait = mappedLook
			if filePages()-own > limit {
				begun := time.Now()
				e.unmap()
				wait = max(wait, mappedShare*time.Since(begun))
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// unmap lets go of the pages of all tables. A table that a compaction replaces is unmapped as soon as nothing uses it, and its
// addresses may be given to anything then, memory of ours included, which the call would empty. So an iterator holds the
// tables meanwhile; and because it does not tell which, those count that are listed before it was made and after.
func (e *engine) unmap() {
	before := e.tables()
	txn := e.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(iteratorOptions())
	defer it.Close()
	after := e.tables()
	dir, err := filepath.EvalSymlinks(e.dir)
	if err != nil {
		return
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return
	}
	raw, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(raw)) {
		place, path, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at := strings.IndexByte(path, '/')
		if !found || at < 0 || filepath.Dir(path[at:]) != dir {
			continue
		}
		name, isTable := strings.CutSuffix(filepath.Base(path[at:]), ".sst")
		id, err := strconv.ParseUint(name, 10, 64)
		if !isTable || err != nil || !before[id] || !after[id] {
			continue
		}
		from, to, _ := strings.Cut(place, "-")
		first, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && end > first {
			letGo(uintptr(first), uintptr(end-first))
		}
	}
}

// tables are those that reads go to now.
func (e *engine) tables() map[uint64]bool {
	list := e.db.Tables()
	ids := make(map[uint64]bool, len(list))
	for _, t := range list {
		ids[t.ID] = true
	}
	return ids
}

// filePages is how many bytes of files are mapped and resident; 0 where that is not known.
func filePages() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 3 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[2], 10, 64)
	return pages * int64(os.Getpagesize())
}
