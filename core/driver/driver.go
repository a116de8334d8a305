// Package driver drives the pipeline: it feeds the machine, carries out its commands over gRPC, and keeps pool, journal and chain
// view in step.
//
// One goroutine, the loop, feeds the machine. Everything that waits for a stage runs beside it and comes back as an input:
// one goroutine for consensus in each direction, two for the build, one each for Apply, Commit, the roots and scoring. They
// belong to one life of their stage and end with it, before the machine hears that the stage is lost. What breaks the
// contract ends the node: going on would fork or corrupt the chain.
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
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
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

// Options are all that a node needs. Zero numbers take the default.
type Options struct {
	Stages  Stages
	ChainID string   // ASCII
	Block   Block    // what new blocks carry
	Genesis *Genesis // committed when storage is empty, compared when it is not; nil: storage must hold a chain

	ConsensusConfig []byte // JSON object, sent with Start
	Pool            mempool.Options
	Chunk, Window   int // of a build; see pipeline.Options
	MaxCommits      int
	TransactionMiB  int           // MiB that the run of one transaction may hold in a block of this node's own; 0: execution's own limit
	ScoreTimeout    time.Duration // how long the ordering plugin may think about a batch; 500 ms

	// Suspect is told of a stage that missed a deadline or broke off a stream: whoever restarts plugins decides. It must not
	// block. nil: nobody restarts anything, and the first such fault ends the node.
	Suspect func(stage ordov1.Stage, why error)
	// CulpritFound is told that a transaction was found, and rejected, that ended a stage's process again and again. It must not block.
	// nil: nothing is told.
	CulpritFound func(stage ordov1.Stage)
	// Questions are what clients ask of execution beside the blocks. nil: nothing.
	Questions  Questions
	BuildStall time.Duration // how long execution may be silent about work it has, longer than any one transaction; 30 s
	CallLimit  time.Duration // how long any other call may take, and consensus about an event; 30 s
	RootStall  time.Duration // how long storage may owe the next root; 2 min
	StallAfter time.Duration // how long no block may be made although transactions wait before the log says so; 0: for ever

	Journal  Journal           // nil: what was admitted does not outlive the process
	Recovery *journal.Recovery // what the journal held when it was opened; nil: nothing
	Clock    func() time.Time  // nil: time.Now
	Log      hclog.Logger      // nil: none
}

// Questions are told what happens to execution; *crash.Ledger is one.
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
	StarknetVersion string // empty: 0.14.4
	Prices          Prices // zero: DefaultPrices
	CalldataDA      bool   // L1 data availability by calldata; else by blob
}

// Prices of gas.
type Prices struct{ L1Wei, L1Fri, L1DataWei, L1DataFri, L2Wei, L2Fri uint64 }

// DefaultPrices are those of a development chain: what clients of starknet-devnet expect, 1e9 of everything.
func DefaultPrices() Prices { return Prices{1e9, 1e9, 1e9, 1e9, 1e9, 1e9} }

// DefaultSequencer is the address that development chains name.
const DefaultSequencer = "0x1176a1bd84444c89232ec27754698e5d2e7e1a7f1539f12027f28b23ec9f3d8"

// Driver is a running sequencer. Make one with New.
type Driver struct {
	options Options
	log     hclog.Logger
	chainID felt.Felt
	chain   *chainview.Chain

	ordering  ordov1.OrderingClient
	execution ordov1.ExecutionClient
	storage   ordov1.StorageClient
	read      ordov1.StorageReadClient
	replay    bool // the proposals are blocks of a stored chain
	consensus ordov1.ConsensusClient

	// mu guards the pool and the machine, which reads and writes it.
	mu      sync.Mutex
	pool    *mempool.Pool
	machine *pipeline.Machine

	offset       atomic.Int64 // seconds that block time is ahead of the clock
	inbox        queue[inboxMsg]
	poolNotified atomic.Bool // PoolChanged is in the inbox
	toScore      chan struct{}
	at           [stages]*instance // at work, of the loop
	timers       map[pipeline.TimerID]*time.Timer
	// checking ends the check of the last proposal, of the loop; nil: there was none.
	checking context.CancelFunc
	marks    map[uint64]chan struct{} // decisions on their way to the journal, of the loop; closed when durable
	orders   orders
	// what the machine said last of whether it looks for a transaction that ends execution; of the loop.
	searching bool

	storedTo, acceptedTo, markedTo uint64 // as this life of the node saw it, of the loop

	instancesMu sync.Mutex
	instances   [stages]*instance // the newest, at work or lost
	noRoom      string            // why storage takes no block
	noRanks     string            // why ordering ranks nothing
	late        bool              // it was late with the last batch

	talk   talk
	unsent atomic.Bool // consensus sent a message

	creating chan struct{} // holds one when somebody demands a block

	ctx    context.Context // of everything that runs for the node
	cancel context.CancelFunc
	work   sync.WaitGroup
	ending sync.Once
	fault  error
	done   chan struct{} // closed when the node has stopped or failed
}

