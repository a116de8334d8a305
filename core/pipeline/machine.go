package pipeline

import (
	"fmt"
	"maps"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// hashLag is the protocol's: block N writes the hash of N-hashLag into its state.
const hashLag = starknet.BlockHashLag

// maxHeld is how many events may wait for the answer to Sign, and actions for a barrier, before messages of peers are dropped.
const maxHeld = 1000

// Machine is the state of the pipeline. Make one with New. All of it is owned by the goroutine that calls Step.
type Machine struct {
	options      Options
	pool         Pool
	capabilities capabilities // of the plugins that serve now

	// of the step that runs
	now   uint64
	out   []Command
	fault error // final: every later Step returns it

	// of the height that is to be decided
	height    uint64
	timestamp uint64 // of the block before
	attempts  map[uint64]*attempt
	open      *attempt // the one attempt that may have a stream; nil when none is to be worked on
	carried   *attempt // begun for an earlier instance of consensus or before a restart: the next Build takes it over
	ordered   *attempt // executes the order that is decided at this height, when that is durable; nil: none is decided
	builds    uint64   // last build id given out
	draining  bool

	down      map[ordov1.Stage]string // stages without a process, and why
	consensus consensus
	execution execution
	storage   storage
	recovery  recovery
	crashes   crashes
}

// consensus is what the machine keeps of the running instance of consensus, and of what it told.
type consensus struct {
	config         []byte
	seq            uint64           // of the last event
	answered       uint64           // last event that it answered
	announced      bool             // it knows that the pool holds something
	todo           []*ordov1.Action // answered, and behind a barrier
	timers         map[uint64]bool
	records        [][]byte                      // persisted for this height
	state          []byte                        // the last lasting record
	parent         *ordov1.ConsensusEvent_Parent // nil: the block below is genesis
	signed         map[ballot][]byte             // what this node has signed at this height
	writes         []write                       // on their way to the disk
	writing        int                           // so many of them are given to the driver
	bodies         bodies                        // of this height
	lost           *attempt                      // the one that was open when a block was learned; nil: none, or another instance began it
	signing        int                           // Signs that are not answered
	held           []*ordov1.ConsensusEvent      // behind the answers to those
	learned        uint64                        // the event of the last unasked Decided: actions in answers to those before it are void
	startDeferred  bool                          // a new instance waits for the log to be durable, or for a learned block, before it is started
	blockRequested bool                          // the operator waits for the block of this height
}

// execution is what the machine keeps of the tip of execution.
type execution struct {
	instance uint64 // counts the processes
	applied  uint64 // its tip
	adoption adoption
}

// adoption is how a new execution comes to the tip of the chain.
type adoption string

const (
	adopted   adoption = ""          // it has the tip
	adoptNext adoption = "next"      // it is to take the tip from storage
	adopting  adoption = "under way" // it is asked to
)

// storage is what the machine keeps of the chain that storage has.
type storage struct {
	committed uint64 // its head
	block     []byte // partial hash of that
	accepted  uint64 // last block whose hash is known
	hashes    map[uint64][]byte
	pending   []Commit // decided, not committed
	noRoom    string   // why it takes no block for now
}

// New returns a machine and the commands that start it.
func New(options Options, p Pool, nowMs uint64, head Head) (*Machine, []Command) {
	if options.Chunk == 0 {
		options.Chunk = 128
	}
	if options.Window == 0 {
		options.Window = 4
	}
	if options.MaxCommits == 0 {
		options.MaxCommits = 8
	}
	if options.Order.Transactions == 0 {
		options.Order.Transactions = DefaultOrderTransactions
	}
	if options.Order.Bytes == 0 {
		options.Order.Bytes = DefaultOrderBytes
	}
	m := &Machine{options: options, pool: p, now: nowMs, height: head.Height + 1, timestamp: head.Timestamp,
		attempts: map[uint64]*attempt{}, down: map[ordov1.Stage]string{},
		consensus: consensus{timers: map[uint64]bool{}, state: head.State, parent: head.Parent, config: head.Config, signed: map[ballot][]byte{}},
		execution: execution{applied: head.Height},
		storage:   storage{committed: head.Height, block: head.Block, accepted: head.Accepted, hashes: maps.Clone(head.Hashes)},
		recovery:  recovery{head.Decided, head.Order}}
	if m.storage.hashes == nil {
		m.storage.hashes = map[uint64][]byte{}
	}
	log := readRecords(head.Log)
	m.consensus.records = log.records
	for _, g := range log.guards {
		m.consensus.signed[ballot{g.Kind, g.Round}] = g.Data
	}
	m.restore(head.Height+uint64(len(head.Decided))+1, log.bodies)
	for stage, names := range options.Capabilities {
		m.capabilities.set(stage, names)
	}
	m.nextRedo()
	m.advance()
	m.announce()
	return m, m.flush()
}

// Height is the height to be decided next.
func (m *Machine) Height() uint64 { return m.height }

// Settled says whether everything decided is applied, committed and has its root.
func (m *Machine) Settled() bool {
	tip := m.height - 1
	return m.execution.adoption == adopted && m.execution.applied == tip && m.storage.committed == tip && m.storage.accepted == tip
}

// Next is the context of the block that would be opened at this moment.
func (m *Machine) Next(nowMs uint64) *ordov1.BlockContext {
	if m.open != nil && m.open.context != nil {
		return m.open.context
	}
	return m.context(nowMs)
}

// Step takes one input. An error is final.
func (m *Machine) Step(nowMs uint64, input Input) ([]Command, error) {
	if m.fault != nil {
		return nil, m.fault
	}
	m.now = max(m.now, nowMs)
	if err := m.step(input); err != nil {
		m.fault = err
		return m.flush(), err
	}
	m.maybeAdopt()
	for again := true; again; { // what is done for one attempt can begin another
		open := m.open
		m.advance()
		again = m.open != open && m.open != nil && m.fault == nil
	}
	m.announce()
	return m.flush(), m.fault
}

func (m *Machine) step(input Input) error {
	switch in := input.(type) {
	case Answered:
		return m.handleActions(in.Actions)
	case PoolChanged: // advance and announce look by themselves
	case BlockRequested:
		m.consensus.blockRequested = true
		if !m.draining {
			m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: &ordov1.ConsensusEvent_CreateBlock{}}})
		}
	case Delivered:
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{From: in.From, Data: in.Data}}})
	case TimerFired:
		m.timerFired(in.ID)
	case Executed:
		return m.executed(in)
	case Full:
		return m.full(in)
	case Closed:
		return m.closed(in)
	case BuildFailed:
		return m.buildFailed(in)
	case OrderPersisted:
		m.orderPersisted(in)
	case Fetched:
		m.fetched(in)
	case Learned:
		m.learn(in)
	case Checked:
		return m.checked(in)
	case HeaderHashed:
		return m.headerHashed(in)
	case Applied:
		return m.blockApplied(in.Height)
	case Adopted:
		return m.blockAdopted(in.Height)
	case Committed:
		return m.blockCommitted(in.Height)
	case NoRoom:
		m.storage.noRoom = in.Why
	case Persisted:
		return m.persisted()
	case DecisionRecorded:
		return m.decisionRecorded(in.Height)
	case StageDown:
		return m.stageDown(in)
	case StageUp:
		return m.stageUp(in)
	case RootComputed:
		return m.rootComputed(in.Root)
	case Drain:
		m.draining, m.carried = true, nil
		if m.open != nil {
			m.becomeAbandoned(m.open)
		}
	default:
		return fmt.Errorf("pipeline: unknown input %T", input)
	}
	return nil
}

