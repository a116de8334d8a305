package pipeline

import (
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Command is one of the types below.
type Command interface{ command() }

// TimerID names a timer: one of consensus (ID), or one of an attempt (ID is its first build).
type TimerID struct {
	Kind TimerKind
	ID   uint64
}

// TimerKind says what a timer is for.
type TimerKind string

// Kinds of timers.
const (
	ConsensusTimer TimerKind = "consensus"
	DeadlineTimer  TimerKind = "deadline"
	IdleTimer      TimerKind = "idle"
	RetryTimer     TimerKind = "retry"
)

type (
	// Tell sends an event to consensus.
	Tell struct{ Event *ordov1.ConsensusEvent }
	// Open, Add, Close and Abort drive the stream of a build. Abort may also come when the stream has ended: cancel what is
	// left of it, and what was shown of it holds no more.
	Open struct {
		Build    uint64
		Context  *ordov1.BlockContext
		Validate bool
		Resumes  uint64 // the build that this one carries on: what was shown of that still holds; 0: none
		Order    []Item // what will be handed over first, known from before a restart
		Own      bool   // this node chose the order: it is worth keeping
		Hidden   bool   // of another node's proposal: not shown, because it is not verified
		Degraded bool   // some of Order were not ranked by the policy
	}
	Add struct {
		Build uint64
		Items []Item
		Again int // the first so many were handed over before, to a build that this one carries on
		// Some of this attempt were not ranked by the policy: worth keeping with its order.
		Degraded bool
	}
	Close struct {
		Build uint64
		N     uint64
	}
	Abort struct{ Build uint64 }
	// Preconfirm shows results with their transactions to clients that follow the open block. First counts from 0.
	Preconfirm struct {
		Build   uint64
		First   int
		Items   []Item
		Results []*ordov1.TransactionResult
		Delta   *ordov1.StateDiff
	}
	// ResetPreconfirmed takes back all that was shown of a build: another stream came to other results, or to fewer. Items are
	// what was handed over. Preconfirm follows from the first on.
	ResetPreconfirmed struct {
		Build   uint64
		Context *ordov1.BlockContext
		Items   []Item
	}
	// DropCandidates names transactions that were handed over, have no result, and are not in the build any more.
	DropCandidates struct {
		Build uint64
		Items []Item
	}
	// Check wants the hashes of a peer's proposal recomputed and its classes compiled; Checked answers.
	Check struct {
		Build    uint64
		Proposal *ordov1.Proposal
	}
	// HashHeader wants the header of a closed build; HeaderHashed answers. Items holds only what is in the block.
	HashHeader struct {
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
	// Adopt makes what storage holds at a height the tip of a new execution; Adopted answers.
	Adopt struct{ Height uint64 }
	// FollowRoots opens the stream of roots of a new storage.
	FollowRoots struct{ From uint64 }
	// Commit hands a decided block to storage; Committed answers. Again: to a new process of storage, a block that
	// readers know already.
	Commit struct {
		Again       bool
		Own         bool // its transactions came from the pool
		Height      uint64
		Header      *ordov1.BlockHeader
		Items       []Item
		Results     []*ordov1.TransactionResult
		Diff        *ordov1.StateDiff
		Classes     []*ordov1.Class
		Certificate []byte
		Order       *Outcome // of a decided order; nil: a block was decided
	}
	// RecordDecision makes a decided order durable before it is executed; DecisionRecorded answers.
	RecordDecision struct {
		Height uint64
		Decided
	}
	// Stored says that storage has the block durably.
	Stored struct {
		Height uint64
		Value  []byte
		Items  []Item
	}
	// SuspectStage asks for a restart of a stage that answers but makes no progress.
	SuspectStage struct {
		Stage ordov1.Stage
		Why   string
	}
	// CulpritFound says that the transaction that ended a stage is found and dropped, or that the search for it has narrowed. The ends
	// that it took are not to be counted as failures of the stage's process.
	CulpritFound struct{ Stage ordov1.Stage }
	// ReportDropped names transactions that left the pool without a block.
	ReportDropped struct{ Dropped []mempool.Dropped }
	// Accept says that the block of the root is accepted.
	Accept struct{ Root *ordov1.Root }
	// SetTimer starts a timer, or replaces one that runs; CancelTimer stops it.
	SetTimer struct {
		ID      TimerID
		AfterMs uint32
	}
	CancelTimer struct{ ID TimerID }
	// Send and Persist are what consensus wants sent to a peer and made durable; Persisted answers the second, of which one is under way at a time.
	Send struct {
		To   []byte // key; empty: all other validators
		Data []byte
	}
	Persist struct {
		Height  uint64
		Data    []byte
		Lasting bool // replaces the last lasting one, and outlives heights; else kept for the height, after what is there
	}
	// Publish sends the body of a proposal to the peers. They know it by its value.
	Publish struct {
		Height uint64
		Round  uint32
		Value  []byte
		Body   []byte
	}
	// Keep serves the body of a value to the peers, and to Fetch, until its height is decided.
	Keep struct {
		Height uint64
		Value  []byte
		Body   []byte
	}
	// Fetch wants the body of a value, from the proposer or any peer; Fetched answers.
	Fetch struct {
		Build uint64
		Value []byte
		From  []byte
	}
	// Unlearned says that a learned block that no certificate proves came to another value here: the node that it came from is wrong.
	Unlearned struct {
		Height uint64
		Why    string
	}
	// Report is what consensus found a validator to have done; RefuseSignature tells that consensus wanted a second thing signed in the
	// place of a first.
	Report struct {
		Kind  string
		About []byte
		Data  []byte
	}
	RefuseSignature struct {
		Height      uint64
		Kind, Round uint32
	}
)

func (Tell) command()              {}
func (RecordDecision) command()    {}
func (Open) command()              {}
func (Add) command()               {}
func (Close) command()             {}
func (Abort) command()             {}
func (Preconfirm) command()        {}
func (Check) command()             {}
func (HashHeader) command()        {}
func (Apply) command()             {}
func (Commit) command()            {}
func (ReportDropped) command()     {}
func (Accept) command()            {}
func (SetTimer) command()          {}
func (CancelTimer) command()       {}
func (Send) command()              {}
func (Persist) command()           {}
func (ResetPreconfirmed) command() {}
func (DropCandidates) command()    {}
func (Adopt) command()             {}
func (FollowRoots) command()       {}
func (Stored) command()            {}
func (SuspectStage) command()      {}
func (CulpritFound) command()      {}
func (Publish) command()           {}
func (Fetch) command()             {}
func (Keep) command()              {}
func (Report) command()            {}
func (Unlearned) command()         {}
func (RefuseSignature) command()   {}
