package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

type stage string

const (
	checking  stage = "being checked"
	held      stage = "waiting to be opened"
	running   stage = "running"
	closing   stage = "closing"
	hashing   stage = "being hashed"
	done      stage = "built"
	failed    stage = "failed"
	abandoned stage = "abandoned"
)

// attempt is one try at the block of the current height.
type attempt struct {
	id    uint64 // consensus's name for it
	build uint64 // execution's, unique in the life of the machine; also its lease in the pool
	round uint32
	stage stage

	foreign bool   // somebody else's proposal
	claim   []byte // its value, as the proposer says
	pooled  bool   // takes from the pool; else from source
	source  []Item

	allowEmpty         bool
	limit              int // most transactions; 0: no limit
	deadlineMs, idleMs uint32
	timed, idleSet     bool // the deadline, the idle timer runs
	sealing            bool
	budget             int  // how many more may be taken from the pool while sealing
	cut                bool // execution takes no more

	context  *ordov1.BlockContext
	items    []Item // added, in order
	results  []*ordov1.TransactionResult
	chunks   []int // ends of the chunks that are not answered in full
	degraded bool

	// of a closed one: what is in the block
	inside  []Item
	kept    []*ordov1.TransactionResult
	diff    *ordov1.StateDiff
	classes []*ordov1.Class
	header  *ordov1.BlockHeader
}

// takes says whether whatever becomes ready in the pool will go into this attempt without more being said.
func (a *attempt) takes() bool {
	return a.pooled && !a.sealing && !a.cut && (a.stage == held || a.stage == running) && (a.limit == 0 || len(a.items) < a.limit)
}

// all are the transactions of the attempt: those added, or those that it was to add.
func (a *attempt) all() []Item {
	switch {
	case a.foreign:
		return a.source[:a.limit]
	case a.pooled:
		return a.items
	}
	return a.source
}

func (a *attempt) count() int { return len(a.all()) }

func (a *attempt) refused() (refused []pool.Refused) {
	for _, r := range a.results {
		if r.Status == ordov1.TransactionResult_REJECTED {
			refused = append(refused, pool.Refused{Hash: pool.Key(r.Hash), Refusal: r.Refusal, Why: &Rejection{r.Refusal, r.Reason}})
		}
	}
	return refused
}

// Rejection is why execution would not put a transaction in a block.
type Rejection struct {
	Refusal ordov1.Refusal
	Reason  string
}

func (r *Rejection) Error() string { return fmt.Sprintf("rejected: %s: %s", r.Refusal, r.Reason) }

// running returns the open attempt of this build while its stream is alive.
func (m *Machine) running(build uint64) *attempt {
	if a := m.open; a != nil && a.build == build && (a.stage == running || a.stage == closing) {
		return a
	}
	return nil
}

// pump does for the open attempt what can be done now.
func (m *Machine) pump() error {
	a := m.open
	if a == nil {
		return nil
	}
	if a.stage == held && m.obstacle() == "" {
		m.ready(a)
	}
	if a.stage != running {
		return nil
	}
	dry := m.feed(a)
	n := len(a.results)
	switch {
	case !a.pooled && n >= a.limit, a.pooled && a.limit > 0 && n == a.limit:
		m.close(a, a.limit)
	case a.cut:
		m.close(a, n)
	case n < len(a.items): // execution is at work
	case a.pooled && a.sealing && dry:
		m.close(a, n)
	default:
		m.idle(a)
	}
	return nil
}

// ready opens an attempt that nothing is in the way of, but not before there is something to run: the block's time is
// that of its opening, and a block that waits for its first transaction must not be as old as its parent.
func (m *Machine) ready(a *attempt) {
	if a.deadlineMs > 0 && !a.timed {
		a.timed = true
		m.emit(SetTimer{TimerID{DeadlineTimer, a.build}, a.deadlineMs})
	}
	switch some := m.pool.Ready() > 0; {
	case !a.pooled, a.sealing && (some || a.allowEmpty), some && m.options.Arrival:
		m.start(a)
	case a.sealing:
		m.fail(a, nothingToRun, true)
	default:
		m.idle(a)
	}
}

func (m *Machine) start(a *attempt) {
	old, _ := m.oldHash()
	switch {
	case a.context == nil:
		a.context = m.context(m.now)
	case a.foreign && !bytes.Equal(a.context.OldBlockHash, old):
		m.refuse(a, fmt.Sprintf("the proposal names another hash for block %d", m.height-hashLag))
		return
	}
	a.stage = running
	m.emit(Open{a.build, a.context, a.foreign})
}

const nothingToRun = "no transaction to put in the block"

