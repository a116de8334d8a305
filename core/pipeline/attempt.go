package pipeline

import (
	"fmt"
	"math"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// attempt is one try at the block of the current height.
type attempt struct {
	id    uint64 // consensus's name for it
	build uint64 // execution's, unique in one run of the machine: another one each time that a stream is opened for it
	lease uint64 // its first build: its name in the pool and at the timers
	round uint32
	// publish says that the body goes to the peers when the attempt is built; independent of the state.
	publish bool

	state  state // changed in states.go
	source source
	intake intake
	timers timers

	context *ordov1.BlockContext
	order   []Item // known beforehand: handed over first, in this order
	items   []Item // handed to the open stream
	results []*ordov1.TransactionResult
	chunks  []int // ends of the chunks that are not answered in full
	// degraded says that some transactions were not ranked by the policy. It is a fact for the header, independent of the state.
	degraded bool

	readers readers
	resume  resume
	block   *block // of a closed attempt; nil before
	agreed  []byte // value of an attempt whose order is proposed; nil: it is a block
}

// timers are those of an attempt that were set and not cancelled; the retry timer runs while the attempt is paused. They are two
// independent booleans: each of the timers runs or not.
type timers struct {
	deadline, idle bool
	deadlineMs     uint32 // of the deadline, which is set when the attempt could be opened; 0: none, or it was set
	idleMs         uint32 // of the idle timer; 0: none
}

// readers is what clients that follow the open block have seen of an attempt, and what they may see.
type readers struct {
	batches []batch // of results, as they came
	told    int     // batches that were shown
	shown   []*ordov1.TransactionResult
	durable int // transactions whose order would survive a restart
	removed int // transactions that were handed over and are not in the attempt any more: the driver still counts them
}

// batch are results that came together, with what they changed.
type batch struct {
	first, end int
	delta      *ordov1.StateDiff
}

// resume is what an attempt that was interrupted needs when it goes on.
type resume struct {
	handed      int  // how much of the order readers know as handed over
	tries       int  // streams that broke one after the other, without a result
	closings    int  // weight of the ends of execution while the attempt was closed
	unexplained span // handed over and not answered when something was away: whether one of these was the cause is not known yet
}

// span is a range of transactions of an attempt, from low to below up.
type span struct{ low, up int }

func (s span) empty() bool { return s.low >= s.up }

// block is what a closed attempt came to.
type block struct {
	items    []Item // those that are in the block: rejected ones are not
	results  []*ordov1.TransactionResult
	diff     *ordov1.StateDiff
	classes  []*ordov1.Class
	instance uint64 // of execution, in which it was closed
	header   *ordov1.BlockHeader
}

// value is what consensus decides of a built attempt.
func (a *attempt) value() []byte {
	switch {
	case a.agreed != nil:
		return a.agreed
	case a.block != nil && a.block.header != nil:
		return a.block.header.PartialHash
	}
	return nil
}

// accepting says whether what becomes ready in the pool will go into this attempt without more being said.
func (a *attempt) accepting() bool {
	p := a.fromPool()
	return p != nil && a.intake.kind == unsealed && (a.state.waiting() || a.state == running) && (p.limit == 0 || len(a.items) < p.limit)
}

// all are the transactions of the attempt: those handed over, or those that it was to hand over.
func (a *attempt) all() []Item {
	if p := a.fromPeer(); p != nil {
		return a.order[:p.n]
	}
	if a.fromPool() != nil && len(a.order) <= len(a.items) {
		return a.items
	}
	return a.order
}

// given are the transactions that the attempt hands to execution, all of them. A peer's proposal may list more than are in its block.
func (a *attempt) given() []Item {
	if a.fromPeer() != nil {
		return a.order
	}
	return a.all()
}

// rejected are those of the pool that execution rejected.
func (a *attempt) rejected() (rejected []mempool.Rejected) {
	if a.source.borrowed() {
		return nil
	}
	for _, r := range a.results {
		if isRejected(r) {
			rejected = append(rejected, mempool.Rejected{Hash: mempool.Key(r.Hash), Code: r.Rejection, Why: &Rejection{r.Rejection, r.Reason}})
		}
	}
	return rejected
}

func isRejected(r *ordov1.TransactionResult) bool {
	return r.Status == ordov1.TransactionResult_REJECTED
}

// Rejection is why execution would not put a transaction in a block.
type Rejection struct {
	Code   ordov1.RejectionCode
	Reason string
}

func (r *Rejection) Error() string { return fmt.Sprintf("rejected: %s: %s", r.Code, r.Reason) }

// visibleLimit is how many results may be shown.
func (m *Machine) visibleLimit(a *attempt) int {
	if !m.options.Journaled || !a.source.own() {
		return math.MaxInt
	}
	return a.readers.durable
}

// streamOf returns the open attempt of this build while its stream is open.
func (m *Machine) streamOf(build uint64) *attempt {
	if a := m.open; a != nil && a.build == build && (a.state.streaming() || a.state == closing) {
		return a
	}
	return nil
}

// setDeadline starts the deadline.
func (m *Machine) setDeadline(a *attempt) {
	if a.timers.deadlineMs > 0 && !a.timers.deadline {
		m.emit(SetTimer{TimerID{DeadlineTimer, a.lease}, a.timers.deadlineMs})
		a.timers.deadline, a.timers.deadlineMs = true, 0
	}
}

func (m *Machine) cancelTimers(a *attempt) {
	if !a.state.waiting() && !a.state.streaming() {
		return
	}
	if a.timers.deadline {
		a.timers.deadline = false
		m.emit(CancelTimer{TimerID{DeadlineTimer, a.lease}})
	}
	if a.timers.idle {
		a.timers.idle = false
		m.emit(CancelTimer{TimerID{IdleTimer, a.lease}})
	}
	if a.state == paused {
		m.becomeUnpaused(a)
		m.emit(CancelTimer{TimerID{RetryTimer, a.lease}})
	}
}
