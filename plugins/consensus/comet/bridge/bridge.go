package bridge

import (
	"crypto/sha256"
	"fmt"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Input is what happens to a Machine.
type Input interface{ input() }

type (
	// Event is the core's.
	Event struct{ *ordov1.ConsensusEvent }
	// Prepare asks for a payload to propose, of at most MaxBytes. Wanted: it may be an empty block, the operator of some node waits for one.
	Prepare struct {
		Call     uint64
		Round    uint32
		MaxBytes int
		Wanted   bool
	}
	// Process asks whether a proposal is valid.
	Process struct {
		Call    uint64
		Round   uint32
		Payload *block.Payload
		From    []byte // key of the proposer
	}
	// Finalize says what CometBFT has decided.
	Finalize struct {
		Call        uint64
		Round       uint32
		Payload     *block.Payload // nil: the block carries nothing
		From        []byte
		Certificate []byte
		Reports     []*ordov1.Action_Report
	}
	// Committed says that CometBFT has gone on to its next height.
	Committed struct{}
	// Expired says that a call waits no longer.
	Expired struct{ Call uint64 }
	// Woken says that CometBFT may have lost a bell: it is rung again.
	Woken struct{}
)

func (Event) input()     {}
func (Prepare) input()   {}
func (Process) input()   {}
func (Finalize) input()  {}
func (Committed) input() {}
func (Expired) input()   {}
func (Woken) input()     {}

// Output is what a step asks for.
type Output struct {
	Actions []*ordov1.Action
	Answer  *Answer
	Ring    Bell
	Log     []string // what an operator may want to know
}

// Bell is what all nodes are woken for.
type Bell int

const (
	NoBell    Bell = iota
	Pending        // this node has transactions
	BlockWish      // the operator of this node waits for a block, empty if need be
)

// Answer ends a call.
type Answer struct {
	Call    uint64
	Payload *block.Payload // of Prepare; nil: propose a block without payload
	Accept  bool           // of Process
}

// Options say how long an attempt of this node may stay open.
type Options struct {
	BuildMs uint32 // in all, less than CometBFT's timeout_propose
	IdleMs  uint32 // when it holds transactions and nothing came
	WaitMs  uint32 // when this node has no transactions: those that another node rang for may be on their way
}

type state int

const (
	idle state = iota
	building
	validating
	executing
	deciding
	halted
)

var names = [...]string{"idle", "building", "validating", "executing", "deciding", "halted"}

func (s state) String() string { return names[s] }

// key names what is proposed: value, body and proposer.
type key [sha256.Size]byte

func keyOf(p *block.Payload, from []byte) key {
	body := sha256.Sum256(p.Body)
	text := fmt.Appendf(nil, "%d %x %x %x", p.Height, p.Value, body, from)
	return sha256.Sum256(text)
}

// attempt is one of this height.
type attempt struct {
	number  uint64
	own     bool           // from Build
	decided bool           // of a block that CometBFT has decided
	valid   bool           // built, or found valid
	payload *block.Payload // of an own one, once it is built
	n       uint64         // its transactions
	asked   int            // how often it was proposed
}

// Timers of the core.
const timerRetry = 1

// Pauses after failures in a row: doubled from the first to the last.
const (
	firstPauseMs = 100
	lastPauseMs  = 5000
)

// proposals is how often an own payload is proposed: a round may be lost because it came too late to some, but also because others
// found it invalid, which this node is not told.
const proposals = 2

// Machine is the state machine of one Run stream.
type Machine struct {
	options Options
	self    []byte

	height  uint64 // the next of the core
	last    uint64 // number of the newest attempt
	pending uint64 // transactions that the core has for us
	demand  bool   // the operator waits for a block
	pausing bool   // timerRetry runs
	pauseMs uint32
	rung    Bell // since the last height of CometBFT
	// committing: CometBFT has an answer to FinalizeBlock and is not at its next height yet. A bell of now would be lost.
	committing bool

	state state
	call  uint64 // the open one
	limit int    // MaxBytes of the open Prepare
	round uint32 // of the open call

	open        *attempt         // the attempt that the core works on
	openKey     key              // of a validation
	openLimit   uint32           // max_transactions of the open build
	known       map[key]*attempt // what was found valid at this height
	own         *attempt         // the newest that was built at this height
	value       []byte           // deciding: of the decided block
	certificate []byte           // executing
	payload     *block.Payload   // executing
	from        []byte           // executing: key of its proposer
	out         Output
}

// New is the machine of a new stream.
func New(o Options) *Machine { return &Machine{options: o} }

// Height is the height that the core decides next.
func (m *Machine) Height() uint64 { return m.height }

// Step takes one input.
func (m *Machine) Step(in Input) Output {
	m.out = Output{}
	if m.state == halted {
		return m.out
	}
	switch in := in.(type) {
	case Event:
		m.event(in.ConsensusEvent)
	case Prepare:
		if m.begin(in.Call, in.Round) {
			m.prepare(in)
		}
	case Process:
		if m.begin(in.Call, in.Round) {
			m.process(in)
		}
	case Finalize:
		if m.begin(in.Call, in.Round) {
			m.finalize(in)
		}
	case Committed:
		m.rung, m.committing = NoBell, false
		m.ring()
	case Woken:
		m.rung = NoBell
		m.ring()
	case Expired:
		m.expired(in.Call)
	}
	return m.out
}

func (m *Machine) event(event *ordov1.ConsensusEvent) {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		m.height, m.self, m.pending = e.Start.GetHeight(), e.Start.GetSelf(), e.Start.GetPending()
		m.last = event.GetNowMs() // numbers of an instance before a restart must not come back within the height
		m.known = map[key]*attempt{}
	case *ordov1.ConsensusEvent_Ready_:
		m.pending = e.Ready.GetPending()
		m.ring()
	case *ordov1.ConsensusEvent_CreateBlock_:
		m.demand = true
		m.ring()
	case *ordov1.ConsensusEvent_Timer_:
		if e.Timer.GetId() == timerRetry && m.pausing {
			m.pausing, m.rung = false, NoBell
			m.ring()
		}
	case *ordov1.ConsensusEvent_Built_:
		m.built(e.Built)
	case *ordov1.ConsensusEvent_Failed_:
		m.failed(e.Failed)
	case *ordov1.ConsensusEvent_Verdict_:
		m.verdict(e.Verdict)
	case *ordov1.ConsensusEvent_Decided_:
		m.decided(e.Decided)
	}
}

