// Package pipeline moves each block through the stages: it turns what consensus wants (build, seal, validate, decide) into
// work for execution and storage, and what they answer into events for consensus.
//
// Machine is a pure state machine: no I/O, no clock, no goroutine. The driver feeds it one Input at a time, with the time,
// and carries out the Commands that come back, in order. Work is asynchronous: a command that starts some (Apply, Commit,
// a build) is answered by a later input, whenever it is done.
//
// The duties of the driver:
//  1. Give every input to Step, one after the other, and carry out the commands of a step before those of the next.
//     Commands to the same receiver keep their order.
//  2. Fire a timer with TimerFired once, unless it was set again or cancelled before; a late one does no harm.
//  3. Stop the node when Step returns an error: a stage broke the contract, and going on would fork or corrupt the chain.
//
// What the machine keeps for sure: at most one build is open; a block is opened only on an applied tip, only when the
// hash of the block ten below is known, and only while storage is at most MaxCommits blocks behind. Transactions that an
// attempt took from the pool go back in their order unless that attempt is decided.
package pipeline

import (
	"github.com/ordo-sequencer/ordo/core/pool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Pool is what the machine needs of the pool; package pool documents each method.
type Pool interface {
	Take(lease uint64, n int) (taken []*pool.Entry, degraded bool)
	Lease(lease uint64, hashes []pool.Key)
	Rewind(lease uint64, keep int)
	Settle(height uint64, included []pool.Key, refused []pool.Refused, nonces map[pool.Key]uint64) []pool.Dropped
	Refuse(refused []pool.Refused) []pool.Dropped
	Ready() int
	Waiting() int
}

// Options fix how a machine works. Zero numbers take the default.
type Options struct {
	Arrival    bool // the ordering policy gains nothing by waiting: stream into the open block as transactions come
	Proposals  bool // consensus has peers: Built carries what Validate takes
	Chunk      int  // transactions in one Add; 128
	Replay     bool // the proposals are blocks of a stored chain: their prices and times are what they were
	Window     int  // chunks that execution may have unanswered; 4
	MaxCommits int  // decided blocks that storage may have unanswered; 8

	// Template is the context of a block opened now, but for number and old_block_hash. The timestamp is raised to the
	// parent's when it is below.
	Template func(nowMs uint64) *ordov1.BlockContext
}

// Head is where the chain stands when the machine starts.
type Head struct {
	Height    uint64 // last block, committed and applied
	Timestamp uint64
	Rooted    uint64            // last block whose hash is known
	Hashes    map[uint64][]byte // hashes of at least the last ten rooted blocks
	Log       []byte            // what consensus persisted for Height+1
	Config    []byte            // JSON object for consensus
}

// Item is a transaction in an attempt, with the class that a DECLARE brings.
type Item struct {
	Tx    *ordov1.Transaction
	Class *ordov1.Class
}

// ---- inputs ----

// Input is one of the types below.
type Input interface{ input() }

type (
	// Answered is what consensus did about an event.
	Answered struct{ Actions *ordov1.Actions }
	// PoolChanged: a transaction became ready, perhaps.
	PoolChanged struct{}
	// Demanded: the operator wants a block now.
	Demanded struct{}
	// TimerFired: a timer of SetTimer is due.
	TimerFired struct{ ID TimerID }
	// Executed, Full and Closed come from the stream of a build; BuildFailed when it broke.
	Executed struct {
		Build   uint64
		Results *ordov1.BuildResponse_Results
	}
	Full struct {
		Build uint64
		N     uint64
		Why   string
	}
	Closed struct {
		Build  uint64
		Closed *ordov1.BuildResponse_Closed
	}
	BuildFailed struct {
		Build uint64
		Why   string
	}
	// Checked answers Check: the proposal's classes, compiled here, or why it is invalid.
	Checked struct {
		Build   uint64
		Classes map[pool.Key]*ordov1.Class // by class hash
		Invalid string
	}
	// Sealed answers Seal: the header with commitments and partial hash.
	Sealed struct {
		Build  uint64
		Header *ordov1.BlockHeader
	}
	// Applied, Committed and Rooted: execution's tip moved, storage has the block, its root and hash are known.
	Applied   struct{ Height uint64 }
	Committed struct{ Height uint64 }
	Rooted    struct{ Root *ordov1.Root }
	// Delivered is a message of another node for consensus.
	Delivered struct {
		From string
		Data []byte
	}
	// Drain: open no block any more; what is decided still goes its way.
	Drain struct{}
)

func (Answered) input()    {}
func (PoolChanged) input() {}
func (Demanded) input()    {}
func (TimerFired) input()  {}
func (Executed) input()    {}
func (Full) input()        {}
func (Closed) input()      {}
func (BuildFailed) input() {}
func (Checked) input()     {}
func (Sealed) input()      {}
func (Applied) input()     {}
func (Committed) input()   {}
func (Rooted) input()      {}
func (Delivered) input()   {}
func (Drain) input()       {}

// ---- commands ----

// Command is one of the types below.
type Command interface{ command() }

// TimerID names a timer: one of consensus (ID), or the deadline or idle timer of a build (ID is the build).
type TimerID struct {
	Kind TimerKind
	ID   uint64
}

// TimerKind says whose timer it is.
type TimerKind string

// Kinds of timers.
const (
	ConsensusTimer TimerKind = "consensus"
	DeadlineTimer  TimerKind = "deadline"
	IdleTimer      TimerKind = "idle"
)

type (
	// Tell sends an event to consensus.
	Tell struct{ Event *ordov1.ConsensusEvent }
	// Open, Add, Close and Abort drive the stream of a build. Abort may also come after Close: cancel the stream.
	Open struct {
		Build    uint64
		Context  *ordov1.BlockContext
		Validate bool
	}
	Add struct {
		Build uint64
		Items []Item
	}
	Close struct {
		Build uint64
		N     uint64
	}
	Abort struct{ Build uint64 }
	// Progress shows results with their transactions to whoever follows the open block. First counts from 0.
	Progress struct {
		Build   uint64
		First   int
		Items   []Item
		Results []*ordov1.TransactionResult
		Delta   *ordov1.StateDiff
	}
	// Check wants the hashes of a foreign proposal recomputed and its classes compiled; Checked answers.
	Check struct {
		Build    uint64
		Proposal *ordov1.Proposal
	}
	// Seal wants the header of a closed build; Sealed answers. Items holds only what is in the block.
	Seal struct {
		Build   uint64
		Draft   *ordov1.BlockHeader // context, gas, round, degraded
		Items   []Item
		Results []*ordov1.TransactionResult
		Diff    *ordov1.StateDiff
	}
	// Apply makes a decided build execution's tip; Applied answers.
	Apply struct {
		Height uint64
		Build  uint64
	}
	// Commit hands a decided block to storage; Committed answers.
	Commit struct {
		Height      uint64
		Header      *ordov1.BlockHeader
		Items       []Item
		Results     []*ordov1.TransactionResult
		Diff        *ordov1.StateDiff
		Classes     []*ordov1.Class
		Certificate []byte
	}
	// Leave tells of transactions that left the pool without a block.
	Leave struct{ Dropped []pool.Dropped }
	// Accept: the block of the root is accepted.
	Accept struct{ Root *ordov1.Root }
	// SetTimer (again: replace) and CancelTimer.
	SetTimer struct {
		ID      TimerID
		AfterMs uint32
	}
	CancelTimer struct{ ID TimerID }
	// Send and Persist are consensus's own.
	Send struct {
		To   string
		Data []byte
	}
	Persist struct{ Data []byte }
)

func (Tell) command()        {}
func (Open) command()        {}
func (Add) command()         {}
func (Close) command()       {}
func (Abort) command()       {}
func (Progress) command()    {}
func (Check) command()       {}
func (Seal) command()        {}
func (Apply) command()       {}
func (Commit) command()      {}
func (Leave) command()       {}
func (Accept) command()      {}
func (SetTimer) command()    {}
func (CancelTimer) command() {}
func (Send) command()        {}
func (Persist) command()     {}
