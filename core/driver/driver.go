package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Stages are the connections to the plugins.
type Stages struct {
	Ordering    grpc.ClientConnInterface
	Execution   grpc.ClientConnInterface
	Storage     grpc.ClientConnInterface
	StorageRead grpc.ClientConnInterface // the socket that storage serves for reads
	Consensus   grpc.ClientConnInterface

	OrderingCapabilities  []string // as Describe told
	ConsensusCapabilities []string
}

// Options are all that a driver needs. Zero numbers take the default.
type Options struct {
	Stages  Stages
	ChainID string   // ASCII
	Block   Block    // what new blocks carry
	Genesis *Genesis // committed when storage is empty, compared when it is not; nil: storage must hold a chain

	Network         pipeline.Network     // the validators; zero: a chain of one sequencer
	Proposals       pipeline.Tolerance   // what a proposer may choose
	Lazy            bool                 // consensus decides orders, and what is decided is executed; it belongs to the chain
	Order           pipeline.OrderLimits // of this node's orders
	Peers           Peers                // nil: none
	Certificates    bool                 // the consensus plugin serves Verify
	Follow          bool                 // this node takes no part in consensus: blocks come by Learn
	ConsensusConfig []byte               // JSON object, sent with Start
	Pool            mempool.Options
	Chunk, Window   int // of a build; see pipeline.Options
	MaxCommits      int
	TransactionMiB  int           // MiB that the run of one transaction may hold in a block of this node's own; 0: execution's own limit
	ScoreTimeout    time.Duration // how long the ordering plugin may think about a batch; 500 ms

	// Suspect is told of a stage that missed a deadline or broke off a stream: the supervisor decides whether to restart it. It
	// must not block. nil: there is no supervisor, and the first such fault ends the node.
	Suspect func(stage ordov1.Stage, why error)
	// CulpritFound is told that the transaction which ended a stage's process again and again was found and rejected. It must not
	// block. nil: not told.
	CulpritFound func(stage ordov1.Stage)
	// Questions are what clients ask of execution beside the blocks. nil: nothing.
	Questions  Questions
	BuildStall time.Duration // how long execution may be silent about work it has, longer than any one transaction; 30 s
	CallLimit  time.Duration // how long any other call may take, and consensus about an event; 30 s
	RootStall  time.Duration // how long storage may owe the next root; 2 min
	StallAfter time.Duration // how long no block may be made although transactions wait before the log says so; 0: for ever

	Journal  Journal           // nil: what was admitted is lost with the process
	Recovery *journal.Recovery // what the journal held when it was opened; nil: nothing
	Clock    func() time.Time  // nil: time.Now
	Log      hclog.Logger      // nil: none
	Observer Observer          // nil: the log
	Recorder Recorder          // of what goes between the core and consensus; nil: none
}

// Questions keeps count of what clients ask of execution; *crash.Ledger implements it.
type Questions interface {
	// Ended says whether questions were in flight when the process ended.
	Ended(crash.End) (asked bool)
	// Hold keeps questions away while a block is built that may end the process.
	Hold(on bool)
	// Found: a transaction of a block had ended it.
	Found()
	// Costly: a transaction of this account was rejected in a block, for which no fee is paid.
	Costly(account []byte)
}

// Journal makes promises durable before they are given.
type Journal interface {
	journal.Promises
	journal.Heights
}

var _ Journal = (*journal.Journal)(nil)

// Block is what every new block carries until a fee market sets it.
type Block struct {
	Sequencer       []byte // felt; empty: DefaultSequencer
	StarknetVersion string // empty: starknet.LatestVersion
	Prices          Prices // zero: DefaultPrices
	CalldataDA      bool   // L1 data availability by calldata; else by blob
}

// Prices of gas.
type Prices struct{ L1Wei, L1Fri, L1DataWei, L1DataFri, L2Wei, L2Fri uint64 }

// DefaultPrices are those of a development chain: what clients of starknet-devnet expect, 1e9 of everything.
func DefaultPrices() Prices { return Prices{1e9, 1e9, 1e9, 1e9, 1e9, 1e9} }

// DefaultSequencer is the address that development chains name.
const DefaultSequencer = "0x1176a1bd84444c89232ec27754698e5d2e7e1a7f1539f12027f28b23ec9f3d8"

