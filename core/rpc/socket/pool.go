package socket

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// Limits bound the connections of a Pool.
type Limits struct {
	Most     int           // open ones
	Queue    int64         // bytes that wait for one of them; what one change of the chain brings is taken together
	Waiting  int64         // bytes that wait for all of them
	Messages int           // of one connection that run at a time
	Idle     time.Duration // without a sign of the client, after which it is pinged, and then cut off
	Send     func(bytes int) time.Duration
	// Cut reports that a client was cut off. It must not block.
	Cut func(c *Conn, why Why)
}

// Why is the reason for which a client was cut off; it is also the name in the metrics.
type Why string

// The reasons.
const (
	SlowReader Why = "slow_reader"    // its queue is full
	NoMemory   Why = "no_memory"      // the queues of all clients are full, and it has more than a little waiting
	NoProgress Why = "no_progress"    // it did not take what was sent to it in time
	NoPong     Why = "no_pong"        // it did not answer a ping
	Displaced  Why = "displaced"      // a client of an address with fewer connections needs its place
	Behind     Why = "node_is_behind" // the node could not follow its own chain
)

// little is what may wait for any connection when the queues of all are full.
const little = 64 << 10

// Pool is all open connections.
type Pool struct {
	limits Limits

	mu       sync.Mutex
	conns    map[*Conn]struct{}
	from     map[netip.Prefix]int
	closing  bool
	cut      map[Why]uint64
	refused  uint64
	share    limiter.Share // of the memory for answers
	granted  atomic.Int64  // what the share holds, and waiting may use
	waiting  atomic.Int64
	sendings sync.WaitGroup
	turns    chan struct{} // of the writers
}

// A block wakes the writers of all subscribers at the same moment. So few of them work at a time that the goroutines of the block path never
// wait behind a thousand; one that waits for its client gives its turn back soon. While little waits, the next turn begins after a rest as
// long as the last one was: what a block tells a thousand subscribers then takes half of a processor and not all of it.
const (
	writersAtATime = 1
	longestTurn    = time.Millisecond
	littleWaits    = 16 << 20 // bytes, of all connections
)

// turn waits for a writer's turn.
func (p *Pool) turn() (over func()) {
	p.turns <- struct{}{}
	began := time.Now()
	give := sync.OnceFunc(func() { <-p.turns })
	late := time.AfterFunc(longestTurn, give)
	return func() {
		if took := time.Since(began); took < longestTurn && p.waiting.Load() < littleWaits {
			late.Reset(took)
			return
		}
		late.Stop()
		give()
	}
}

// New makes a pool. What waits for its connections is taken from a budget, which answers share.
func New(l Limits, budget *limiter.Budget) *Pool {
	return &Pool{limits: l, conns: map[*Conn]struct{}{}, from: map[netip.Prefix]int{}, cut: map[Why]uint64{}, turns: make(chan struct{}, writersAtATime), share: budget.Share(&limiter.Holder{})}
}

// ErrFull is the error of a client for which there is no place.
var ErrFull = errors.New("busy: no socket is free (limits.sockets): try again later")

// ErrClosing is the error of a client that comes while the node stops.
var ErrClosing = errors.New("the node is shutting down")

// enter gives a connection its place. When there is none, the address that has most gives one up to an address that has fewer.
func (p *Pool) enter(c *Conn) error {
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return ErrClosing
	}
	var victim *Conn
	if len(p.conns) >= p.limits.Most {
		if victim = p.victim(c.From); victim == nil {
			p.refused++
			p.mu.Unlock()
			return ErrFull
		}
		p.leave(victim)
	}
	p.conns[c] = struct{}{}
	p.from[c.From]++
	p.sendings.Add(1)
	p.mu.Unlock()
	if victim != nil {
		victim.Cut(Displaced)
	}
	return nil
}

// victim is the connection that was silent for longest, of the address that has most. The lock is held.
func (p *Pool) victim(newcomer netip.Prefix) *Conn {
	most := newcomer
	for from, n := range p.from {
		if n > p.from[most] {
			most = from
		}
	}
	if p.from[most] <= p.from[newcomer]+1 {
		return nil
	}
	var victim *Conn
	for c := range p.conns {
		if c.From == most && (victim == nil || c.heard.Load() < victim.heard.Load()) {
			victim = c
		}
	}
	return victim
}

// leave takes a connection out of the books. The lock is held.
func (p *Pool) leave(c *Conn) {
	if _, there := p.conns[c]; !there {
		return
	}
	delete(p.conns, c)
	if p.from[c.From]--; p.from[c.From] == 0 {
		delete(p.from, c.From)
	}
}

func (p *Pool) exit(c *Conn) {
	p.mu.Lock()
	p.leave(c)
	p.mu.Unlock()
	p.sendings.Done()
}

// step is how much memory is taken from the budget at a time.
const step = 1 << 20

// entrySize is what a place in a queue takes beside the text.
const entrySize = 96

// hold counts a fragment that a queue holds, and tells whether there is memory for it.
func (p *Pool) hold(f *subscriptions.Fragment) bool {
	size := int64(entrySize)
	if f.Held.Add(1) == 1 {
		size += int64(len(f.Text))
	}
	if p.waiting.Add(size) <= p.granted.Load()+little {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.waiting.Load() > p.granted.Load()+little {
		if p.granted.Load()+step > p.limits.Waiting || !p.share.Try(step) {
			return false
		}
		p.granted.Add(step)
	}
	return true
}

// release is the opposite of hold.
func (p *Pool) release(f *subscriptions.Fragment) {
	size := int64(entrySize)
	if f.Held.Add(-1) == 0 {
		size += int64(len(f.Text))
	}
	if left := p.waiting.Add(-size); left > 0 && p.granted.Load()-left < 2*step || p.granted.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.granted.Load() > 0 && p.waiting.Load() <= p.granted.Load()-step {
		p.granted.Add(-step)
		p.share.Give(step)
	}
}

// Stats are counts for the metrics.
type Stats struct {
	Open    int
	Waiting int64 // bytes
	Refused uint64
	Cut     map[Why]uint64
}

// Stats counts.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut := make(map[Why]uint64, len(p.cut))
	for why, n := range p.cut {
		cut[why] = n
	}
	return Stats{Open: len(p.conns), Waiting: p.waiting.Load(), Refused: p.refused, Cut: cut}
}

// Each calls f for each open connection.
func (p *Pool) Each(f func(*Conn)) {
	p.mu.Lock()
	conns := make([]*Conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}

// Shutdown lets each client have the answers that are being made and what is queued, and ends its connection with 1001. What is
// left when the context ends is closed as it is.
func (p *Pool) Shutdown(ctx context.Context) {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.Each(func(c *Conn) { go c.drain(ctx) })
	gone := make(chan struct{})
	go func() { p.sendings.Wait(); close(gone) }()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	p.Each((*Conn).abandon)
	<-gone
}
