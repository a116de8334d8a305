package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// observer looks at the node as a wallet would, and remembers what it was shown: the order of each block before it was
// decided, and each accepted block once.
type observer struct {
	node   client.Node
	ledger *ledger

	mu       sync.Mutex
	sights   map[uint64]*sight
	head     uint64 // newest accepted block that was looked at
	top      uint64 // number of the newest block that was shown as pre-confirmed
	moved    time.Time
	accepted []client.Block // by number, as they were first seen
	broken   []string       // what should never be seen
}

// sight is what was seen of a block before it was accepted.
type sight struct {
	order       []string // the longest
	first, last time.Time
	accepted    time.Time
	times       int
	again       int    // how often the order was shorter than before: a rebuilt block
	conflict    string // an order that the longest does not begin with
}

func newObserver(n client.Node, l *ledger) *observer {
	return &observer{node: n, ledger: l, sights: map[uint64]*sight{}, moved: time.Now()}
}

// run polls until the context ends.
func (o *observer) run(ctx context.Context) {
	for ctx.Err() == nil {
		o.look(ctx)
		o.follow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(8 * time.Millisecond):
		}
	}
}

// runAccepted is run without a look at the pre-confirmed block: in a network a block that one node builds may not be the one that is decided.
func (o *observer) runAccepted(ctx context.Context) {
	for o.follow(ctx); sleep(ctx, 30*time.Millisecond); {
		o.follow(ctx)
	}
}

func (o *observer) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	b, err := o.node.Block(ctx, "pre_confirmed")
	if err != nil || b.Hash != "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saw(b.Number, b.Transactions, time.Now())
}

// saw takes an order that was shown. The lock is held.
func (o *observer) saw(number uint64, order []string, now time.Time) {
	o.top = max(o.top, number)
	if len(order) == 0 {
		return
	}
	s := o.sights[number]
	if s == nil {
		s = &sight{first: now}
		o.sights[number] = s
	}
	s.last = now
	s.times++
	short := min(len(order), len(s.order))
	if !slices.Equal(order[:short], s.order[:short]) {
		if s.conflict == "" {
			at := firstDifference(order, s.order)
			s.conflict = fmt.Sprintf("at %s its place %d had %s, before it had %s", now.Format("15:04:05.000"), at, order[at], s.order[at])
		}
		return
	}
	if len(order) < len(s.order) {
		s.again++
		return
	}
	s.order = order
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// follow fetches the accepted blocks that are new.
func (o *observer) follow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var head uint64
	if o.node.Call(ctx, "starknet_blockNumber", []any{}, &head) != nil {
		return
	}
	o.mu.Lock()
	known := uint64(len(o.accepted))
	if known > 0 && head < known-1 {
		o.broken = append(o.broken, fmt.Sprintf("the head went from block %d back to %d", known-1, head))
	}
	o.mu.Unlock()
	for ; known <= head; known++ {
		b, err := o.node.Block(ctx, known)
		if err != nil {
			return
		}
		o.take(b)
	}
}

func (o *observer) take(b client.Block) {
	for _, hash := range b.Transactions {
		if !o.ledger.included(hash, b.Number) {
			o.mu.Lock()
			o.broken = append(o.broken, fmt.Sprintf("block %d has %s, which no sender signed", b.Number, hash))
			o.mu.Unlock()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accepted = append(o.accepted, b)
	o.head, o.moved = b.Number, time.Now()
	if s := o.sights[b.Number]; s != nil {
		s.accepted = o.moved
	}
}

// standing tells how far the chain is, and since when it is there.
func (o *observer) standing() (head, top uint64, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.head, o.top, o.moved
}
