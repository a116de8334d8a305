package node

import (
	"context"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// heights is an observer that keeps when this node saw its newest blocks decided, and passes everything on.
type heights struct {
	driver.Observer
	now func() time.Time

	mu     sync.Mutex
	newest []decidedHeight // the oldest first
}

// keptHeights is how many blocks are kept at least, and half of those that are kept at most.
const keptHeights = 4096

// decidedHeight is a block with the moment at which readers of this node could see it decided.
type decidedHeight struct {
	Height       uint64    `json:"height"`
	At           time.Time `json:"at"`
	Sequencer    string    `json:"sequencer"` // address that the block pays: its proposer's
	Transactions int       `json:"transactions"`
}

func newHeights(inner driver.Observer) *heights { return &heights{Observer: inner, now: time.Now} }

// Decided implements driver.Observer.
func (h *heights) Decided(b *chainview.Block) {
	one := decidedHeight{Height: b.Context.GetNumber(), At: h.now(), Sequencer: felt.Reduce(b.Context.GetSequencer()).Hex(), Transactions: len(b.Transactions)}
	h.mu.Lock()
	if len(h.newest) >= 2*keptHeights {
		h.newest = h.newest[:copy(h.newest, h.newest[len(h.newest)-keptHeights:])]
	}
	h.newest = append(h.newest, one)
	h.mu.Unlock()
	h.Observer.Decided(b)
}

// list is the newest of them, at most so many.
func (h *heights) list(count int) []decidedHeight {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]decidedHeight{}, h.newest[len(h.newest)-min(count, len(h.newest)):]...)
}

// counting is how long a plugin may take to tell its counters: what asks for them shows them to people.
const counting = 300 * time.Millisecond

// counters are what a plugin has counted; nil: it does not tell.
func counters(ctx context.Context, p *host.Plugin) map[string]uint64 {
	ctx, cancel := context.WithTimeout(ctx, counting)
	defer cancel()
	all, err := p.Counters(ctx)
	if err != nil {
		return nil
	}
	return all
}

// roundCounter is the counter by which an engine tells the round of the height that it works at: it sees rounds in which it asks the core for nothing.
const roundCounter = "round"

// round is the round of the height to be decided.
func (n *Node) round(ctx context.Context) uint64 {
	for _, s := range n.sup.StageStatuses() {
		if s.Stage != ordov1.Stage_STAGE_CONSENSUS || s.State != host.Up {
			continue
		}
		if told, ok := counters(ctx, s.Plugin)[roundCounter]; ok {
			return told
		}
	}
	return uint64(n.driver.Round())
}