// rootComputed takes roots strictly in order; one from the past is harmless (a stream that was opened again), a hole is not.
func (m *Machine) rootComputed(root *ordov1.Root) error {
	s := &m.storage
	switch {
	case root.Height <= s.accepted:
		return nil
	case root.Height != s.accepted+1:
		return fmt.Errorf("pipeline: storage: root of block %d came after that of block %d: roots must come in order", root.Height, s.accepted)
	case root.Height >= m.height:
		return fmt.Errorf("pipeline: storage: root of block %d, which is not decided", root.Height)
	}
	s.accepted = root.Height
	s.hashes[root.Height] = root.BlockHash
	delete(s.hashes, root.Height-2*hashLag)
	m.emit(Accept{root})
	return nil
}

// announce tells consensus that there is something to build from. An open attempt that takes what comes needs no telling.
func (m *Machine) announce() {
	ready := m.ready()
	switch {
	case ready == 0:
		m.consensus.announced = false
	case !m.consensus.announced && !m.draining && m.ordered == nil && !m.consensusDown() && !(m.open != nil && m.open != m.carried && m.open.accepting()):
		m.consensus.announced = true
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(ready)}}})
	}
}

// ready counts what the next Build would find.
func (m *Machine) ready() int {
	n := m.pool.Ready()
	if m.carried != nil {
		n += max(1, len(m.carried.all()))
	}
	return n
}

