// Package printer prints what happens on a development node: a line for each transaction and each block.
//
// The lines are made beside the path of the blocks: Printer copies the few facts that a line needs into a bounded queue, and a
// goroutine of its own writes them. Above a rate at which lines cannot be read, transactions are counted instead: see Rate.
package printer

import (
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const (
	// Rate is how many transactions a second get a line of their own for long. Those beyond are counted in the line of their block.
	Rate = 100
	// Burst is how many may come at once.
	Burst = 1000
	// reserve is the part of Burst that is kept for transactions that failed.
	reserve = Burst / 4
	// waitingMost is how many lines may wait to be made.
	waitingMost = 8192
	// rejectedMost is how many rejected transactions of the open block are remembered.
	rejectedMost = 8192
	// batch is about how many bytes are written together.
	batch = 16 << 10
	// pace is the least time between two writes: what comes within it is written together.
	pace = 20 * time.Millisecond
)

// Options are where the lines go.
type Options struct {
	To     io.Writer // takes whole lines and must not block for long
	Colour bool
	Clock  func() time.Time // nil: time.Now
}

// Printer is an observer of the chain that prints. Make one with New.
type Printer struct {
	options Options

	mu       sync.Mutex
	tokens   float64 // transactions that may still have a line
	refilled time.Time
	shown    []chainview.Key        // transactions of the open block that were told
	unshown  tally                  // of the open block, without a line of their own
	rejected map[chainview.Key]bool // told when they ran; they leave the pool with the decision of their block
	waiting  []line
	dropped  int // lines that did not fit into waiting
	closed   bool

	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
}

var _ driver.Observer = (*Printer)(nil)

// New makes a printer and starts the goroutine that writes them.
func New(o Options) *Printer {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	p := &Printer{options: o, tokens: Burst, refilled: o.Clock(), rejected: map[chainview.Key]bool{}, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// Preconfirmed implements driver.Observer.
func (p *Printer) Preconfirmed(height uint64, txs []*ordov1.Transaction, results []*ordov1.TransactionResult) {
	now := p.options.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ran(now, height, txs, results)
}

// ran tells of transactions of the open block.
func (p *Printer) ran(now time.Time, height uint64, txs []*ordov1.Transaction, results []*ordov1.TransactionResult) {
	p.refill(now)
	for i, tx := range txs {
		r := results[i]
		in := height
		if r.Status == ordov1.TransactionResult_REJECTED {
			if in = noBlock; len(p.rejected) < rejectedMost {
				p.rejected[word(tx.Hash)] = true
			}
		} else {
			p.shown = append(p.shown, word(tx.Hash))
		}
		if !p.take(r.Status != ordov1.TransactionResult_SUCCEEDED) {
			p.unshown.add(r.Status)
			continue
		}
		p.put(line{at: now, kind: ofTransaction, height: in, tx: factsOf(tx, r)})
	}
}

// Reset implements driver.Observer.
func (p *Printer) Reset(height uint64) {
	now := p.options.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.shown) > 0 {
		p.put(line{at: now, kind: ofReset, height: height, transactions: len(p.shown)})
	}
	p.shown, p.unshown = p.shown[:0], tally{}
	clear(p.rejected)
}

// Decided implements driver.Observer.
func (p *Printer) Decided(b *chainview.Block) {
	now := p.options.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	told := 0
	for told < len(p.shown) && told < len(b.Transactions) && p.shown[told] == word(b.Transactions[told].Hash) {
		told++
	}
	if out := len(p.shown) - told; out > 0 {
		p.put(line{at: now, kind: ofReset, height: b.Context.Number, transactions: out})
	}
	// The rest of a block of a peer, or of one that was under way when the node was started.
	p.ran(now, b.Context.Number, b.Transactions[told:], b.Results[told:])
	if p.unshown != (tally{}) {
		p.put(line{at: now, kind: ofUnshown, height: b.Context.Number, unshown: p.unshown})
	}
	p.shown, p.unshown = p.shown[:0], tally{}
}

// Accepted implements driver.Observer.
func (p *Printer) Accepted(h *ordov1.BlockHeader) {
	now := p.options.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(line{at: now, kind: ofBlock, height: h.Context.Number, transactions: int(h.TransactionCount),
		timestamp: h.Context.Timestamp, root: word(h.StateRoot), hash: word(h.Hash), degraded: h.Degraded})
}

// Dropped implements driver.Observer.
func (p *Printer) Dropped(tx *ordov1.Transaction, why error) {
	now := p.options.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if hash := word(tx.Hash); p.rejected[hash] {
		delete(p.rejected, hash)
		return
	}
	p.refill(now)
	if !p.take(true) {
		p.dropped++
		return
	}
	f := factsOf(tx, nil)
	f.status, f.reason = "DROPPED", excerpt(why.Error())
	if rejection := (*pipeline.Rejection)(nil); errors.As(why, &rejection) {
		f.status, f.reason = "REJECTED", rejected(rejection.Code, rejection.Reason)
	}
	p.put(line{at: now, kind: ofTransaction, height: noBlock, tx: f})
}

// Close writes what waits and ends. What comes later is dropped.
func (p *Printer) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
		close(p.wake)
	}
	p.mu.Unlock()
	<-p.done
}