// feed hands chunks to execution; dry says that there is nothing to hand over now, whatever the window.
func (m *Machine) feed(a *attempt) (dry bool) {
	if a.pooled && !m.options.Arrival && !a.sealing {
		return m.pool.Ready() == 0 // wait: who comes last may rank first
	}
	for !a.cut {
		n := m.options.Chunk
		if a.limit > 0 && !a.foreign {
			n = min(n, a.limit-len(a.items))
		}
		var chunk []Item
		if a.pooled {
			if a.sealing {
				n = min(n, a.budget)
			}
			if n <= 0 || m.pool.Ready() == 0 {
				return true
			}
			if len(a.chunks) >= m.options.Window {
				return false
			}
			taken, degraded := m.pool.Take(a.build, n)
			a.degraded = a.degraded || degraded
			a.budget -= len(taken)
			for _, e := range taken {
				chunk = append(chunk, Item{e.Tx, e.Class})
			}
		} else {
			if n = min(n, len(a.source)-len(a.items)); n <= 0 {
				return true
			}
			if len(a.chunks) >= m.options.Window {
				return false
			}
			chunk = a.source[len(a.items):][:n]
		}
		a.items = append(a.items, chunk...)
		a.chunks = append(a.chunks, len(a.items))
		if a.idleSet && m.options.Arrival {
			a.idleSet = false
			m.emit(CancelTimer{TimerID{IdleTimer, a.build}})
		}
		m.emit(Add{a.build, chunk})
	}
	return true
}

// idle starts the idle timer: with a streaming policy when everything that came has run, else when something waits. In the
// second case newcomers do not put it off, or a busy pool would keep the block open for ever.
func (m *Machine) idle(a *attempt) {
	if !a.pooled || a.idleMs == 0 || a.idleSet || a.sealing {
		return
	}
	if len(a.items) > 0 || !m.options.Arrival && m.pool.Ready() > 0 {
		a.idleSet = true
		m.emit(SetTimer{TimerID{IdleTimer, a.build}, a.idleMs})
	}
}

func (m *Machine) fired(id TimerID) error {
	if id.Kind == ConsensusTimer {
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id.ID}}})
		return nil
	}
	a := m.open
	if a == nil || a.build != id.ID || a.stage != running && a.stage != held {
		return nil
	}
	switch {
	case id.Kind == IdleTimer && a.idleSet:
		m.sealNow(a)
	case id.Kind == DeadlineTimer && a.stage == held:
		m.sealNow(a)
	case id.Kind == DeadlineTimer && !a.pooled:
		m.fail(a, "deadline passed before its transactions had run", false)
	case id.Kind == DeadlineTimer && m.options.Arrival && (len(a.results) > 0 || a.allowEmpty || len(a.items) == 0):
		m.close(a, len(a.results)) // what is still running goes back to the pool
	case id.Kind == DeadlineTimer && m.options.Arrival:
		a.sealing = true // its first transactions are slow: without them it would fail, and the next one like it
	case id.Kind == DeadlineTimer:
		m.sealNow(a)
	}
	return nil
}

func (m *Machine) executed(in Executed) error {
	a := m.running(in.Build)
	if a == nil || a.stage != running {
		return nil
	}
	first, got := int(in.Results.First), in.Results.Results
	if first != len(a.results) || first+len(got) > len(a.items) {
		return fmt.Errorf("pipeline: execution: results %d to %d of build %d, but %d of %d were expected next: the execution plugin is broken",
			first, first+len(got)-1, a.build, len(a.results), len(a.items))
	}
	for i, r := range got {
		if !bytes.Equal(r.Hash, a.items[first+i].Tx.Hash) {
			return fmt.Errorf("pipeline: execution: result %d of build %d is of transaction %x, not %x: the execution plugin is broken", first+i, a.build, r.Hash, a.items[first+i].Tx.Hash)
		}
	}
	a.results = append(a.results, got...)
	for len(a.chunks) > 0 && a.chunks[0] <= len(a.results) {
		a.chunks = a.chunks[1:]
	}
	m.emit(Progress{a.build, first, a.items[first : first+len(got)], got, in.Results.Delta})
	return nil
}

func (m *Machine) full(in Full) error {
	a := m.running(in.Build)
	if a == nil || a.stage != running {
		return nil
	}
	if int(in.N) != len(a.results) {
		return fmt.Errorf("pipeline: execution: build %d is full at %d, but %d results came: the execution plugin is broken", a.build, in.N, len(a.results))
	}
	if a.foreign && int(in.N) < a.limit {
		m.refuse(a, fmt.Sprintf("the proposal is over a limit of the block: %s", in.Why))
		return nil
	}
	a.cut = true
	return nil
}