// inboxMsg is an input on its way to the machine, and who wants to look at the machine right after it.
type inboxMsg struct {
	first func() // done before
	input pipeline.Input
	then  func(*pipeline.Machine)
}

// ErrStopped is what callers get from a node that runs no more.
var ErrStopped = errors.New("the node has stopped")

// New makes a node; Start brings it to life.
func New(o Options) (*Driver, error) {
	if o.Block.StarknetVersion == "" {
		o.Block.StarknetVersion = "0.14.4"
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
	chainID, err := felt.FromShortString(o.ChainID)
	if err != nil || o.ChainID == "" {
		return nil, fmt.Errorf("node: chain id %q: must be 1 to 31 ascii characters", o.ChainID)
	}
	n := &Driver{
		options: o, log: o.Log, chainID: chainID,
		execution: ordov1.NewExecutionClient(o.Stages.Execution), storage: ordov1.NewStorageClient(o.Stages.Storage),
		read: ordov1.NewStorageReadClient(o.Stages.StorageRead),
		pool: mempool.New(o.Pool), toScore: make(chan struct{}, 1),
		timers: map[pipeline.TimerID]*time.Timer{}, marks: map[uint64]chan struct{}{}, done: make(chan struct{}),
		creating: make(chan struct{}, 1),
	}
	if o.Stages.Ordering != nil {
		n.ordering = ordov1.NewOrderingClient(o.Stages.Ordering)
	}
	if o.Stages.Consensus != nil {
		n.consensus = ordov1.NewConsensusClient(o.Stages.Consensus)
	}
	n.chain = chainview.New(func() *ordov1.BlockContext { return n.template(uint64(n.now().UnixMilli())) })
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for stage := range n.instances {
		n.instances[stage] = n.newInstance(ordov1.Stage(stage), 1)
		n.at[stage] = n.instances[stage]
	}
	n.orders.begin()
	return n, nil
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

// template is the context of a block opened now, but for number and old hash.
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
	run, err := d.openConsensus(d.at[ordov1.Stage_STAGE_CONSENSUS])
	if err != nil {
		d.cancel()
		return fmt.Errorf("node: start: consensus: %w", err)
	}
	d.mu.Lock()
	machine, commands := pipeline.New(pipeline.Options{
		Arrival: has(d.options.Stages.OrderingCapabilities, sdk.CapArrival), Proposals: has(d.options.Stages.ConsensusCapabilities, sdk.CapNetwork),
		Chunk: d.options.Chunk, Window: d.options.Window, MaxCommits: d.options.MaxCommits, Replay: d.replay, Template: d.template,
		Journaled: d.options.Journal != nil,
	}, d.pool, uint64(d.now().UnixMilli()), *head)
	d.machine = machine
	d.mu.Unlock()

	for _, work := range []func(){d.score, d.expire, d.watch, d.watchStalls, d.writeOrders} {
		d.spawn(work)
	}
	run()
	d.runApplies(d.at[ordov1.Stage_STAGE_EXECUTION])
	d.runCommits(d.at[ordov1.Stage_STAGE_STORAGE])
	d.followRoots(head.Accepted + 1)
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
		settled := make(chan bool, 1)
		d.inbox.push(inboxMsg{then: func(m *pipeline.Machine) { settled <- m.Settled() }})
		select {
		case yes := <-settled:
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

// stop stops everything, once; a fault is said loudly.
func (d *Driver) stop(fault error) {
	d.ending.Do(func() {
		if fault != nil {
			d.log.Error("the node stops", "fault", fault)
		}
		d.fault = fault
		d.cancel()
		close(d.done)
	})
}

// halt ends the node because of a stage.
func (d *Driver) halt(stage string, err error) {
	if d.ctx.Err() == nil {
		d.stop(fmt.Errorf("node: %s: %w", stage, err))
	}
}

func has(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}

func u128(v uint64) []byte {
	b := make([]byte, 16)
	for i := range 8 {
		b[15-i] = byte(v >> (8 * i))
	}
	return b
}

func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }
