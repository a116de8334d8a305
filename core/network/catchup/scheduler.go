// Package catchup decides which peer is asked for which decided blocks, without I/O: ranges, timeouts, retries, and another peer when one answers
// wrongly or not at all.
package catchup

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// Rules are what a Scheduler goes by.
type Rules struct {
	Range    int           // blocks in one request
	Ahead    int           // heights above the next one that are asked for
	Bytes    int           // of blocks that are held; above it only the next one is asked for, and above twice as many none is held but the next
	EachPeer int           // requests to one peer at a time
	Timeout  time.Duration // without a piece of an answer
	Pause    time.Duration // of a peer that failed; it doubles to PauseMax
	PauseMax time.Duration
	Failures int // in a row, after which the head of a peer is not believed any more
}

// Request is to be sent to a peer.
type Request struct {
	ID    uint64
	Peer  identity.ID
	From  uint64
	Count int
}

// Item is a block of a peer.
type Item struct {
	Height uint64
	From   identity.ID
	Bytes  int
	Block  any
}

// Scheduler fetches the blocks from a height on. The caller sends what Poll gives, tells of what arrives, and applies what Next
// gives, in order. It is not safe for concurrent use.
type Scheduler struct {
	rules    Rules
	next     uint64 // the height that Next gives
	held     map[uint64]*Item
	bytes    int
	peers    map[identity.ID]*source
	requests map[uint64]*request
	lastID   uint64
	turn     uint64
	Timeouts uint64 // requests that were given up
	Wrongs   uint64 // blocks that were wrong
}

type source struct {
	head     uint64
	requests int
	failures int
	ready    time.Time // it is not asked before
	turn     uint64    // when it was asked last: the one asked longest ago comes first
}

type request struct {
	Request
	at    uint64 // the height that comes next
	alive time.Time
	begun time.Time // of that block
}

// slowest is how many timeouts a block may take whose pieces come in time.
const slowest = 3

// deadline is when the request is given up.
func (r *request) deadline(timeout time.Duration) time.Time {
	at := r.alive.Add(timeout)
	if latest := r.begun.Add(slowest * timeout); latest.Before(at) {
		return latest
	}
	return at
}

// New is a scheduler whose first block is of height next. IDs of requests are above after.
func New(rules Rules, next, after uint64) *Scheduler {
	return &Scheduler{rules: rules, next: next, lastID: after, held: make(map[uint64]*Item), peers: make(map[identity.ID]*source), requests: make(map[uint64]*request)}
}

// SetHead tells what a linked peer says to have. It may be a lie: what counts is what it answers.
func (s *Scheduler) SetHead(id identity.ID, head uint64) {
	p := s.peers[id]
	if p == nil {
		p = &source{}
		s.peers[id] = p
	}
	p.head = head
}

// Remove forgets a peer whose link has ended. What it was asked for is asked of another.
func (s *Scheduler) Remove(id identity.ID) {
	for _, r := range s.requests {
		if r.Peer == id {
			s.end(r)
		}
	}
	delete(s.peers, id)
}

// Poll gives up on requests without an answer, which the caller cancels, and says what is to be asked now.
func (s *Scheduler) Poll(now time.Time) (send []Request, cancel []Request) {
	for _, r := range s.requests {
		if !now.Before(r.deadline(s.rules.Timeout)) {
			s.Timeouts++
			s.failed(r.Peer, now)
			cancel = append(cancel, r.Request)
			s.end(r)
		}
	}
	for {
		from, count := s.gap()
		if count == 0 {
			return send, cancel
		}
		p, id := s.choose(from, now)
		if p == nil {
			return send, cancel
		}
		count = min(count, int(min(p.head-from, uint64(s.rules.Range)-1))+1)
		s.lastID++
		s.turn++
		p.requests++
		p.turn = s.turn
		r := &request{Request{ID: s.lastID, Peer: id, From: from, Count: count}, from, now, now}
		s.requests[r.ID] = r
		send = append(send, r.Request)
	}
}

// gap is the lowest run of heights that no peer was asked for and that there is room for.
func (s *Scheduler) gap() (from uint64, count int) {
	end := s.next + uint64(s.rules.Ahead)
	if s.bytes >= s.rules.Bytes {
		end = s.next + 1
	}
	for h := s.next; h < end; h++ {
		taken := s.held[h] != nil || s.asked(h)
		switch {
		case taken && count > 0:
			return from, count
		case !taken && count == 0:
			from, count = h, 1
		case !taken:
			if count++; count == s.rules.Range {
				return from, count
			}
		}
	}
	return from, count
}

func (s *Scheduler) asked(h uint64) bool {
	for _, r := range s.requests {
		if r.at <= h && h < r.From+uint64(r.Count) {
			return true
		}
	}
	return false
}

