package pipeline

import (
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Input is one of the types below.
type Input interface{ input() }

type (
	// Answered is what consensus did about an event.
	Answered struct{ Actions *ordov1.Actions }
	// PoolChanged says that a transaction may have become ready.
	PoolChanged struct{}
	// BlockRequested says that the operator wants a block now.
	BlockRequested struct{}
	// TimerFired says that a timer of SetTimer is due.
	TimerFired struct{ ID TimerID }
	// Executed, Full and Closed come from the stream of a build; BuildFailed says that it broke. Away says that something that
	// execution needs was not there, so that no transaction is to blame.
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
		Away  bool
	}
	// OrderPersisted says that the order of the first N transactions of a build would survive the end of this process.
	OrderPersisted struct {
		Build uint64
		N     int
	}
	// Fetched answers Fetch; an empty body: no peer has it.
	Fetched struct {
		Build uint64
		Body  []byte
	}
	// Learned is a block that other nodes decided: its hashes and classes are checked. Proven: and its certificate was found valid.
	Learned struct {
		Height uint64
		Proven bool
		Decided
	}
	// Checked answers Check: the proposal's classes, compiled here, or why it is invalid.
	Checked struct {
		Build   uint64
		Classes map[mempool.Key]*ordov1.Class // by class hash
		Invalid string
	}
	// HeaderHashed answers HashHeader: the header with commitments and partial hash.
	HeaderHashed struct {
		Build  uint64
		Header *ordov1.BlockHeader
	}
	// Applied, Committed and RootComputed say that execution's tip moved, that storage has the block, and that its root and hash are known.
	Applied      struct{ Height uint64 }
	Adopted      struct{ Height uint64 } // answers Adopt
	Committed    struct{ Height uint64 }
	RootComputed struct{ Root *ordov1.Root }
	// Delivered is a message of another node for consensus.
	Delivered struct {
		From []byte // key
		Data []byte
	}
	// DecisionRecorded answers RecordDecision: the decision is durable.
	DecisionRecorded struct{ Height uint64 }
	// Persisted answers Persist: the bytes are durable.
	Persisted struct{}
	// NoRoom says that storage cannot take the block for now; the driver asks again.
	NoRoom struct{ Why string }
	// StageDown says that the process of a stage has ended, with all that it was asked. Shared: calls of clients were in flight beside what
	// the machine had asked of it. Forced: the process did not fail by itself, it was ended from outside.
	StageDown struct {
		Stage  ordov1.Stage
		Why    string
		Shared bool
		Forced bool
	}
	// StageUp says that another process serves the stage, with its capabilities. Head and Block are storage's: the last block it holds, and its partial hash.
	StageUp struct {
		Stage        ordov1.Stage
		Capabilities []string
		Head         uint64
		Block        []byte
	}
	// Drain asks to open no block any more; what is decided is still applied, committed and accepted.
	Drain struct{}
)

func (Answered) input()         {}
func (PoolChanged) input()      {}
func (BlockRequested) input()   {}
func (TimerFired) input()       {}
func (Executed) input()         {}
func (Full) input()             {}
func (Closed) input()           {}
func (BuildFailed) input()      {}
func (Checked) input()          {}
func (HeaderHashed) input()     {}
func (Applied) input()          {}
func (Committed) input()        {}
func (RootComputed) input()     {}
func (Delivered) input()        {}
func (OrderPersisted) input()   {}
func (Adopted) input()          {}
func (Persisted) input()        {}
func (NoRoom) input()           {}
func (StageDown) input()        {}
func (StageUp) input()          {}
func (Drain) input()            {}
func (Fetched) input()          {}
func (Learned) input()          {}
func (DecisionRecorded) input() {}
