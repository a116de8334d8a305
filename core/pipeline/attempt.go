package pipeline

import (
	"bytes"
	"fmt"
	"math"

	"github.com/ordo-sequencer/ordo/core/mempool"
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
	build uint64 // execution's, unique in the life of the machine: another one each time that a stream is opened for it
	lease uint64 // its first build: its name in the pool and at the timers
	round uint32
	stage stage

	foreign bool // another node's proposal
	// Its transactions are those of another node's proposal, which this node proposes again or had decided before a restart.
	// The pool may hold other ones with the same hashes, for a hash does not cover the signature: it is not touched.
	theirs bool
	claim  []byte // its value, as the proposer says
	pooled bool   // takes from the pool; else from source
	source []Item

	allowEmpty         bool
	limit              int // most transactions; 0: no limit
	deadlineMs, idleMs uint32
	timed, idleSet     bool // the deadline, the idle timer runs
	sealing            bool
	budget             int  // how many more may be taken from the pool while sealing
	cut                bool // execution takes no more
	due                bool // to be closed with what has run

	context  *ordov1.BlockContext
	items    []Item // added, in order
	results  []*ordov1.TransactionResult
	chunks   []int // ends of the chunks that are not answered in full
	degraded bool

	batches []batch // of results, as they came
	told    int     // batches that readers have seen
	shown   []*ordov1.TransactionResult
	noted   int // transactions whose order would survive
	removed int // of those handed over, no longer in it

	// of one that was interrupted
	order    []Item // what was handed over: goes first, in this order
	ahead    []Item // taken from the pool and not handed over yet: one of them is in question
	again    int    // how much of it readers know as handed over
	begun    bool   // a stream was opened for it
	paused   bool   // until the retry timer fires
	tries    int    // that broke off one after the other, without a result
	closings int    // weight of the ends of execution while it was closed
	// It broke off because something was away: whether it was execution, and one of these the cause, is not known yet.
	suspect  bool
	suspects [2]int
	redo     *Decided
	proposal *ordov1.Proposal // of a foreign one

	life uint64 // of execution, in which it was closed

	// of a closed one: what is in the block
	inside  []Item
	kept    []*ordov1.TransactionResult
	diff    *ordov1.StateDiff
	classes []*ordov1.Class
	header  *ordov1.BlockHeader
}

// accepting says whether whatever becomes ready in the pool will go into this attempt without more being said.
func (a *attempt) accepting() bool {
	return a.pooled && !a.sealing && !a.cut && (a.stage == held || a.stage == running) && (a.limit == 0 || len(a.items) < a.limit)
}

// all are the transactions of the attempt: those added, or those that it was to add.
func (a *attempt) all() []Item {
	switch {
	case a.foreign:
		return a.source[:a.limit]
	case a.pooled && len(a.order) > len(a.items):
		return a.order
	case a.pooled:
		return a.items
	}
	return a.source
}

func (a *attempt) count() int { return len(a.all()) }

// rejected are those of the pool that execution rejected.
func (a *attempt) rejected() (rejected []mempool.Rejected) {
	if a.borrowed() {
		return nil
	}
	for _, r := range a.results {
		if r.Status == ordov1.TransactionResult_REJECTED {
			rejected = append(rejected, mempool.Rejected{Hash: mempool.Key(r.Hash), Refusal: r.Refusal, Why: &Rejection{r.Refusal, r.Reason}})
		}
	}
	return rejected
}

// Rejection is why execution would not put a transaction in a block.
type Rejection struct {
	Refusal ordov1.Refusal
	Reason  string
}

func (r *Rejection) Error() string { return fmt.Sprintf("rejected: %s: %s", r.Refusal, r.Reason) }

// own says whether the order of the attempt is ours, and thus worth keeping over a restart.
func (a *attempt) own() bool { return !a.borrowed() && a.redo == nil }

// borrowed says whether the transactions came from another node and not from this node's pool.
func (a *attempt) borrowed() bool { return a.foreign || a.theirs }

// visibleLimit is how many results may be shown.
func (m *Machine) visibleLimit(a *attempt) int {
	if !m.options.Journaled || !a.own() {
		return math.MaxInt
	}
	return a.noted
}

// running returns the open attempt of this build while its stream is alive.
func (m *Machine) running(build uint64) *attempt {
	if a := m.open; a != nil && a.build == build && (a.stage == running || a.stage == closing) {
		return a
	}
	return nil
}

// advance does for the open attempt what can be done now.
func (m *Machine) advance() {
	a := m.open
	if a == nil {
		return
	}
	if a.stage == held && !a.paused && m.blockedReason() == "" {
		m.tryOpen(a)
	}
	if a.stage != running {
		return
	}
	dry := m.feed(a)
	n := len(a.results)
	switch {
	case n > m.visibleLimit(a): // what is not shown yet cannot be closed over
	case a.due && n >= len(a.shown):
		m.close(a, n)
	case !a.pooled && n >= a.limit, a.pooled && a.limit > 0 && n >= a.limit:
		m.close(a, a.limit)
	case a.cut:
		m.close(a, n)
	case n < len(a.items): // execution is at work
	case a.pooled && a.sealing && dry:
		m.close(a, n)
	default:
		m.idle(a)
	}
}

