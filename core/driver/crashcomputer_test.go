package driver

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

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

// memory is a journal.Directory of which a crash leaves what was synced, and no more than that: here all that was
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

// fragile is a storage and an execution that are on the same computer.
type fragile struct {
	*fakeStorage
	fuse *fuse
}

func (f *fragile) Commit(stream ordov1.Storage_CommitServer) error {
	if !f.fuse.pass("before commit") {
		return errCrash
	}
	if err := f.fakeStorage.Commit(stream); err != nil {
		return err
	}
	if !f.fuse.pass("after commit") {
		return errCrash
	}
	return nil
}

type fragileExecution struct {
	*fakeExecution
	fuse *fuse
}

func (f *fragileExecution) Apply(ctx context.Context, r *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	if !f.fuse.pass("before apply") {
		return nil, errCrash
	}
	answer, err := f.fakeExecution.Apply(ctx, r)
	if !f.fuse.pass("after apply") {
		return nil, errCrash
	}
	return answer, err
}

// computer is everything between power on and power off.
type computer struct {
	*world
	fuse    *fuse
	disk    *memory
	journal *journal.Journal
	eyes    *eyes
	servers []*grpc.Server
	told    []*ordov1.Transaction // that were promised
	earlier []*eyes               // of lives before
}

// boot turns the computer on. An error means that it went off meanwhile.
func boot(t *testing.T, storage *fakeStorage, disk *memory, fuse *fuse, protocol func(*ordov1.ConsensusEvent) []*ordov1.Action) (*computer, error) {
	w := newWorld(t)
	w.storage = storage
	m := &computer{world: w, fuse: fuse, disk: disk}
	j, recovery, err := journal.Open(disk, journal.Options{Chain: "SN_TEST", SegmentBytes: 3000})
	if err != nil {
		return m, err
	}
	m.journal = j
	w.options.Journal, w.options.Recovery = j, recovery
	storageConn := serve(t, w.recorder, func(s *grpc.Server) {
		m.servers = append(m.servers, s)
		ordov1.RegisterStorageServer(s, &fragile{storage, fuse})
	})
	readConn := serve(t, w.recorder, func(s *grpc.Server) { m.servers = append(m.servers, s); ordov1.RegisterStorageReadServer(s, storage) })
	w.execution = &fakeExecution{broken: map[mempool.Key]bool{}, read: ordov1.NewStorageReadClient(readConn), limit: 4}
	w.options.Stages = Stages{Storage: storageConn, StorageRead: readConn,
		Execution: serve(t, w.recorder, func(s *grpc.Server) {
			m.servers = append(m.servers, s)
			ordov1.RegisterExecutionServer(s, &fragileExecution{w.execution, fuse})
		}),
		Ordering: serve(t, w.recorder, func(s *grpc.Server) { m.servers = append(m.servers, s); ordov1.RegisterOrderingServer(s, w.ordering) }),
		Consensus: serve(t, w.recorder, func(s *grpc.Server) {
			m.servers = append(m.servers, s)
			ordov1.RegisterConsensusServer(s, &fakeConsensus{step: protocol})
		}),
		OrderingCapabilities: []string{sdk.CapArrival}}
	if w.node, err = New(w.options); err != nil {
		t.Fatal(err)
	}
	m.eyes = watchChain(w.node.Chain())
	if err := w.node.Start(ctx(t)); err != nil {
		return m, err
	}
	return m, nil
}

// off ends everything, as a power cut does.
func (m *computer) off() {
	if m.node != nil {
		m.node.stop(nil)
		m.node.work.Wait()
	}
	for _, s := range m.servers {
		s.Stop()
	}
	if m.journal != nil {
		_ = m.journal.Close()
	}
}

// live submits from three clients until all is accepted or the computer is off.
func (m *computer) live(txs [][]*ordov1.Transaction) {
	var clients sync.WaitGroup
	var mu sync.Mutex
	for _, own := range txs {
		clients.Go(func() {
			for _, tx := range own {
				err := m.submitOne(tx)
				if err != nil && !errors.Is(err, mempool.ErrDuplicate) && !errors.Is(err, mempool.ErrNonceTooOld) {
					return
				}
				mu.Lock()
				m.told = append(m.told, tx)
				mu.Unlock()
				time.Sleep(300 * time.Microsecond)
			}
		})
	}
	clients.Wait()
}
