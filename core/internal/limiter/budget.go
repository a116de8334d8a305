package limiter

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Spent is the error of a caller when there is no memory for its request or its answer. Trying again later may help.
type Spent struct {
	What   string // what the memory is for: "answers that wait to be sent"
	Most   int64
	Waited time.Duration
	Key    string // of the configuration
}

func (s *Spent) Error() string {
	key := ""
	if s.Key != "" {
		key = " (" + s.Key + ")"
	}
	return fmt.Sprintf("busy: %s hold the %d MiB for them, no room within %s%s: try again later", s.What, s.Most>>20, s.Waited, key)
}

// Budget is memory that all callers share. A caller that needs more than is free waits; meanwhile, holders that do not take what is
// sent to them, or do not send what they began, are cut off.
type Budget struct {
	what, key      string
	most           int64
	stall, patient time.Duration

	mu    sync.Mutex
	used  int64
	queue queue
	held  map[*Share]struct{} // by holders of something
	cut   int                 // how many were cut off
}

// NewBudget makes a budget of so many bytes. A holder that makes no progress for as long as stall may be cut off.
func NewBudget(what, key string, most int64, stall, patient time.Duration) *Budget {
	return &Budget{what: what, key: key, most: most, stall: stall, patient: patient, held: map[*Share]struct{}{}}
}

// Holder is a client that may have shares of several budgets.
type Holder struct {
	From netip.Prefix
	// Cut ends its connection; what it holds is given back when its request has ended. Called at most once.
	Cut func(why string)

	since atomic.Int64 // when it began with the piece that it sends or takes; 0: it is the node's turn
	gone  atomic.Bool
}

// Begin notes that the client has to take, or to send, the next piece.
func (h *Holder) Begin() { h.since.Store(time.Now().UnixNano()) }

// Done notes that the client has done so, and that it is the node's turn.
func (h *Holder) Done() { h.since.Store(0) }

// Gone reports that the client was cut off.
func (h *Holder) Gone() bool { return h.gone.Load() }

// Share is what one request holds of a budget. One goroutine at a time may use it.
type Share struct {
	budget *Budget
	holder *Holder
	held   int64
}

// Share opens an empty share, which is not copied once it holds something. Close it.
func (b *Budget) Share(h *Holder) Share { return Share{budget: b, holder: h} }

// Try takes so much more, when it is free and nothing waits for it.
func (s *Share) Try(n int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.count > 0 || !b.fits(n, s.held) {
		return false
	}
	b.take(s, n)
	return true
}

// Take waits for so much more. The error is a Spent or the context's.
func (s *Share) Take(ctx context.Context, n int64) error {
	if s.Try(n) {
		return nil
	}
	b := s.budget
	w := &waiter{need: n, held: s.held, ready: make(chan error, 1)}
	b.mu.Lock()
	b.queue.push(s.holder.From, w)
	b.grant()
	b.mu.Unlock()
	timer := time.NewTimer(b.patient)
	defer timer.Stop()
	look := time.NewTicker(max(b.stall/8, time.Millisecond))
	defer look.Stop()
	b.relieve(s.holder)
	for {
		var why error
		select {
		case <-w.ready:
			b.mu.Lock()
			b.own(s, n)
			b.mu.Unlock()
			return nil
		case <-look.C:
			b.relieve(s.holder)
			continue
		case <-timer.C:
			why = &Spent{b.what, b.most, b.patient, b.key}
		case <-ctx.Done():
			why = ctx.Err()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.queue.remove(w) { // it came at that moment
			b.own(s, n)
			return nil
		}
		b.grant() // the next may fit where this one did not
		return why
	}
}

// Give gives so much back.
func (s *Share) Give(n int64) {
	if n == 0 {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if s.held -= n; s.held == 0 {
		delete(b.held, s)
	}
	b.grant()
}

// Close gives all back. It may be called again.
func (s *Share) Close() { s.Give(s.held) }

// Held is what the share holds.
func (s *Share) Held() int64 { return s.held }

// fits reports that so much more is free. What is larger than the whole budget fits when only its own share holds anything.
func (b *Budget) fits(n, own int64) bool { return b.used+n <= b.most || b.used == own }

func (b *Budget) take(s *Share, n int64) {
	b.used += n
	b.own(s, n)
}

// own books what is counted already.
func (b *Budget) own(s *Share, n int64) {
	if s.held += n; s.held > 0 {
		b.held[s] = struct{}{}
	}
}

func (b *Budget) grant() {
	for w := b.queue.front(); w != nil && b.fits(w.need, w.held); w = b.queue.front() {
		b.used += w.need
		b.queue.pop()
	}
}

// relieve cuts off holders that make no progress, until there will be room for all that waits: first of the address that holds
// the most, and of those the one that makes none for longest.
func (b *Budget) relieve(of *Holder) {
	for {
		victim := b.victim(of)
		if victim == nil {
			return
		}
		victim.Cut(fmt.Sprintf("it made no progress for %s while others waited for a part of the %d MiB that %s may hold", b.stall, b.most>>20, b.what))
	}
}

func (b *Budget) victim(of *Holder) *Holder {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.count == 0 {
		return nil
	}
	coming := int64(0) // from those that are cut off and still end
	sums := map[netip.Prefix]int64{}
	for s := range b.held {
		if s.holder.gone.Load() {
			coming += s.held
		} else {
			sums[s.holder.From] += s.held
		}
	}
	if b.used-coming+b.queue.need <= b.most || b.used == coming {
		return nil
	}
	var victim *Holder
	var since int64
	late := time.Now().Add(-b.stall).UnixNano()
	for s := range b.held {
		at := s.holder.since.Load()
		if s.holder == of || s.holder.gone.Load() || at == 0 || at > late {
			continue
		}
		if victim == nil || sums[s.holder.From] > sums[victim.From] || sums[s.holder.From] == sums[victim.From] && at < since {
			victim, since = s.holder, at
		}
	}
	if victim == nil || !victim.gone.CompareAndSwap(false, true) { // else another budget cut it off just now
		return nil
	}
	b.cut++
	return victim
}

// Used is what is held, and Cut how many holders were cut off so far.
func (b *Budget) Used() (used int64, cut int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.cut
}