// tryOpen opens an attempt that nothing is in the way of, but not before there is something to run: the block's time is
// that of its opening, and a block that waits for its first transaction must not be as old as its parent.
func (m *Machine) tryOpen(a *attempt) {
	m.time(a)
	switch some := m.pool.Ready() > 0 || len(a.order) > 0; {
	case !a.pooled, a.sealing && (some || a.allowEmpty), some && m.options.Arrival:
		m.openBuild(a)
	case a.sealing:
		m.fail(a, nothingToRun, true)
	default:
		m.idle(a)
	}
}

// time starts the deadline.
func (m *Machine) time(a *attempt) {
	if a.deadlineMs > 0 && !a.timed {
		a.timed = true
		m.emit(SetTimer{TimerID{DeadlineTimer, a.lease}, a.deadlineMs})
	}
}

func (m *Machine) openBuild(a *attempt) {
	old, _ := m.oldHash()
	switch {
	case a.context == nil:
		a.context = m.context(m.now)
	case a.foreign && !bytes.Equal(a.context.OldBlockHash, old):
		m.rejectProposal(a, fmt.Sprintf("the proposal names another hash for block %d", m.height-hashLag))
		return
	}
	open := Open{Build: a.build, Context: a.context, Validate: a.foreign || a.redo != nil, Own: a.own(), Hidden: a.borrowed()}
	if a.begun {
		m.builds++
		open.Build, open.Resumes, a.build = m.builds, a.build, m.builds
	} else if a.pooled {
		open.Order, open.Degraded, a.noted = a.order, a.degraded, len(a.order)
	}
	a.stage, a.begun = running, true
	m.emit(open)
}

const nothingToRun = "no transaction to put in the block"

// feed hands chunks to execution; dry says that there is nothing to hand over now, whatever the window.
func (m *Machine) feed(a *attempt) (dry bool) {
	for !a.cut && (!a.due || len(a.items) < len(a.shown)) {
		n, window := m.options.Chunk, m.options.Window
		if a.limit > 0 && !a.foreign {
			n = min(n, a.limit-len(a.items))
		}
		again := min(n, a.again-len(a.items))
		var chunk []Item
		switch {
		case a.pooled && len(a.items) < len(a.order):
			if n <= 0 {
				return true
			}
			if len(a.chunks) >= window {
				return false
			}
			chunk = a.order[len(a.items):][:min(n, len(a.order)-len(a.items))]
		case len(a.ahead) > 0:
			if n <= 0 {
				return true
			}
			if len(a.chunks) >= window {
				return false
			}
			chunk = a.ahead[:min(n, len(a.ahead))]
		case a.pooled:
			if !m.options.Arrival && !a.sealing {
				return m.pool.Ready() == 0 // wait: who comes last may rank first
			}
			if a.sealing {
				n = min(n, a.budget)
			}
			if n <= 0 || m.pool.Ready() == 0 {
				return true
			}
			if len(a.chunks) >= window {
				return false
			}
			taken, degraded := m.pool.Take(a.lease, n)
			a.degraded = a.degraded || degraded
			a.budget -= len(taken)
			for _, e := range taken {
				chunk = append(chunk, Item{e.Tx, e.Class})
			}
			a.ahead = chunk
		default:
			if n = min(n, len(a.source)-len(a.items)); n <= 0 {
				return true
			}
			if len(a.chunks) >= window {
				return false
			}
			chunk = a.source[len(a.items):][:n]
		}
		if chunk = m.isolate(a, chunk); len(chunk) == 0 {
			return false
		}
		if len(a.ahead) > 0 {
			a.ahead = a.ahead[len(chunk):]
		}
		a.items = append(a.items, chunk...)
		a.chunks = append(a.chunks, len(a.items))
		if a.idleSet && m.options.Arrival {
			a.idleSet = false
			m.emit(CancelTimer{TimerID{IdleTimer, a.lease}})
		}
		m.emit(Add{a.build, chunk, min(len(chunk), max(0, again)), a.degraded})
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
		m.emit(SetTimer{TimerID{IdleTimer, a.lease}, a.idleMs})
	}
}

func (m *Machine) fired(id TimerID) error {
	if id.Kind == ConsensusTimer {
		delete(m.timers, id.ID)
		m.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: &ordov1.ConsensusEvent_Timer{Id: id.ID}}})
		return nil
	}
	a := m.open
	if a == nil || a.lease != id.ID || a.stage != running && a.stage != held {
		return nil
	}
	switch {
	case id.Kind == RetryTimer:
		a.paused = false
	case id.Kind == IdleTimer && a.idleSet:
		m.sealNow(a)
	case id.Kind == DeadlineTimer && a.stage == held:
		m.sealNow(a)
	case id.Kind == DeadlineTimer && !a.pooled:
		m.fail(a, "deadline passed before its transactions had run", false)
	case id.Kind == DeadlineTimer && m.options.Arrival && (len(a.results) > 0 || a.allowEmpty || len(a.items) == 0):
		a.due = true // what is still running goes back to the pool
	case id.Kind == DeadlineTimer && m.options.Arrival:
		a.sealing = true // its first transactions are slow: without them it would fail, and the next one like it
	case id.Kind == DeadlineTimer:
		m.sealNow(a)
	}
	return nil
}
