package pipeline

import (
	"bytes"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// hashLag is the protocol's: block N writes the hash of N-hashLag into its state.
const hashLag = 10

// Machine is the state of the pipeline. Make one with New.
type Machine struct {
	options Options
	pool    Pool
	now     uint64
	out     []Command
	broken  error

	height    uint64 // the one to be decided
	attempts  map[uint64]*attempt
	open      *attempt // checking, held, running, closing or sealing; nil when none is
	builds    uint64   // last build id given out
	announced bool     // consensus knows that the pool holds something
	draining  bool

	seq      uint64 // of the last event
	answered uint64 // last event that consensus answered

	timestamp uint64 // of the last decided block
	applied   uint64 // execution's tip
	committed uint64 // storage's head
	rooted    uint64
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
		timestamp: head.Timestamp, applied: head.Height, committed: head.Height, rooted: head.Rooted, hashes: map[uint64][]byte{}}
	for height, hash := range head.Hashes {
		m.hashes[height] = hash
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{
		Height: m.height, Log: head.Log, Config: head.Config, Pending: uint64(p.Ready())}}})
	m.announce()
	return m, m.flush()
}

// Height is the height to be decided next.
func (m *Machine) Height() uint64 { return m.height }

// Settled says whether everything decided is applied, committed and has its root.
func (m *Machine) Settled() bool {
	return m.applied == m.height-1 && m.committed == m.height-1 && m.rooted == m.height-1
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
	if err := m.pump(); err != nil {
		m.broken = err
		return m.flush(), err
	}
	m.announce()
	return m.flush(), nil
}

func (m *Machine) step(input Input) error {
	switch in := input.(type) {
	case Answered:
		return m.answer(in.Actions)
	case PoolChanged: // pump and announce look by themselves
	case Demanded:
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
		if a := m.running(in.Build); a != nil {
			m.fail(a, in.Why, false)
		}
	case Checked:
		return m.checked(in)
	case Sealed:
		return m.sealed(in)
	case Applied:
		if in.Height != m.applied+1 || in.Height >= m.height {
			return fmt.Errorf("pipeline: execution applied block %d: its tip was %d and block %d is not decided: restart the node", in.Height, m.applied, m.height)
		}
		m.applied = in.Height
	case Committed:
		if in.Height != m.committed+1 || in.Height >= m.height {
			return fmt.Errorf("pipeline: storage committed block %d: its head was %d and block %d is not decided: restart the node", in.Height, m.committed, m.height)
		}
		m.committed = in.Height
	case Rooted:
		return m.root(in.Root)
	case Drain:
		m.draining = true
		if m.open != nil {
			m.drop(m.open)
		}
	default:
		return fmt.Errorf("pipeline: unknown input %T", input)
	}
	return nil
}

// root takes roots strictly in order; one from the past is harmless (a stream that was opened again), a hole is not.
func (m *Machine) root(root *ordov1.Root) error {
	switch {
	case root.Height <= m.rooted:
		return nil
	case root.Height != m.rooted+1:
		return fmt.Errorf("pipeline: storage: root of block %d came after that of block %d: roots must come in order", root.Height, m.rooted)
	case root.Height >= m.height:
		return fmt.Errorf("pipeline: storage: root of block %d, which is not decided", root.Height)
	}
	m.rooted = root.Height
	m.hashes[root.Height] = root.BlockHash
	delete(m.hashes, root.Height-2*hashLag)
	m.emit(Accept{root})
	return nil
}

// announce tells consensus that there is something to build from. An open attempt that takes what comes needs no telling.
func (m *Machine) announce() {
	ready := m.pool.Ready()
	switch {
	case ready == 0:
		m.announced = false
	case !m.announced && !m.draining && !(m.open != nil && m.open.takes()):
		m.announced = true
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(ready)}}})
	}
}

func (m *Machine) tell(event *ordov1.ConsensusEvent) {
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
func (m *Machine) obstacle() string {
	switch _, known := m.oldHash(); {
	case m.draining:
		return "draining"
	case m.applied != m.height-1:
		return fmt.Sprintf("execution has not applied block %d", m.height-1)
	case m.height-1-m.committed >= uint64(m.options.MaxCommits):
		return fmt.Sprintf("storage is %d blocks behind", m.height-1-m.committed)
	case !known:
		return fmt.Sprintf("the hash of block %d is not known", m.height-hashLag)
	}
	return ""
}

// ---- decide ----

func (m *Machine) decide(d *ordov1.Action_Decide) error {
	a := m.attempts[d.Attempt]
	switch {
	case a == nil:
		return fmt.Errorf("pipeline: consensus: decide: height %d has no attempt %d: the consensus plugin is broken", m.height, d.Attempt)
	case a.stage != done:
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d is %s, neither built nor found valid: the consensus plugin is broken", d.Attempt, m.height, a.stage)
	case !bytes.Equal(a.header.PartialHash, d.Value):
		return fmt.Errorf("pipeline: consensus: decide: attempt %d of height %d has value %x, not %x: the consensus plugin is broken", d.Attempt, m.height, a.header.PartialHash, d.Value)
	}
	if m.open != nil {
		m.drop(m.open)
	}
	var included []pool.Key
	for _, item := range a.inside {
		included = append(included, pool.Key(item.Tx.Hash))
	}
	nonces, err := nonces(a.diff)
	if err != nil {
		return err
	}
	if dropped := m.pool.Settle(m.height, included, a.refused(), nonces); len(dropped) > 0 {
		m.emit(Leave{dropped})
	}
	m.emit(Apply{m.height, a.build})
	m.emit(Commit{Height: m.height, Header: a.header, Items: a.inside, Results: a.kept, Diff: a.diff, Classes: a.classes, Certificate: d.Certificate})

	decided := &ordov1.ConsensusEvent_Decided{Height: m.height, Value: d.Value, Pending: uint64(m.pool.Ready())}
	m.timestamp = a.context.Timestamp
	m.height++
	m.attempts, m.open = map[uint64]*attempt{}, nil
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: decided}})
	m.announced = false
	return nil
}

// nonces reads the (address, nonce) pairs of a diff.
func nonces(diff *ordov1.StateDiff) (map[pool.Key]uint64, error) {
	const pair = 64
	if len(diff.GetNonces())%pair != 0 {
		return nil, fmt.Errorf("pipeline: execution: state diff: nonces: %d bytes are not pairs of felts", len(diff.GetNonces()))
	}
	moved := make(map[pool.Key]uint64, len(diff.GetNonces())/pair)
	for b := diff.GetNonces(); len(b) > 0; b = b[pair:] {
		n, ok := pool.Nonce(b[32:pair])
		if !ok {
			return nil, fmt.Errorf("pipeline: execution: state diff: nonce of %x is out of range", b[:32])
		}
		moved[pool.Key(b[:32])] = n
	}
	return moved, nil
}
