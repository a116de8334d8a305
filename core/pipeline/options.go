package pipeline

import (
	"slices"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Pool is what the machine needs of the mempool; package mempool documents each method.
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

// Options fix how a machine works; nothing changes them. Zero numbers take the default.
type Options struct {
	Capabilities Capabilities // of the plugins that serve at the start
	Chunk        int          // transactions in one Add; 128
	Replay       bool         // the proposals are blocks of a stored chain: their prices and times are what they were
	Window       int          // chunks that execution may have unanswered; 4
	MaxCommits   int          // decided blocks that storage may have unanswered; 8
	Journaled    bool         // results are shown only when OrderPersisted says that their order would survive a restart
	Network      Network      // the validators; zero: a chain of one sequencer
	Proposals    Tolerance    // what a proposer may choose
	Lazy         bool         // consensus decides the order of transactions, and what is decided is executed; else it decides blocks that have run
	ChainID      string       // part of the value of an order
	Order        OrderLimits  // of this node's own orders

	// Template is the context of a block opened now, but for number and old_block_hash. The timestamp is raised to the
	// parent's when it is below.
	Template func(nowMs uint64) *ordov1.BlockContext
}

// Capabilities are what the plugin of each stage declares that it can do, in the names of the plugin protocol.
type Capabilities map[ordov1.Stage][]string

// capabilities are those that the machine goes by: with arrival it streams transactions into the open block as they come, for
// waiting gains nothing; with proposals, Built carries what Validate takes, for consensus has peers. StageUp sets those of one stage anew.
// An engine acts unasked.
type capabilities struct{ arrival, proposals, engine bool }

func (c *capabilities) set(stage ordov1.Stage, names []string) {
	switch stage {
	case ordov1.Stage_STAGE_ORDERING:
		c.arrival = slices.Contains(names, sdk.CapArrival)
	case ordov1.Stage_STAGE_CONSENSUS:
		c.proposals = slices.Contains(names, sdk.CapNetwork)
		c.engine = slices.Contains(names, sdk.CapEngine)
	}
}

// Tolerance is how far a proposal may be from what this node would put in its block.
type Tolerance struct {
	AheadMs      uint64 // the time of the block after this node's clock; 1000 when 0
	PricePercent uint64 // L1 gas and data gas prices, of this node's, or one unit; L2 gas has one price
}

// Head is where the chain stands when the machine starts.
type Head struct {
	Height    uint64 // last block, committed and applied
	Timestamp uint64
	Block     []byte                        // partial hash of that block; nil: not known
	Accepted  uint64                        // last block whose hash is known
	Hashes    map[uint64][]byte             // hashes of at least the last ten accepted blocks
	Log       []byte                        // the data of each Persist for Height+1, in order
	State     []byte                        // the last lasting record of consensus
	Parent    *ordov1.ConsensusEvent_Parent // the block at Height; nil: it is genesis
	Config    []byte                        // JSON object for consensus

	Decided []Decided // heights after Height that were decided before a restart, in order
	Order   *Order    // what was handed to execution after those; nil: nothing
}

// Decided is a block that was decided before a restart and that storage does not have. It is built again before anything
// else happens. Where execution is lazy it is an order.
type Decided struct {
	Context     *ordov1.BlockContext
	Items       []Item
	Value       []byte // its partial hash, what it must come to again; the hash of an order
	Round       uint32
	Degraded    bool
	Certificate []byte
	FromPeer    bool   // its transactions came with another node's proposal
	Parent      []byte // of an order: the partial hash that it names for the block below
	Rest        []byte // of an order: digests of the transactions after Items, for which the block had no room
}

// Order is an attempt from before a restart that was not decided: the next Build of its height takes it over.
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
