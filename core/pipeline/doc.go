// Package pipeline moves each block through the stages: a pure state machine between consensus, execution and storage.
// It turns what consensus wants (build, seal, validate, decide) into work for execution and storage, and what they answer into
// events for consensus.
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
//  4. When a process is gone, see to it that none of its answers is still on its way, then give Lost; when another serves
//     the stage, Back. What the machine had asked of the old one it asks again.
//  5. With Options.Journaled, make the order of what Open and Add hand over durable and say so with Noted, for results of
//     anything else are not shown.
//
// What the machine keeps for sure: at most one build is open; a block is opened only on an applied tip, only when the
// hash of the block ten below is known, and only while storage is at most MaxCommits blocks behind. Transactions that an
// attempt took from the pool go back in their order unless that attempt is decided. What Progress has shown of an attempt
// that consensus does not abandon is in its block, in the same order, whichever process is lost meanwhile.
package pipeline

import (
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Pool is what the machine needs of the pool; package pool documents each method.
type Pool interface {
	Take(lease uint64, n int) (taken []*mempool.Entry, degraded bool)
	Lease(lease uint64, hashes []mempool.Key) []mempool.Key
	Rewind(lease uint64, keep int)
	CommitBlock(height uint64, included []mempool.Key, refused []mempool.Rejected, nonces map[mempool.Key]uint64) []mempool.Dropped
	Reject(refused []mempool.Rejected) []mempool.Dropped
	Get(hash mempool.Key) *mempool.Entry
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
	Journaled  bool // results are shown only when Noted says that their order would survive

	// Template is the context of a block opened now, but for number and old_block_hash. The timestamp is raised to the
	// parent's when it is below.
	Template func(nowMs uint64) *ordov1.BlockContext
}

// Head is where the chain stands when the machine starts.
type Head struct {
	Height    uint64 // last block, committed and applied
	Timestamp uint64
	Block     []byte            // partial hash of that block; nil: not known
	Accepted  uint64            // last block whose hash is known
	Hashes    map[uint64][]byte // hashes of at least the last ten rooted blocks
	Log       []byte            // what consensus persisted for Height+1
	Config    []byte            // JSON object for consensus

	Decided []Decided // heights after Height that were decided before a restart, in order
	Order   *Order    // what was handed to execution after those; nil: nothing
}

// Decided is a block that was decided before a restart and that storage does not have. It is built again before anything
// else happens.
type Decided struct {
	Context     *ordov1.BlockContext
	Items       []Item
	Value       []byte // its partial hash: what it must come to again
	Round       uint32
	Degraded    bool
	Certificate []byte
	FromPeer    bool // its transactions came with another node's proposal
}

// Order is an attempt of a life before a restart, not decided: the next Build of its height takes it over.
type Order struct {
	Context  *ordov1.BlockContext
	Items    []Item
	Degraded bool
}

// Item is a transaction in an attempt, with the class that a DECLARE brings.
type Item struct {
	Tx    *ordov1.Transaction
	Class *ordov1.Class
}
