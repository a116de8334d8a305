package driver

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/journal"
)

var errCrash = errors.New("the computer is off")

// fuse counts what happens to anything durable, and turns the computer off at one of the counts: nothing that comes later
// has any effect.
type fuse struct {
	mu    sync.Mutex
	at    int // 0: never
	count int
	names []string
	blown chan struct{}
}

func newFuse(at int) *fuse { return &fuse{at: at, blown: make(chan struct{})} }

// pass says whether the computer is still on.
func (f *fuse) pass(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at > 0 && f.count >= f.at {
		return false
	}
	f.count++
	f.names = append(f.names, name)
	if f.count == f.at {
		close(f.blown)
		return false
	}
	return true
}

func (f *fuse) reached() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at > 0 && f.count >= f.at
}

// memory is a journal.Directory of which a crash leaves what was synced, and whatever else it likes: here all that was
// written (keep) or nothing.
type memory struct {
	fuse  *fuse
	mu    sync.Mutex
	files map[string]*page
}

type page struct{ data, synced []byte }

// survivor is what the next process finds. Names are durable at once here; package journal has its own test for names.
func (d *memory) survivor(fuse *fuse, keep bool) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &memory{fuse: fuse, files: map[string]*page{}}
	for name, p := range d.files {
		data := p.synced
		if keep {
			data = p.data
		}
		data = append([]byte(nil), data...)
		next.files[name] = &page{data, data}
	}
	return next
}

func (d *memory) change(name string, do func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.fuse.pass(name) {
		return errCrash
	}
	do()
	return nil
}

func (d *memory) List() (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		names = append(names, name)
	}
	return names, nil
}

func (d *memory) Open(name string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return nil, os.ErrNotExist
	}
	return &leaf{d, d.files[name]}, nil
}

func (d *memory) Create(name string) (journal.File, error) {
	p := &page{}
	return &leaf{d, p}, d.change("create", func() { d.files[name] = p })
}

func (d *memory) Rename(from, to string) error {
	return d.change("rename", func() { d.files[to] = d.files[from]; delete(d.files, from) })
}

func (d *memory) Remove(name string) error {
	return d.change("remove", func() { delete(d.files, name) })
}

func (d *memory) Sync() error { return d.change("sync names", func() {}) }

type leaf struct {
	d *memory
	p *page
}

func (l *leaf) ReadAt(b []byte, at int64) (int, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if at >= int64(len(l.p.data)) {
		return 0, io.EOF
	}
	n := copy(b, l.p.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (l *leaf) Write(b []byte) (int, error) {
	err := l.d.change("journal write", func() { l.p.data = append(l.p.data, b...) })
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (l *leaf) Size() (int64, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return int64(len(l.p.data)), nil
}

func (l *leaf) Truncate(n int64) error {
	return l.d.change("truncate", func() { l.p.data = l.p.data[:n:n] })
}

func (l *leaf) Sync() error {
	time.Sleep(300 * time.Microsecond) // a disk is slower than the rest of it
	return l.d.change("journal sync", func() { l.p.synced = append([]byte(nil), l.p.data...) })
}

func (l *leaf) Close() error { return nil }