// ring wakes CometBFT when there is a reason, and nothing is under way whose end rings anyway.
func (m *Machine) ring() {
	bell := NoBell
	switch {
	case m.demand:
		bell = BlockWish
	case m.pending > 0:
		bell = Pending
	}
	if bell > m.rung && !m.pausing && !m.committing && m.state == idle && m.height > 0 {
		m.rung, m.out.Ring = bell, bell
	}
}

// begin opens a call. CometBFT makes one at a time; a second one is a fault of the engine.
func (m *Machine) begin(call uint64, round uint32) bool {
	if m.state != idle || m.height == 0 {
		m.halt(fmt.Sprintf("a call of CometBFT came in state %s: this is a fault of the plugin comet", m.state))
		return false
	}
	m.call, m.round = call, round
	return true
}

// answer ends the open call.
func (m *Machine) answer(a Answer) {
	a.Call = m.call
	m.out.Answer = &a
	m.state, m.payload, m.certificate = idle, nil, nil
}

// expired ends a call without what it asked for. What the core does for it goes on, and is there when it is asked again.
func (m *Machine) expired(call uint64) {
	if call == m.call && (m.state == building || m.state == validating) {
		m.logf("CometBFT waits no longer for the core: state %s, height %d", m.state, m.height)
		m.answer(Answer{})
	}
}

// finalize hands over what was decided.
func (m *Machine) finalize(in Finalize) {
	for _, r := range in.Reports {
		m.act(&ordov1.Action{Action: &ordov1.Action_Report_{Report: r}})
	}
	m.committing = true
	p := in.Payload
	switch {
	case p == nil:
		m.answer(Answer{})
	case p.Height < m.height: // replayed by CometBFT after a restart
		m.answer(Answer{})
	case p.Height > m.height:
		m.halt(fmt.Sprintf("CometBFT decided block %d, and this node has none since %d: its data does not belong to that of CometBFT: restore both from one backup", p.Height, m.height-1))
	default:
		m.payload, m.certificate, m.from = p, in.Certificate, in.From
		k := keyOf(p, in.From)
		if a := m.known[k]; a != nil && a.valid {
			m.decide(a)
			return
		}
		m.state = executing
		m.validate(k, p, in.From, true)
	}
}

// decide hands the decision to the core.
func (m *Machine) decide(a *attempt) {
	m.state, m.value = deciding, m.payload.Value
	m.act(&ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: a.number, Value: m.payload.Value, Certificate: m.certificate}}})
}

func (m *Machine) decided(e *ordov1.ConsensusEvent_Decided) {
	if m.state != deciding || e.GetHeight() != m.height {
		m.halt(fmt.Sprintf("the core says that height %d is decided, and comet decides height %d itself: the node is not made for engines", e.GetHeight(), m.height))
		return
	}
	m.height, m.pending, m.demand = e.GetHeight()+1, e.GetPending(), false
	m.open, m.own, m.known, m.pauseMs = nil, nil, map[key]*attempt{}, 0
	m.answer(Answer{})
}

func (m *Machine) halt(reason string) {
	m.state = halted
	m.act(&ordov1.Action{Action: &ordov1.Action_Halt_{Halt: &ordov1.Action_Halt{Reason: reason}}})
}

func (m *Machine) act(a *ordov1.Action) { m.out.Actions = append(m.out.Actions, a) }

func (m *Machine) logf(format string, args ...any) {
	m.out.Log = append(m.out.Log, fmt.Sprintf(format, args...))
}
