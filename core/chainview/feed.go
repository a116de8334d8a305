package chainview

import (
	"context"
	"errors"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Change is one thing that readers see from now on. Nothing of it may be changed.
type Change struct {
	Seq  uint64 // of the chain's changes; the first is 1
	What What

	Height  uint64
	Txs     []*ordov1.Transaction
	Results []*ordov1.TransactionResult // of PreConfirmedNow, by transaction; of DecidedNow and AcceptedNow, of the whole block
	First   int                         // PreConfirmedNow: place of the first transaction in its block
	Fresh   []int                       // DecidedNow: places of the transactions that were not pre-confirmed in this block before
	Header  *ordov1.BlockHeader         // AcceptedNow: with root and hash
}

// What is the kind of a change.
type What uint8

// The kinds of changes.
const (
	ReceivedNow     What = iota + 1 // transactions were admitted
	CandidatesNow                   // transactions were handed to execution
	PreConfirmedNow                 // the next transactions of the open block have results
	WaitingAgain                    // transactions are back in the pool
	OpenDropped                     // the open block was dropped; its transactions come with WaitingAgain
	DecidedNow                      // a block is decided
	AcceptedNow                     // the oldest decided block has its root and hash
)

// Start is where a feed begins: all that comes after it is in the feed, nothing else.
type Start struct {
	Seq     uint64
	Latest  *ordov1.BlockHeader // nil before genesis
	Decided []*Block            // without a root, by number
	Open    *Block              // with the transactions that have results only; nil without one
}

// ErrFeedBehind ends a feed whose reader fell behind.
var ErrFeedBehind = errors.New("chainview: the reader of the feed is too far behind the chain")

// feedKept is how many transactions the changes may have that a feed keeps for its reader: it holds them in memory, and the
// chain never waits for it.
const feedKept = 1 << 17

// Feed is the changes of a chain for one reader.
type Feed struct {
	chain *Chain

	mu      sync.Mutex
	changes []Change
	kept    int
	err     error
	ready   chan struct{} // capacity 1
}

// Follow opens a feed. Close it.
func (c *Chain) Follow() (Start, *Feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &Feed{chain: c, ready: make(chan struct{}, 1)}
	if c.feeds == nil {
		c.feeds = map[*Feed]struct{}{}
	}
	c.feeds[f] = struct{}{}
	start := Start{Seq: c.seq, Latest: c.latest, Decided: c.decided[:len(c.decided):len(c.decided)]}
	if o := c.open; o != nil {
		n := len(o.results)
		start.Open = &Block{Context: o.context, Transactions: o.txs[:n:n], Results: o.results[:n:n]}
	}
	return start, f
}

// StatusAt is Status together with the last change that it knows.
func (c *Chain) StatusAt(hash Key) (Record, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.records.get(hash); r != nil {
		return *r, c.seq
	}
	return Record{}, c.seq
}

// Seq is the last change that readers of feeds will see of what happened up to now.
func (c *Chain) Seq() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.seq
}

// tell passes a change on to the feeds; without any it costs nothing. The lock is held.
func (c *Chain) tell(change Change) {
	if len(c.feeds) == 0 {
		return
	}
	c.seq++
	change.Seq = c.seq
	for f := range c.feeds {
		f.add(change)
	}
}

func (f *Feed) add(change Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	size := 1 + len(change.Txs)
	if f.kept > 0 && f.kept+size > feedKept {
		f.changes, f.kept, f.err = nil, 0, ErrFeedBehind
	} else {
		f.changes = append(f.changes, change)
		f.kept += size
	}
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// Take waits for the next changes and returns all that are there, in order. The error is ErrFeedBehind or the context's.
func (f *Feed) Take(ctx context.Context) ([]Change, error) {
	for {
		f.mu.Lock()
		changes, err := f.changes, f.err
		f.changes, f.kept = nil, 0
		f.mu.Unlock()
		if len(changes) > 0 || err != nil {
			return changes, err
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the feed.
func (f *Feed) Close() {
	f.chain.mu.Lock()
	defer f.chain.mu.Unlock()
	delete(f.chain.feeds, f)
}
