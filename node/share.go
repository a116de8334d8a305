package node

import (
	"context"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/network"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// passedOn is a transaction of the pool as peers get it; nil: they do not.
func passedOn(w driver.Waiting) []byte {
	if w.Tx.Type == ordov1.TransactionType_L1_HANDLER {
		return nil // each node has those from L1
	}
	b := &gateway.Broadcast{Transaction: w.Tx}
	if w.Class != nil {
		b.Class = &gateway.SierraClass{Hash: w.Class.Hash, Definition: w.Class.Definition}
	}
	encoded, err := b.Encode()
	if err != nil {
		return nil
	}
	return encoded
}

// A follower proposes nothing: what it has admitted and the validators have dropped would wait for ever. It sends what still waits after againPause
// again, the oldest first, againCount at a time.
const (
	againPause = 10 * time.Second
	againCount = 512
)

func (m *mesh) sendAgain() {
	t := time.NewTicker(againPause)
	defer t.Stop()
	var before map[mempool.Key]bool
	for {
		select {
		case <-t.C:
		case <-m.ctx.Done():
			return
		}
		var old [][]byte
		old, before = stillWaiting(m.driver.Waiting(), before)
		if len(old) > 0 {
			m.network.GossipAgain(old)
		}
	}
}

// stillWaiting are the oldest transactions that waited before, as peers get them, and all that wait now.
func stillWaiting(waiting []driver.Waiting, before map[mempool.Key]bool) (old [][]byte, now map[mempool.Key]bool) {
	now = make(map[mempool.Key]bool, len(waiting))
	for _, w := range waiting {
		now[w.Hash] = true
		if !before[w.Hash] || len(old) == againCount {
			continue
		}
		if encoded := passedOn(w); encoded != nil {
			old = append(old, encoded)
		}
	}
	return old, now
}

// Linked implements network.Receiver: a peer that is linked gets what waits here.
func (m *mesh) Linked(id network.ID, up bool) {
	if !up {
		return
	}
	if !m.sharing.begin(id) {
		return
	}
	m.work.Go(func() {
		defer m.sharing.turn(m.ctx, id)()
		var batch [][]byte
		for _, w := range m.driver.Waiting() {
			if encoded := passedOn(w); encoded != nil {
				batch = append(batch, encoded)
			}
			if len(batch) == 512 {
				m.network.GossipTo(id, batch)
				batch = nil
			}
		}
		if len(batch) > 0 && m.ctx.Err() == nil {
			m.network.GossipTo(id, batch)
		}
	})
}

// sharing bounds what it costs to give linked peers what waits in the pool: one peer at a time, and a rest as long as that took, so that
// one which links again and again keeps neither the pool nor a processor busy.
type sharing struct {
	one  sync.Mutex // held by the peer that is served
	mu   sync.Mutex
	next map[network.ID]bool // peers that wait for their turn
}

// begin is false when the peer waits already: it will get what waits then.
func (s *sharing) begin(id network.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next[id] {
		return false
	}
	if s.next == nil {
		s.next = map[network.ID]bool{}
	}
	s.next[id] = true
	return true
}

// turn waits for the turn of a peer; over ends it.
func (s *sharing) turn(ctx context.Context, id network.ID) (over func()) {
	s.one.Lock()
	s.mu.Lock()
	delete(s.next, id)
	s.mu.Unlock()
	began := time.Now()
	return func() {
		defer s.one.Unlock()
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
		}
	}
}