// consensusDown says that consensus cannot be told anything. What it must know, Start tells.
func (m *Machine) consensusDown() bool {
	return m.isDown(ordov1.Stage_STAGE_CONSENSUS) || len(m.recovery.redo) > 0 || m.consensus.seq == 0
}

func (m *Machine) isDown(stage ordov1.Stage) bool {
	_, down := m.down[stage]
	return down
}

func (m *Machine) tell(event *ordov1.ConsensusEvent) {
	if m.consensusDown() && event.GetStart() == nil {
		return
	}
	if event.GetMessage() != nil && max(len(m.consensus.held), len(m.consensus.todo)) >= maxHeld {
		return // messages may be lost, and peers send more of them for as long as the disk is full, or a learned block is executed
	}
	if m.consensus.signing > 0 && event.GetSigned() == nil {
		m.consensus.held = append(m.consensus.held, event)
		return
	}
	m.consensus.seq++
	event.Seq, event.NowMs = m.consensus.seq, m.now
	m.emit(Tell{event})
}

func (m *Machine) emit(c Command) { m.out = append(m.out, c) }

func (m *Machine) flush() []Command {
	out := m.out
	m.out = nil
	return out
}

// context makes the context of the next block; old_block_hash is empty when it is not known yet.
func (m *Machine) context(nowMs uint64) *ordov1.BlockContext {
	c := m.options.Template(nowMs)
	c.Number = m.height
	c.Timestamp = max(c.Timestamp, m.timestamp)
	c.OldBlockHash, _ = m.oldHash()
	return c
}

func (m *Machine) oldHash() (hash []byte, known bool) {
	if m.height < hashLag {
		return nil, true
	}
	hash, known = m.storage.hashes[m.height-hashLag]
	return hash, known
}

// blockedReason says why no block can be opened now: "" when nothing is in the way.
func (m *Machine) blockedReason() string {
	behind := m.height - 1 - m.storage.committed
	switch _, known := m.oldHash(); {
	case m.draining:
		return "draining"
	case m.isDown(ordov1.Stage_STAGE_EXECUTION):
		return "execution is down"
	case m.isDown(ordov1.Stage_STAGE_STORAGE):
		return "storage is down"
	case m.storage.noRoom != "":
		return "storage has no room"
	case m.execution.adoption != adopted:
		return fmt.Sprintf("execution has not adopted block %d", m.height-1)
	case m.execution.applied != m.height-1:
		return fmt.Sprintf("execution has not applied block %d", m.height-1)
	case behind >= uint64(m.options.MaxCommits):
		return fmt.Sprintf("storage is %d blocks behind", behind)
	case !known:
		return fmt.Sprintf("the hash of block %d is not known", m.height-hashLag)
	}
	return ""
}