func (p *Printer) refill(now time.Time) {
	if passed := now.Sub(p.refilled).Seconds(); passed > 0 {
		p.tokens = min(Burst, p.tokens+passed*Rate)
		p.refilled = now
	}
}

// take says whether one more transaction gets a line.
func (p *Printer) take(failed bool) bool {
	least := 1.0
	if !failed {
		least += reserve
	}
	if p.tokens < least {
		return false
	}
	p.tokens--
	return true
}

func (p *Printer) put(one line) {
	if p.closed {
		return
	}
	if len(p.waiting) >= waitingMost {
		p.dropped++
		return
	}
	if p.dropped > 0 {
		p.waiting = append(p.waiting, line{at: one.at, kind: ofLoss, transactions: p.dropped})
		p.dropped = 0
	}
	p.waiting = append(p.waiting, one)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run writes what waits.
func (p *Printer) run() {
	defer close(p.done)
	var spare []line
	for open := true; open; {
		_, open = <-p.wake
		p.mu.Lock()
		lines := p.waiting
		if !open && p.dropped > 0 {
			lines = append(lines, line{at: p.options.Clock(), kind: ofLoss, transactions: p.dropped})
			p.dropped = 0
		}
		p.waiting = spare[:0]
		p.mu.Unlock()
		p.write(lines)
		clear(lines)
		if spare = lines; cap(spare) > Burst {
			spare = nil
		}
		rest := time.NewTimer(pace)
		select {
		case <-rest.C:
		case <-p.closing:
			rest.Stop()
		}
	}
}

func (p *Printer) write(lines []line) {
	var text []byte
	for i := range lines {
		text = lines[i].append(text, paint(p.options.Colour))
		if len(text) >= batch || i == len(lines)-1 {
			_, _ = p.options.To.Write(text)
			text = text[:0]
		}
	}
}

// tally counts transactions without a line of their own.
type tally struct{ succeeded, reverted, rejected int }

func (t *tally) add(status ordov1.TransactionResult_Status) {
	switch status {
	case ordov1.TransactionResult_REVERTED:
		t.reverted++
	case ordov1.TransactionResult_REJECTED:
		t.rejected++
	default:
		t.succeeded++
	}
}

// facts are what a line says of a transaction. They hold nothing of the messages that they were taken from.
type facts struct {
	kind                 ordov1.TransactionType
	hash, sender, class  chainview.Key
	status, reason       string
	fee                  [16]byte
	l1Gas, l1Data, l2Gas uint64
}

func factsOf(tx *ordov1.Transaction, r *ordov1.TransactionResult) facts {
	f := facts{kind: tx.Type, hash: word(tx.Hash), sender: word(tx.Sender)}
	if tx.Type == ordov1.TransactionType_DECLARE {
		f.class = word(tx.ClassHash)
	}
	if r != nil {
		f.status, f.reason = r.Status.String(), excerpt(r.Reason)
		if r.Status == ordov1.TransactionResult_REJECTED {
			f.reason = rejected(r.Rejection, r.Reason)
		}
		if len(r.ActualFee) <= len(f.fee) {
			copy(f.fee[len(f.fee)-len(r.ActualFee):], r.ActualFee)
		}
		f.l1Gas, f.l1Data, f.l2Gas = r.Gas.GetL1Gas(), r.Gas.GetL1DataGas(), r.Gas.GetL2Gas()
	}
	return f
}

func rejected(code ordov1.RejectionCode, reason string) string {
	return excerpt(code.String() + ": " + reason)
}

func word(b []byte) (k chainview.Key) {
	if len(b) == len(k) {
		k = chainview.Key(b)
	}
	return k
}

// The parts of a reason that are shown: a trace of calls says at its end what happened.
const reasonHead, reasonTail = 120, 400

// excerpt shortens a text that may be long, and keeps nothing of the rest in memory.
func excerpt(reason string) string {
	if len(reason) <= reasonHead+reasonTail {
		return strings.Clone(reason)
	}
	return reason[:reasonHead] + " ... " + reason[len(reason)-reasonTail:]
}
