package pipeline

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// hashLag is the protocol's: block N writes the hash of N-hashLag into its state.
const hashLag = 10

// Machine is the state of the pipeline. Make one with New.
type Machine struct {
	options Options
	pool    Pool
	config  []byte // of consensus
	order   *Order // until the machine is at its height
	now     uint64
	out     []Command
	broken  error

	height    uint64 // the one to be decided
	attempts  map[uint64]*attempt
	open      *attempt // checking, held, running, closing or sealing; nil when none is
	builds    uint64   // last build id given out
	announced bool     // consensus knows that the pool holds something
	draining  bool

	down map[ordov1.Stage]string // stages without a process, and why
	redo []Decided               // blocks to be built again before consensus begins

	// of the life of consensus
	seq            uint64           // of the last event
	answered       uint64           // last event that consensus answered
	todo           []*ordov1.Action // answered, and behind a barrier
	persisting     []byte           // on its way to the disk; nil: nothing is
	timers         map[uint64]bool
	log            []byte   // persisted for this height
	blockRequested bool     // the operator waits for the block of this height
	late           bool     // it is back, and waits for its log to be durable
	carried        *attempt // what another life of consensus began: the next Build takes it over

	// of the life of execution
	life     uint64
	adopt    bool // its tip is to be taken from storage
	adopting bool

	suspects map[mempool.Key]*suspicion // transactions, by hash
	parties  map[mempool.Key]party

	noRoom  string   // why storage takes no block for now
	pending []Commit // decided, not committed

	timestamp uint64 // of the last decided block
	applied   uint64 // execution's tip
	committed uint64 // storage's head
	block     []byte // partial hash of that
	accepted  uint64
	hashes    map[uint64][]byte
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
	m := &Machine{options: options, pool: p, now: nowMs, height: head.Height + 1, attempts: map[uint64]*attempt{},
		timestamp: head.Timestamp, applied: head.Height, committed: head.Height, block: head.Block, accepted: head.Accepted,
		hashes: map[uint64][]byte{}, down: map[ordov1.Stage]string{}, timers: map[uint64]bool{}, log: head.Log, config: head.Config}
	for height, hash := range head.Hashes {
		m.hashes[height] = hash
	}
	m.redo, m.order = head.Decided, head.Order
	m.nextRedo()
	m.advance()
	m.announce()
	return m, m.flush()
}

// Height is the height to be decided next.
func (m *Machine) Height() uint64 { return m.height }

// Settled says whether everything decided is applied, committed and has its root.
func (m *Machine) Settled() bool {
	return !m.adopt && m.applied == m.height-1 && m.committed == m.height-1 && m.accepted == m.height-1
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
	if m.broken != nil {
		return nil, m.broken
	}
	m.now = max(m.now, nowMs)
	if err := m.step(input); err != nil {
		m.broken = err
		return m.flush(), err
	}
	m.maybeAdopt()
	m.advance()
	m.announce()
	return m.flush(), nil
}

func (m *Machine) step(input Input) error {
	switch in := input.(type) {
	case Answered:
		return m.handleActions(in.Actions)
	case PoolChanged: // pump and announce look by themselves
	case BlockRequested:
		m.blockRequested = true
		if !m.draining {
			m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Demand_{Demand: &ordov1.ConsensusEvent_Demand{}}})
		}
	case Delivered:
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Message_{Message: &ordov1.ConsensusEvent_Message{From: in.From, Data: in.Data}}})
	case TimerFired:
		return m.fired(in.ID)
	case Executed:
		return m.executed(in)
	case Full:
		return m.full(in)
	case Closed:
		return m.closed(in)
	case BuildFailed:
		return m.brokeOff(in)
	case OrderPersisted:
		m.orderPersisted(in)
	case Checked:
		return m.checked(in)
	case HeaderHashed:
		return m.headerHashed(in)
	case Applied:
		if in.Height != m.applied+1 || in.Height >= m.height {
			return fmt.Errorf("pipeline: execution applied block %d: its tip was %d and block %d is not decided: restart the node", in.Height, m.applied, m.height)
		}
		m.applied = in.Height
	case Adopted:
		if !m.adopting || in.Height > m.committed {
			return fmt.Errorf("pipeline: execution adopted block %d unasked: restart the node", in.Height)
		}
		m.applied, m.adopting = in.Height, false
		m.adopt = in.Height != m.height-1
	case Committed:
		if in.Height != m.committed+1 || in.Height >= m.height {
			return fmt.Errorf("pipeline: storage committed block %d: its head was %d and block %d is not decided: restart the node", in.Height, m.committed, m.height)
		}
		m.stored()
	case NoRoom:
		m.noRoom = in.Why
	case Persisted:
		return m.persisted()
	case StageDown:
		return m.stageDown(in)
	case StageUp:
		return m.stageUp(in)
	case RootComputed:
		return m.rootComputed(in.Root)
	case Drain:
		m.draining, m.carried = true, nil
		if m.open != nil {
			m.drop(m.open)
		}
	default:
		return fmt.Errorf("pipeline: unknown input %T", input)
	}
	return nil
}