// close ends the attempt at n. What was added beyond goes back to the pool.
func (m *Machine) close(a *attempt, n int) {
	m.cancelTimers(a)
	m.pool.Rewind(a.build, n)
	a.items, a.results = slices.Clip(a.items[:n]), slices.Clip(a.results[:n])
	a.source = a.items // who proposes it again proposes no more
	for i, r := range a.results {
		if r.Status != ordov1.TransactionResult_REJECTED {
			a.inside, a.kept = append(a.inside, a.items[i]), append(a.kept, r)
		}
	}
	if len(a.inside) == 0 && !a.allowEmpty && !a.foreign {
		// Nothing stays: what was refused here, on an untouched tip, would be refused for ever.
		if dropped := m.pool.Refuse(a.refused()); len(dropped) > 0 {
			m.emit(Leave{dropped})
		}
		m.fail(a, nothingToRun, true)
		return
	}
	a.stage = closing
	m.emit(Close{a.build, uint64(n)})
}

func (m *Machine) closed(in Closed) error {
	a := m.running(in.Build)
	if a == nil {
		return nil
	}
	if a.stage != closing || in.Closed.N != uint64(len(a.items)) {
		return fmt.Errorf("pipeline: execution: build %d closed at %d while %s with %d transactions: the execution plugin is broken", a.build, in.Closed.N, a.stage, len(a.items))
	}
	a.stage = hashing
	a.diff, a.classes = in.Closed.StateDiff, in.Closed.Classes
	if a.diff == nil {
		a.diff = &ordov1.StateDiff{}
	}
	draft := &ordov1.BlockHeader{Context: a.context, GasUsed: in.Closed.GasUsed, Round: a.round, Degraded: a.degraded}
	m.emit(Seal{a.build, draft, a.inside, a.kept, a.diff})
	return nil
}

func (m *Machine) sealed(in Sealed) error {
	a := m.open
	if a == nil || a.build != in.Build || a.stage != hashing {
		return nil
	}
	a.stage, a.header = done, in.Header
	m.open = nil
	switch {
	case !a.foreign:
		m.tellBuilt(a)
	case bytes.Equal(a.claim, a.header.PartialHash):
		m.verdict(a, true, "")
	default:
		a.stage = failed
		m.verdict(a, false, fmt.Sprintf("the proposal's value is %x, its block has %x", a.claim, a.header.PartialHash))
	}
	return nil
}

func (m *Machine) tellBuilt(a *attempt) {
	built := &ordov1.ConsensusEvent_Built{Attempt: a.id, Value: a.header.PartialHash, N: uint64(len(a.items))}
	if m.options.Proposals {
		proposal := &ordov1.Proposal{Context: a.context, N: built.N}
		for _, item := range a.items {
			proposal.Transactions = append(proposal.Transactions, item.Tx)
			if item.Class != nil {
				proposal.Classes = append(proposal.Classes, item.Class)
			}
		}
		built.Proposal, _ = proto.Marshal(proposal) // fails only on invalid UTF-8 in a string field, and those are ours
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: built}})
}

func (m *Machine) verdict(a *attempt, valid bool, reason string) {
	v := &ordov1.ConsensusEvent_Verdict{Attempt: a.id, Valid: valid, Reason: reason}
	if a.header != nil {
		v.Value = a.header.PartialHash
	}
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: v}})
}

// refuse ends a foreign proposal with a verdict.
func (m *Machine) refuse(a *attempt, reason string) {
	m.drop(a)
	a.stage = failed
	m.verdict(a, false, reason)
}

// fail ends an attempt without a value, and without a word on whether the proposal was good.
func (m *Machine) fail(a *attempt, reason string, empty bool) {
	m.drop(a)
	a.stage = failed
	m.announced = false // what it had taken is ready once more
	m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{Attempt: a.id, Reason: reason, Empty: empty}}})
}

// drop lets an attempt go; what it took from the pool stands there again where it stood.
func (m *Machine) drop(a *attempt) {
	m.cancelTimers(a)
	if a.stage == running || a.stage == closing {
		m.emit(Abort{a.build})
	}
	m.pool.Rewind(a.build, 0)
	a.stage = abandoned
	if m.open == a {
		m.open = nil
	}
}

func (m *Machine) cancelTimers(a *attempt) {
	if a.stage != running && a.stage != held {
		return
	}
	if a.timed {
		a.timed, a.deadlineMs = false, 0
		m.emit(CancelTimer{TimerID{DeadlineTimer, a.build}})
	}
	if a.idleSet {
		a.idleSet = false
		m.emit(CancelTimer{TimerID{IdleTimer, a.build}})
	}
}
