package driver

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// link forwards to the newest instance of a stage.
type link struct {
	mu   sync.Mutex
	conn grpc.ClientConnInterface
}

func (l *link) set(conn grpc.ClientConnInterface) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

func (l *link) get() (grpc.ClientConnInterface, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, status.Error(codes.Unavailable, "away, restarting")
	}
	return l.conn, nil
}

func (l *link) Invoke(ctx context.Context, method string, in, out any, options ...grpc.CallOption) error {
	conn, err := l.get()
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, in, out, options...)
}

func (l *link) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := l.get()
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, d, method, options...)
}

// restartable is a world whose stages can be killed and started again; a suspected stage is.
type restartable struct {
	*world
	links       map[ordov1.Stage]*link
	read        *link
	closing     sync.Mutex
	servers     map[ordov1.Stage][]*grpc.Server
	mu          sync.Mutex
	generations map[ordov1.Stage]uint64
	conns       []*grpc.ClientConn // of all instances
	suspects    []string
	restarted   sync.WaitGroup
	slow        time.Duration
	limit       int
}

var all = []ordov1.Stage{ordov1.Stage_STAGE_ORDERING, ordov1.Stage_STAGE_EXECUTION, ordov1.Stage_STAGE_STORAGE, ordov1.Stage_STAGE_CONSENSUS}

func newRestartable(t testing.TB) *restartable {
	m := &restartable{world: newWorld(t), links: map[ordov1.Stage]*link{}, read: &link{}, servers: map[ordov1.Stage][]*grpc.Server{}, generations: map[ordov1.Stage]uint64{}, limit: 20}
	for _, stage := range all {
		m.links[stage] = &link{}
	}
	m.options.Stages = Stages{Ordering: m.links[all[0]], Execution: m.links[all[1]], Storage: m.links[all[2]], StorageRead: m.read, Consensus: m.links[all[3]],
		OrderingCapabilities: []string{sdk.CapArrival}}
	m.options.Suspect = func(stage ordov1.Stage, why error) {
		m.mu.Lock()
		m.suspects = append(m.suspects, why.Error())
		m.mu.Unlock()
		m.later(stage, true)
	}
	t.Cleanup(func() {
		m.restarted.Wait()
		for _, stage := range all {
			m.stop(stage)
		}
		for _, conn := range m.conns {
			conn.Close()
		}
	})
	return m
}

// later restarts a stage beside, as a supervisor does.
func (m *restartable) later(stage ordov1.Stage, forced bool) {
	m.restarted.Add(1)
	go func() {
		defer m.restarted.Done()
		m.end(stage, forced)
	}()
}

func (m *restartable) up() *Driver {
	m.t.Helper()
	for _, stage := range []ordov1.Stage{all[2], all[1], all[0], all[3]} {
		m.begin(stage)
	}
	var err error
	if m.node, err = New(m.options); err != nil {
		m.t.Fatal(err)
	}
	if err := m.node.Start(ctx(m.t)); err != nil {
		m.t.Fatal(err)
	}
	node := m.node
	m.t.Cleanup(func() { node.stop(nil); node.work.Wait() })
	return m.node
}

func (m *restartable) serve(stage ordov1.Stage, register func(*grpc.Server)) *grpc.ClientConn {
	conn, server := fakestage.Serve(m.t, register)
	m.servers[stage] = append(m.servers[stage], server)
	m.mu.Lock()
	m.conns = append(m.conns, conn)
	m.mu.Unlock()
	return conn
}

