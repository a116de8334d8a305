// Package chainview is what readers see of the chain beyond storage: decided blocks, the open block with its results, statuses of
// transactions.
//
// The driver writes, from one goroutine; any goroutine reads. A Snapshot is one consistent look that never changes: it shares
// what it can with its successors, so taking one is cheap.
package chainview

import (
	"context"
	"slices"
	"sync"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Key is a hash, an address or a storage key.
type Key = felt.Key

// Block is a decided block without a root, or the open one.
type Block struct {
	Context *ordov1.BlockContext
	Header  *ordov1.BlockHeader // nil while the block is open
	// Transactions of the block. In the open block those without a result yet come last, without a place of their own.
	Transactions []*ordov1.Transaction
	Results      []*ordov1.TransactionResult

	classes []*ordov1.Class
	layers  []*layer
	diff    func() *ordov1.StateDiff
}

// Diff is what the block changed; of the open one, so far.
func (b *Block) Diff() *ordov1.StateDiff { return b.diff() }

// Chain is the present. Make one with New.
type Chain struct {
	template func() *ordov1.BlockContext

	mu       sync.RWMutex
	latest   *ordov1.BlockHeader
	decided  []*Block // after latest
	open     *open
	head     *ordov1.BlockContext // of the last decided block
	hashes   map[uint64][]byte
	view     *Snapshot     // of this moment, nil when something changed since
	changed  chan struct{} // closed at the next change
	watched  bool          // a reader was given changed
	records  records
	watches  map[Key]*watch
	feeds    map[*Feed]struct{}
	seq      uint64  // of the last change that a feed got
	executed *uint64 // height of execution's tip; nil: it has none, or it is not reported
	followed bool    // executed is reported
}

// open is the block being built.
type open struct {
	build   uint64
	context *ordov1.BlockContext
	// Those with a result, then the candidates. Views share the array, so that a look at a large block costs no copy: it
	// only grows, and is copied when a rejected transaction leaves it.
	txs      []*ordov1.Transaction
	results  []*ordov1.TransactionResult
	rejected []*ordov1.Transaction
	classes  map[Key]*ordov1.Class // that candidates declare
	deltas   []*ordov1.StateDiff
	layers   []*layer
}

func (o *open) candidates() []*ordov1.Transaction { return o.txs[len(o.results):] }

// New returns an empty chain. template gives the context of a block opened now, but for number, time and old hash.
func New(template func() *ordov1.BlockContext) *Chain {
	return &Chain{template: template, hashes: map[uint64][]byte{}, changed: make(chan struct{}),
		records: newRecords(), watches: map[Key]*watch{}}
}

// Start sets what storage holds: the last block with a root (nil: none), hashes of the last blocks with one, and the
// blocks after it.
func (c *Chain) Start(latest *ordov1.BlockHeader, hashes map[uint64][]byte, decided []*Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest, c.decided, c.open = latest, decided, nil
	for height, hash := range hashes {
		c.hashes[height] = hash
	}
	if latest != nil {
		c.head = latest.Context
	}
	if len(decided) > 0 {
		c.head = decided[len(decided)-1].Context
	}
	c.touch()
}

// NewBlock makes a decided block of its parts.
func NewBlock(header *ordov1.BlockHeader, txs []*ordov1.Transaction, results []*ordov1.TransactionResult, diff *ordov1.StateDiff, classes []*ordov1.Class) *Block {
	l := newLayer(diff)
	for _, class := range classes {
		put(&l.classes, Key(class.Hash), class)
	}
	return &Block{Context: header.Context, Header: header, Transactions: txs, Results: results, classes: classes,
		layers: []*layer{l}, diff: func() *ordov1.StateDiff { return diff }}
}

// Classes are those that a decided block declares.
func (b *Block) Classes() []*ordov1.Class { return b.classes }

// touch drops the cached snapshot and wakes the readers that wait for a change. The lock is held.
func (c *Chain) touch() {
	c.view = nil
	c.wake()
}

// wake tells the readers that wait for a change, if there are any: most changes have none. The lock is held.
func (c *Chain) wake() {
	if c.watched {
		c.watched = false
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// Changed is closed at the next change. Take it before looking.
func (c *Chain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched = true
	return c.changed
}

// Executed: execution has the state after the block of this height.
func (c *Chain) Executed(height uint64) { c.execution(&height) }

// Unexecuted: execution was lost. The next one has no state before Executed.
func (c *Chain) Unexecuted() { c.execution(nil) }

func (c *Chain) execution(height *uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.executed, c.followed = height, true
	close(c.changed)
	c.changed = make(chan struct{})
}

// Behind says that execution lacks a decided block: what it answers is of a time before what clients may have seen.
func (c *Chain) Behind() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.followed && (c.executed == nil || c.head != nil && *c.executed < c.head.Number)
}

// CatchUp waits until execution is not behind.
func (c *Chain) CatchUp(ctx context.Context) error {
	return c.Await(ctx, func() bool { return !c.Behind() })
}

// Latest is the header of the last block whose root is known, whole; nil before genesis.
func (c *Chain) Latest() *ordov1.BlockHeader {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.latest
}

// Next is the context of the open block, or of the block that would be opened now.
func (c *Chain) Next() *ordov1.BlockContext {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.next()
}

func (c *Chain) next() *ordov1.BlockContext {
	if c.open != nil {
		return c.open.context
	}
	next := c.template()
	if c.head != nil {
		next.Number = c.head.Number + 1
		next.Timestamp = max(next.Timestamp, c.head.Timestamp)
	}
	if next.Number >= starknet.BlockHashLag {
		next.OldBlockHash = c.hashes[next.Number-starknet.BlockHashLag]
	}
	return next
}

// ---- what the node tells ----

// Received: a transaction was admitted.
func (c *Chain) Received(tx *ordov1.Transaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(tx, Record{Status: Received, Tx: tx})
	if len(c.feeds) > 0 {
		c.tell(Change{What: ReceivedNow, Txs: []*ordov1.Transaction{tx}})
	}
	c.wake()
}

// Open: a block is being built.
func (c *Chain) Open(build uint64, context *ordov1.BlockContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
	c.open = &open{build: build, context: context, classes: map[Key]*ordov1.Class{}}
	c.touch()
}

// Resume: the open block is built anew, by another build. What was shown of it holds.
func (c *Chain) Resume(build, next uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil && c.open.build == build {
		c.open.build = next
	}
}

// DropCandidates: some of the candidates are not in the build any more.
func (c *Chain) DropCandidates(build uint64, txs []*ordov1.Transaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.open
	if o == nil || o.build != build {
		return
	}
	out := make(map[Key]bool, len(txs))
	for _, tx := range txs {
		out[Key(tx.Hash)] = true
	}
	shown := len(o.results)
	o.txs = append(slices.Clone(o.txs[:shown]), slices.DeleteFunc(slices.Clone(o.txs[shown:]), func(tx *ordov1.Transaction) bool { return out[Key(tx.Hash)] })...)
	c.receivedAgain(txs)
	c.touch()
}

// Candidates: transactions were handed to execution.
func (c *Chain) Candidates(build uint64, txs []*ordov1.Transaction, classes []*ordov1.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil || c.open.build != build {
		return
	}
	for _, tx := range txs {
		c.set(tx, Record{Status: Candidate, Tx: tx, Height: c.open.context.Number})
	}
	for _, class := range classes {
		c.open.classes[Key(class.Hash)] = class
	}
	c.open.txs = append(c.open.txs, txs...)
	c.tell(Change{What: CandidatesNow, Height: c.open.context.Number, Txs: txs})
	c.touch()
}

// Preconfirm: the first of the candidates have results. It returns them with the number of their block; none when the build is not
// that of the open block.
func (c *Chain) Preconfirm(build uint64, results []*ordov1.TransactionResult, delta *ordov1.StateDiff) (height uint64, ran []*ordov1.Transaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.open
	if o == nil || o.build != build || len(results) > len(o.candidates()) {
		return 0, nil
	}
	ran = slices.Clip(o.candidates()[:len(results)])
	changes := newLayer(delta)
	rejected, shown := len(o.rejected), len(o.results)
	for i, tx := range o.candidates()[:len(results)] {
		r := results[i]
		if r.Status == ordov1.TransactionResult_REJECTED {
			o.rejected = append(o.rejected, tx) // a candidate until the block is decided, then it is dropped with its reason
			c.set(tx, Record{Status: Candidate, Tx: tx, Height: o.context.Number, Rejected: r})
			continue
		}
		o.results = append(o.results, r)
		c.set(tx, Record{Status: PreConfirmed, Tx: tx, Height: o.context.Number, Result: r})
		if class := o.classes[key(tx.ClassHash)]; class != nil && tx.Type == ordov1.TransactionType_DECLARE {
			put(&changes.classes, key(tx.ClassHash), class)
		}
	}
	if out := o.rejected[rejected:]; len(out) > 0 {
		gone := func(tx *ordov1.Transaction) bool { return slices.Contains(out, tx) }
		o.txs = slices.DeleteFunc(slices.Clone(o.txs), gone)
	}
	if n := len(o.results); n > shown {
		c.tell(Change{What: PreConfirmedNow, Height: o.context.Number, First: shown, Txs: o.txs[shown:n:n], Results: o.results[shown:n:n]})
	}
	if delta != nil {
		o.deltas = append(o.deltas, delta)
	}
	o.layers = push(o.layers, changes)
	c.touch()
	return o.context.Number, ran
}

// ResetPreconfirmed: the build was dropped; its transactions wait again. It returns the number of its block, if that was the open one.
func (c *Chain) ResetPreconfirmed(build uint64) (height uint64, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil || c.open.build != build {
		return 0, false
	}
	height = c.open.context.Number
	c.reset()
	c.touch()
	return height, true
}

// Closed: the build takes no more; what has no result goes back.
func (c *Chain) Closed(build uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil && c.open.build == build && len(c.open.candidates()) > 0 {
		c.receivedAgain(c.open.candidates())
		c.open.txs = slices.Clip(c.open.txs[:len(c.open.results)])
		c.touch()
	}
}

func (c *Chain) reset() {
	if c.open != nil {
		c.tell(Change{What: OpenDropped, Height: c.open.context.Number})
		c.receivedAgain(c.open.txs)
		c.receivedAgain(c.open.rejected)
		c.open = nil
	}
}

// receivedAgain: these wait in the pool once more, unless they left it meanwhile.
func (c *Chain) receivedAgain(txs []*ordov1.Transaction) {
	var back []*ordov1.Transaction
	for _, tx := range txs {
		if r := c.records.get(Key(tx.Hash)); r != nil && (r.Status == Candidate || r.Status == PreConfirmed) {
			c.set(tx, Record{Status: Received, Tx: tx})
			if len(c.feeds) > 0 {
				back = append(back, tx)
			}
		}
	}
	if len(back) > 0 {
		c.tell(Change{What: WaitingAgain, Txs: back})
	}
}

// Decide: a block is decided.
func (c *Chain) Decide(block *Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decided = append(slices.Clip(c.decided), block)
	c.head = block.Context
	inside := make(map[Key]bool, len(block.Transactions))
	var fresh []int
	for i, tx := range block.Transactions {
		inside[Key(tx.Hash)] = true
		if r := c.records.get(Key(tx.Hash)); len(c.feeds) > 0 && (r == nil || r.Status != PreConfirmed || r.Height != block.Context.Number) {
			fresh = append(fresh, i)
		}
		c.set(tx, Record{Status: PreConfirmed, Tx: tx, Height: block.Context.Number, Result: block.Results[i]})
	}
	if o := c.open; o != nil {
		within := func(tx *ordov1.Transaction) bool { return inside[Key(tx.Hash)] }
		c.receivedAgain(slices.DeleteFunc(slices.Concat(o.txs, o.rejected), within))
		c.open = nil
	}
	c.tell(Change{What: DecidedNow, Height: block.Context.Number, Txs: block.Transactions, Results: block.Results, Fresh: fresh})
	c.touch()
}

// Accept: the oldest decided block has its root and hash; header is whole.
func (c *Chain) Accept(header *ordov1.BlockHeader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.decided) == 0 || c.decided[0].Context.Number != header.Context.Number {
		return
	}
	block := c.decided[0]
	c.decided = c.decided[1:]
	c.latest = header
	c.hashes[header.Context.Number] = header.Hash
	delete(c.hashes, header.Context.Number-2*starknet.BlockHashLag)
	for i, tx := range block.Transactions {
		c.set(tx, Record{Status: Accepted, Tx: tx, Height: header.Context.Number, Result: block.Results[i]})
	}
	c.tell(Change{What: AcceptedNow, Height: header.Context.Number, Header: header, Txs: block.Transactions, Results: block.Results})
	c.touch()
}

// Unaccepted returns the decided block of a height that has no root yet; nil when there is none.
func (c *Chain) Unaccepted(height uint64) *Block {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.decided {
		if b.Context.Number == height {
			return b
		}
	}
	return nil
}

// Drop: a transaction left without a block.
func (c *Chain) Drop(hash Key, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Record{Status: Dropped, Why: why}
	tx := &ordov1.Transaction{Hash: hash[:]}
	if old := c.records.get(hash); old != nil && old.Tx != nil {
		r.Tx, tx = old.Tx, old.Tx
	}
	c.set(tx, r)
	c.touch()
}

func key(b []byte) (k Key) {
	if len(b) == len(k) {
		k = Key(b)
	}
	return k
}