// Driver is a running sequencer without its front ends. Make one with New.
type Driver struct {
	options Options
	log     hclog.Logger
	chain   *chainview.Chain
	pool    *sharedPool // its lock also guards machine, which reads and writes the pool

	ordering  *ordering
	execution *execution
	storage   *storage
	consensus *consensus
	read      blockReader
	journal   *journaling
	instances instances

	machine      *pipeline.Machine
	inbox        queue[inboxMsg]
	learning     learning
	poolNotified atomic.Bool   // PoolChanged is in the inbox
	offset       atomic.Int64  // seconds that block time is ahead of the clock
	creating     chan struct{} // holds one while a caller of CreateBlock waits for its block

	// The loop goroutine owns the fields below.
	timers    timers
	searching bool // what the machine said last of whether it looks for a transaction that ends execution

	ctx    context.Context // of everything that runs for the node
	cancel context.CancelFunc
	work   sync.WaitGroup
	ending sync.Once
	fault  error
	done   chan struct{} // closed when the node has stopped or failed
}

// inboxMsg is a message to the loop. Each part may be missing.
type inboxMsg struct {
	first func()                  // called before the input
	input pipeline.Input          // given to the machine
	then  func(*pipeline.Machine) // called after it, for a look at the machine
}

// ErrStopped is the error of calls to a node that has stopped.
var ErrStopped = errors.New("the node has stopped")