// begin starts a process: what it has in memory is new, what storage has on its disk is not.
func (m *restartable) begin(stage ordov1.Stage) {
	m.mu.Lock()
	m.generations[stage]++
	m.mu.Unlock()
	m.links[stage].set(m.serve(stage, func(s *grpc.Server) {
		switch stage {
		case ordov1.Stage_STAGE_ORDERING:
			ordov1.RegisterOrderingServer(s, &fakestage.Ordering{})
		case ordov1.Stage_STAGE_EXECUTION:
			var once sync.Once
			m.execution.Mu.Lock()
			broken := maps.Clone(m.execution.Broken)
			m.execution.Mu.Unlock()
			m.execution = &fakestage.Execution{Broken: broken, Read: ordov1.NewStorageReadClient(m.read), Limit: m.limit, Delay: m.slow,
				Die: func() { once.Do(func() { m.later(stage, false) }) }}
			ordov1.RegisterExecutionServer(s, m.execution)
		case ordov1.Stage_STAGE_STORAGE:
			ordov1.RegisterStorageServer(s, m.storage)
		case ordov1.Stage_STAGE_CONSENSUS:
			ordov1.RegisterConsensusServer(s, &fakestage.Consensus{Step: fakestage.Solo()})
		}
	}))
	if stage == ordov1.Stage_STAGE_STORAGE {
		m.read.set(m.serve(stage, func(s *grpc.Server) { ordov1.RegisterStorageReadServer(s, m.storage) }))
	}
}

func (m *restartable) stop(stage ordov1.Stage) {
	m.links[stage].set(nil)
	if stage == ordov1.Stage_STAGE_STORAGE {
		m.read.set(nil)
	}
	for _, server := range m.servers[stage] {
		server.Stop()
	}
	m.servers[stage] = nil
}

// restart kills a process and starts another.
func (m *restartable) restart(stage ordov1.Stage) { m.end(stage, true) }

// end is restart of a process that fails by itself, or is killed.
func (m *restartable) end(stage ordov1.Stage, forced bool) {
	m.closing.Lock()
	defer m.closing.Unlock()
	m.node.StageDown(stage, errors.New("killed"), forced)
	m.stop(stage)
	m.begin(stage)
	m.mu.Lock()
	generation := m.generations[stage]
	m.mu.Unlock()
	if err := m.node.StageUp(stage, Instance{Capabilities: []string{sdk.CapArrival}, Generation: generation}); err != nil && !errors.Is(err, ErrStopped) {
		m.t.Errorf("back: %v", err)
	}
}

// eyes see what a client sees that looks after every change: per height the order in which transactions became PRE_CONFIRMED, and
// what was taken back.
type eyes struct {
	chain *chainview.Chain
	mu    sync.Mutex
	order map[uint64][]chainview.Key
	seen  map[chainview.Key]uint64 // where it is shown
	back  []string
}

// watchChain looks at a chain until the test ends.
func watchChain(t testing.TB, c *chainview.Chain) *eyes {
	e := &eyes{chain: c, order: map[uint64][]chainview.Key{}, seen: map[chainview.Key]uint64{}}
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			changed := c.Changed()
			e.look()
			select {
			case <-changed:
			case <-ended:
				return
			}
		}
	})
	t.Cleanup(func() { close(ended); work.Wait() })
	return e
}

func (e *eyes) look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.chain.Snapshot().Blocks() {
		height := b.Context.Number
		for _, tx := range b.Transactions[:len(b.Results)] {
			if hash := mempool.Key(tx.Hash); e.seen[hash] == 0 {
				e.order[height] = append(e.order[height], hash)
				e.seen[hash] = height
			}
		}
	}
	for hash, height := range e.seen {
		if status := e.chain.Status(hash).Status; status == chainview.Received || status == chainview.Dropped {
			e.back = append(e.back, mempool.Hex(hash)+" of block "+num10(height)+" is "+status.String())
		}
	}
}

func num10(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return num10(n/10) + string(rune('0'+n%10))
}

// kept checks that each block has what was shown of it, in that order.
func (e *eyes) kept(t testing.TB, blocks []*ordov1.Block) {
	t.Helper()
	e.look()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, back := range e.back {
		t.Errorf("shown and taken back: %s", back)
	}
	for height, order := range e.order {
		if height >= uint64(len(blocks)) {
			t.Errorf("block %d was shown and is not there", height)
			continue
		}
		for i, hash := range order {
			if txs := blocks[height].Transactions; i >= len(txs) || mempool.Key(txs[i].Hash) != hash {
				t.Errorf("block %d: place %d was shown as %s", height, i, mempool.Hex(hash))
				break
			}
		}
	}
}