// choose is the peer with the fewest failures of those that say to have the height, of these the one that was asked longest ago.
func (s *Scheduler) choose(height uint64, now time.Time) (best *source, who identity.ID) {
	for id, p := range s.peers {
		if p.head < height || p.requests >= s.rules.EachPeer || now.Before(p.ready) {
			continue
		}
		if best == nil || p.failures < best.failures || p.failures == best.failures && (p.turn < best.turn || p.turn == best.turn && slices.Compare(id[:], who[:]) < 0) {
			best, who = p, id
		}
	}
	return best, who
}

// Wake is when Poll has something to do again, if nothing else happens; zero: then it has not.
func (s *Scheduler) Wake(now time.Time) (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, r := range s.requests {
		sooner(r.deadline(s.rules.Timeout))
	}
	for _, p := range s.peers {
		if p.head >= s.next && p.ready.After(now) {
			sooner(p.ready)
		}
	}
	return at
}

// Alive tells that a piece of an answer came.
func (s *Scheduler) Alive(id uint64, now time.Time) {
	if r := s.requests[id]; r != nil {
		r.alive = now
	}
}

// Received takes a block of an answer. An error is the fault of the peer: blocks come in the order of their heights, none but those asked for. known
// is false for a request that was given up.
func (s *Scheduler) Received(id uint64, item Item, now time.Time) (known bool, err error) {
	r := s.requests[id]
	if r == nil {
		return false, nil
	}
	if item.Height != r.at || r.at >= r.From+uint64(r.Count) {
		return true, fmt.Errorf("block %d, want %d of the blocks %d to %d", item.Height, r.at, r.From, r.From+uint64(r.Count)-1)
	}
	r.at++
	r.alive, r.begun = now, now
	item.From = r.Peer
	if item.Height > s.next && s.bytes+item.Bytes > 2*s.rules.Bytes { // of many large answers at a time: it is asked for again, with what follows
		s.end(r)
		return true, nil
	}
	if item.Height >= s.next && s.held[item.Height] == nil {
		s.held[item.Height] = &item
		s.bytes += item.Bytes
	}
	return true, nil
}

// Done is the end of an answer. A peer that had none of the blocks has failed.
func (s *Scheduler) Done(id uint64, now time.Time) {
	r := s.requests[id]
	if r == nil {
		return
	}
	if r.at == r.From {
		s.failed(r.Peer, now)
	} else if p := s.peers[r.Peer]; p != nil {
		p.failures = 0
	}
	s.end(r)
}

func (s *Scheduler) end(r *request) {
	delete(s.requests, r.ID)
	if p := s.peers[r.Peer]; p != nil {
		p.requests--
	}
}

func (s *Scheduler) failed(id identity.ID, now time.Time) {
	if p := s.peers[id]; p != nil {
		p.failures++
		p.ready = now.Add(min(s.rules.PauseMax, s.rules.Pause<<min(p.failures-1, 16)))
	}
}

// Next is the block that comes next, when it is there. It is held until Applied or Wrong.
func (s *Scheduler) Next() (Item, bool) {
	if i := s.held[s.next]; i != nil {
		return *i, true
	}
	return Item{}, false
}

// Applied goes to the next height.
func (s *Scheduler) Applied() {
	s.drop(s.next)
	s.next++
}

// Skip goes to a height, because the blocks before it were decided here in the meantime.
func (s *Scheduler) Skip(next uint64) {
	for h := range s.held {
		if h < next {
			s.drop(h)
		}
	}
	s.next = max(s.next, next)
}

// Wrong is told of a block that was not accepted: all that came from its peer is dropped, and is asked of others. The peer fails.
func (s *Scheduler) Wrong(now time.Time) {
	i := s.held[s.next]
	if i == nil {
		return
	}
	s.Wrongs++
	for h, other := range s.held {
		if other.From == i.From {
			s.drop(h)
		}
	}
	for _, r := range s.requests {
		if r.Peer == i.From {
			s.end(r)
		}
	}
	s.failed(i.From, now)
}

func (s *Scheduler) drop(h uint64) {
	if i := s.held[h]; i != nil {
		s.bytes -= i.Bytes
		delete(s.held, h)
	}
}

// Height is the height of the next block.
func (s *Scheduler) Height() uint64 { return s.next }

// Bytes is how much is held.
func (s *Scheduler) Bytes() int { return s.bytes }

// Finished tells that no peer that is believed says to have the next block.
func (s *Scheduler) Finished() bool {
	if s.held[s.next] != nil {
		return false
	}
	for _, p := range s.peers {
		if p.head >= s.next && p.failures < s.rules.Failures {
			return false
		}
	}
	return true
}