// New makes a driver; Start starts it.
func New(o Options) (*Driver, error) {
	if o.Block.StarknetVersion == "" {
		o.Block.StarknetVersion = starknet.LatestVersion
	}
	if o.Block.Prices == (Prices{}) {
		o.Block.Prices = DefaultPrices()
	}
	if len(o.Block.Sequencer) == 0 {
		o.Block.Sequencer = felt.MustHex(DefaultSequencer).Append(nil)
	}
	if o.ScoreTimeout == 0 {
		o.ScoreTimeout = 500 * time.Millisecond
	}
	for _, limit := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.BuildStall, 30 * time.Second}, {&o.CallLimit, 30 * time.Second}, {&o.RootStall, 2 * time.Minute}} {
		if *limit.value == 0 {
			*limit.value = limit.or
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Observer == nil {
		o.Observer = logObserver{o.Log}
	}
	chainID, err := felt.FromShortString(o.ChainID)
	if err != nil || o.ChainID == "" {
		return nil, fmt.Errorf("node: chain id %q: must be 1 to 31 ascii characters", o.ChainID)
	}
	d := &Driver{
		options: o, log: o.Log, pool: &sharedPool{Pool: mempool.New(o.Pool)}, timers: timers{}, done: make(chan struct{}),
		read:     blockReader{ordov1.NewStorageReadClient(o.Stages.StorageRead)},
		creating: make(chan struct{}, 1),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.chain = chainview.New(func() *ordov1.BlockContext { return d.template(uint64(d.now().UnixMilli())) })
	d.journal = &journaling{port: d, log: o.Log, ctx: d.ctx, journal: o.Journal, orders: newOrders(), decided: map[uint64]chan struct{}{}}
	d.makeStages(chainID)
	for stage := range d.instances.newest {
		d.instances.newest[stage] = d.newInstance(ordov1.Stage(stage), 1)
	}
	return d, nil
}

// makeStages makes the four stages; Start gives each its instance.
func (d *Driver) makeStages(chainID felt.Felt) {
	o, supervised := &d.options, d.options.Suspect != nil
	d.ordering = &ordering{port: d, log: d.log, pool: d.pool, instances: &d.instances, next: d.chain.Next, now: d.now,
		timeout: o.ScoreTimeout, supervised: supervised, wakeups: make(chan struct{}, 1)}
	if o.Stages.Ordering != nil {
		d.ordering.client = ordov1.NewOrderingClient(o.Stages.Ordering)
	}
	client := ordov1.NewExecutionClient(o.Stages.Execution)
	d.execution = &execution{port: d, log: d.log, client: client, chain: d.chain, observer: o.Observer, journal: d.journal, supervised: supervised,
		limit: o.CallLimit, memoryMiB: uint64(o.TransactionMiB), blocks: map[uint64]*openBlock{},
		proposals: &proposals{port: d, client: client, chainID: chainID, limit: o.CallLimit}}
	d.storage = &storage{port: d, log: d.log, client: ordov1.NewStorageClient(o.Stages.Storage), chain: d.chain, observer: o.Observer, journal: d.journal,
		callLimit: o.CallLimit, rootStall: o.RootStall, head: storedHead{changed: make(chan struct{}, 1)}}
	d.consensus = &consensus{port: d, log: d.log, peers: o.Peers, recorder: o.Recorder}
	if o.Stages.Consensus != nil {
		d.consensus.client = ordov1.NewConsensusClient(o.Stages.Consensus)
	}
	d.consensus.follows = o.Follow
}

// Chain is what readers look at.
func (d *Driver) Chain() *chainview.Chain { return d.chain }

// Done is closed when the node has stopped; Err tells why, nil after Stop.
func (d *Driver) Done() <-chan struct{} { return d.done }

// Err is the fault that ended the node.
func (d *Driver) Err() error {
	select {
	case <-d.done:
		return d.fault
	default:
		return nil
	}
}

func (d *Driver) now() time.Time { return d.options.Clock() }

// SetTimeOffset moves the time of future blocks against the clock, in seconds.
func (d *Driver) SetTimeOffset(seconds int64) { d.offset.Store(seconds) }

// TimeOffset is what SetTimeOffset set.
func (d *Driver) TimeOffset() int64 { return d.offset.Load() }

// template is the context of a block opened now, without number and old hash.
func (d *Driver) template(nowMs uint64) *ordov1.BlockContext {
	b := &d.options.Block
	p := b.Prices
	return &ordov1.BlockContext{
		Timestamp: uint64(max(0, int64(nowMs/1000)+d.offset.Load())), Sequencer: b.Sequencer, StarknetVersion: b.StarknetVersion, BlobDa: !b.CalldataDA,
		L1Gas:     &ordov1.GasPrice{Wei: u128(p.L1Wei), Fri: u128(p.L1Fri)},
		L1DataGas: &ordov1.GasPrice{Wei: u128(p.L1DataWei), Fri: u128(p.L1DataFri)},
		L2Gas:     &ordov1.GasPrice{Wei: u128(p.L2Wei), Fri: u128(p.L2Fri)},
	}
}

// Start brings storage and execution to the same block, commits genesis where there is none, and begins to build.
func (d *Driver) Start(ctx context.Context) error {
	head, err := d.resume(ctx)
	if err != nil {
		d.cancel()
		return fmt.Errorf("node: start: %w", err)
	}
	converse, err := d.consensus.connect(d.instances.of(ordov1.Stage_STAGE_CONSENSUS), nil)
	if err != nil {
		d.cancel()
		return fmt.Errorf("node: start: consensus: %w", err)
	}
	o := &d.options
	d.pool.mu.Lock()
	machine, commands := pipeline.New(pipeline.Options{
		Capabilities: pipeline.Capabilities{ordov1.Stage_STAGE_ORDERING: o.Stages.OrderingCapabilities, ordov1.Stage_STAGE_CONSENSUS: o.Stages.ConsensusCapabilities},
		Chunk:        o.Chunk, Window: o.Window, MaxCommits: o.MaxCommits, Replay: d.execution.proposals.replay, Template: d.template,
		Journaled: o.Journal != nil, Network: o.Network, Proposals: o.Proposals, Lazy: o.Lazy, ChainID: o.ChainID, Order: o.Order,
	}, d.pool.Pool, uint64(d.now().UnixMilli()), *head)
	d.machine = machine
	d.pool.mu.Unlock()

	d.spawn(func() { d.ordering.run(d.ctx, d.notifyPool) })
	for _, work := range []func(){d.expire, d.watch, d.watchStalls, d.journal.writeOrders} {
		d.spawn(work)
	}
	converse()
	d.ordering.at = d.instances.of(ordov1.Stage_STAGE_ORDERING)
	d.execution.takeUp(d.instances.of(ordov1.Stage_STAGE_EXECUTION))
	d.storage.takeUp(d.instances.of(ordov1.Stage_STAGE_STORAGE))
	d.storage.followRoots(head.Accepted + 1)
	d.carryOut(commands)
	d.spawn(d.loop)
	return nil
}

// Stop lets what is decided reach storage with its root, then ends the node. Waiting transactions stay in the pool, which
// ends with it. A node that a fault has ended answers ErrStopped with that fault.
func (d *Driver) Stop(ctx context.Context) error {
	var err error
	if d.machine != nil {
		d.inbox.push(inboxMsg{input: pipeline.Drain{}})
		err = d.drain(ctx)
	}
	d.stop(nil)
	d.work.Wait()
	if d.fault != nil {
		return fmt.Errorf("%w: %w", ErrStopped, d.fault)
	}
	return err
}

// drain waits until nothing decided is on its way any more.
func (d *Driver) drain(ctx context.Context) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		drained := make(chan bool, 1)
		d.inbox.push(inboxMsg{then: func(m *pipeline.Machine) { drained <- m.Settled() }})
		select {
		case yes := <-drained:
			if yes {
				return nil
			}
		case <-d.ctx.Done():
			return nil // Stop says why
		case <-ctx.Done():
			return fmt.Errorf("node: stop: decided blocks are not committed with their roots yet; storage finishes them at the next start: %w", ctx.Err())
		}
		<-look.C
	}
}

func u128(v uint64) []byte {
	b := make([]byte, 16)
	for i := range 8 {
		b[15-i] = byte(v >> (8 * i))
	}
	return b
}

func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }
