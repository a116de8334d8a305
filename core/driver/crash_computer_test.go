package driver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// fragile is a storage and an execution that are on the same computer.
type fragile struct {
	*fakestage.Storage
	fuse *fuse
}

func (f *fragile) Commit(stream ordov1.Storage_CommitServer) error {
	if !f.fuse.pass("before commit") {
		return errCrash
	}
	if err := f.Storage.Commit(stream); err != nil {
		return err
	}
	if !f.fuse.pass("after commit") {
		return errCrash
	}
	return nil
}

type fragileExecution struct {
	*fakestage.Execution
	fuse *fuse
}

func (f *fragileExecution) Apply(ctx context.Context, r *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	if !f.fuse.pass("before apply") {
		return nil, errCrash
	}
	answer, err := f.Execution.Apply(ctx, r)
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
	earlier []*eyes               // of the runs before
}

// boot turns the computer on. An error means that it went off meanwhile.
func boot(t *testing.T, storage *fakestage.Storage, disk *memory, fuse *fuse, protocol func(*ordov1.ConsensusEvent) []*ordov1.Action, change ...func(*Options)) (*computer, error) {
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
	w.execution = &fakestage.Execution{Broken: map[mempool.Key]bool{}, Read: ordov1.NewStorageReadClient(readConn), Limit: 4}
	w.options.Stages = Stages{Storage: storageConn, StorageRead: readConn,
		Execution: serve(t, w.recorder, func(s *grpc.Server) {
			m.servers = append(m.servers, s)
			ordov1.RegisterExecutionServer(s, &fragileExecution{w.execution, fuse})
		}),
		Ordering: serve(t, w.recorder, func(s *grpc.Server) { m.servers = append(m.servers, s); ordov1.RegisterOrderingServer(s, w.ordering) }),
		Consensus: serve(t, w.recorder, func(s *grpc.Server) {
			m.servers = append(m.servers, s)
			ordov1.RegisterConsensusServer(s, &fakestage.Consensus{Step: protocol})
		}),
		OrderingCapabilities: []string{sdk.CapArrival}}
	for _, c := range change {
		c(&w.options)
	}
	if w.node, err = New(w.options); err != nil {
		t.Fatal(err)
	}
	m.eyes = watchChain(t, w.node.Chain())
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