// rootComputed takes roots strictly in order; one from the past is harmless (a stream that was opened again), a hole is not.
func (m *Machine) rootComputed(rootComputed *ordov1.Root) error {
	switch {
	case rootComputed.Height <= m.accepted:
		return nil
	case rootComputed.Height != m.accepted+1:
		return fmt.Errorf("pipeline: storage: root of block %d came after that of block %d: roots must come in order", rootComputed.Height, m.accepted)
	case rootComputed.Height >= m.height:
		return fmt.Errorf("pipeline: storage: root of block %d, which is not decided", rootComputed.Height)
	}
	m.accepted = rootComputed.Height
	m.hashes[rootComputed.Height] = rootComputed.BlockHash
	delete(m.hashes, rootComputed.Height-2*hashLag)
	m.emit(Accept{rootComputed})
	return nil
}

// announce tells consensus that there is something to build from. An open attempt that takes what comes needs no telling.
func (m *Machine) announce() {
	ready := m.ready()
	switch {
	case ready == 0:
		m.announced = false
	case !m.announced && !m.draining && !m.consensusDown() && !(m.open != nil && m.open != m.carried && m.open.accepting()):
		m.announced = true
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(ready)}}})
	}
}

// ready counts what the next Build would find.
func (m *Machine) ready() int {
	n := m.pool.Ready()
	if m.carried != nil {
		n += max(1, m.carried.count())
	}
	return n
}

// consensusDown says that consensus cannot be told anything. What it must know, Start tells.
func (m *Machine) consensusDown() bool {
	return m.isDown(ordov1.Stage_STAGE_CONSENSUS) || len(m.redo) > 0 || m.seq == 0
}

func (m *Machine) isDown(stage ordov1.Stage) bool {
	_, away := m.down[stage]
	return away
}

func (m *Machine) tell(event *ordov1.ConsensusEvent) {
	if m.consensusDown() && event.GetStart() == nil {
		return
	}
	m.seq++
	event.Seq, event.NowMs = m.seq, m.now
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
	hash, known = m.hashes[m.height-hashLag]
	return hash, known
}

// why not open now: "" when nothing is in the way.
func (m *Machine) blockedReason() string {
	switch _, known := m.oldHash(); {
	case m.draining:
		return "draining"
	case m.isDown(ordov1.Stage_STAGE_EXECUTION):
		return "execution is away"
	case m.isDown(ordov1.Stage_STAGE_STORAGE):
		return "storage is away"
	case m.noRoom != "":
		return "storage has no room"
	case m.adopt:
		return fmt.Sprintf("execution has not adopted block %d", m.height-1)
	case m.applied != m.height-1:
		return fmt.Sprintf("execution has not applied block %d", m.height-1)
	case m.height-1-m.committed >= uint64(m.options.MaxCommits):
		return fmt.Sprintf("storage is %d blocks behind", m.height-1-m.committed)
	case !known:
		return fmt.Sprintf("the hash of block %d is not known", m.height-hashLag)
	}
	return ""
}
