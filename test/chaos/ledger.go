package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// entry is one transaction that was signed here, and all that the node said about it.
type entry struct {
	hash      string
	sender    int
	nonce     uint64
	kind      string
	class     string    // of a declare
	acked     time.Time // when the node answered with its hash; zero: it never did
	replaced  string    // hash of an acknowledged transaction that pays more for the same nonce
	refused   string    // the node's last word, when it did not take it
	refusedAt time.Time
	height    uint64 // of the accepted block that has it; 0: none seen
	dropped   string // what a status said about why it is in no block
}

// ledger remembers what was sent. It is what the checks hold against the chain.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	waiting map[int]int // acknowledged and in no accepted block yet, by sender
	changed chan struct{}
	refused map[string]int
	faults  map[string]int // answers after which the same transaction was sent again
	classes []string       // declared
	acks    int

	network bool // its nodes may take two transactions with one nonce, of which one comes into a block
	places  map[place][]*entry
}

// place is where one transaction fits.
type place struct {
	sender int
	nonce  uint64
}

func newLedger() *ledger {
	return &ledger{entries: map[string]*entry{}, waiting: map[int]int{}, changed: make(chan struct{}), refused: map[string]int{}, faults: map[string]int{}, places: map[place][]*entry{}}
}

// signed is told before a transaction is sent for the first time.
func (l *ledger) signed(sender int, nonce uint64, kind string, tx *client.Tx) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{hash: tx.ID(), sender: sender, nonce: nonce, kind: kind}
	if tx.Class != nil {
		e.class = client.Hex(tx.Class.Hash)
	}
	l.entries[e.hash] = e
	at := place{sender, nonce}
	l.places[at] = append(l.places[at], e)
	return e
}

// acknowledge: the node answered with the hash, or that it has the transaction.
func (l *ledger) acknowledge(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !e.acked.IsZero() {
		return
	}
	e.acked = time.Now()
	l.acks++
	if e.height == 0 {
		l.waiting[e.sender]++
		l.lose(e)
	}
}

// replace: the node took a transaction in the place of another.
func (l *ledger) replace(old, by *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old.replaced = by.hash
	if !old.acked.IsZero() && old.height == 0 {
		l.arrived(old)
	}
}

// included: an accepted block has it. False when no sender here signed it.
func (l *ledger) included(hash string, height uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[hash]
	if e == nil {
		return false
	}
	if e.height > 0 { // another node has told it
		return true
	}
	if !e.acked.IsZero() && e.replaced == "" {
		l.arrived(e)
	}
	e.height = height
	if e.class != "" {
		l.classes = append(l.classes, e.class)
	}
	for _, other := range l.places[place{e.sender, e.nonce}] {
		l.lose(other)
	}
	return true
}

// lose records that another transaction with the nonce of an acknowledged one is in a block of a network. The lock is held.
func (l *ledger) lose(e *entry) {
	if !l.network || e.acked.IsZero() || e.height > 0 || e.dropped != "" || e.replaced != "" {
		return
	}
	for _, other := range l.places[place{e.sender, e.nonce}] {
		if other.height > 0 {
			e.dropped = "another transaction with its nonce, by another node, is in a block"
			l.arrived(e)
			return
		}
	}
}

// arrived records that an entry is on its way no more. The lock is held.
func (l *ledger) arrived(e *entry) {
	l.waiting[e.sender]--
	close(l.changed)
	l.changed = make(chan struct{})
}

// refuse records that the node has rejected it.
func (l *ledger) refuse(e *entry, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.refused, e.refusedAt = why, time.Now()
	l.refused[why]++
}

// fault: no answer, or one that says to try again.
func (l *ledger) fault(err error) {
	what := "no answer"
	if e := (*client.Error)(nil); errors.As(err, &e) {
		what = strings.TrimSpace(e.Message + " " + string(e.Data))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[what]++
}

// onTheWay is how many of a sender's transactions wait, and a channel that is closed when that changes.
func (l *ledger) onTheWay(sender int) (int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[sender], l.changed
}

// open lists the acknowledged that are in no accepted block and were not replaced.
func (l *ledger) open() (list []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if !e.acked.IsZero() && e.height == 0 && e.replaced == "" && e.dropped == "" {
			list = append(list, e)
		}
	}
	return list
}

// drop: the node says that it is gone, and why.
func (l *ledger) drop(e *entry, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.dropped == "" && e.height == 0 {
		e.dropped = why
		l.arrived(e)
	}
}

func (l *ledger) counts() (signed, acked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries), l.acks
}

// declared is one of the classes that accepted blocks declared, or "".
func (l *ledger) declared(pick func(n int) int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.classes) == 0 {
		return ""
	}
	return l.classes[pick(len(l.classes))]
}

// all is a copy, in order of sender and nonce.
func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]entry, 0, len(l.entries))
	for _, e := range slices.Collect(maps.Values(l.entries)) {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b entry) int {
		if a.sender != b.sender {
			return a.sender - b.sender
		}
		return int(a.nonce) - int(b.nonce)
	})
	return list
}
