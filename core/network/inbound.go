package network

import (
	"slices"
	"sync"
)

// inbound holds the transactions of a peer that wait for admission, bounded in bytes. Safe for concurrent use.
type inbound struct {
	limit int
	more  chan struct{} // some wait

	mu      sync.Mutex
	waiting [][]byte
	bytes   int // of those that wait, and of those that are being admitted
}

// transactionCost is what a transaction takes beside its bytes.
const transactionCost = 64

func newInbound(limit int) *inbound { return &inbound{limit: limit, more: make(chan struct{}, 1)} }

func cost(batch [][]byte) (bytes int) {
	for _, tx := range batch {
		bytes += len(tx) + transactionCost
	}
	return bytes
}

// put keeps a batch, or says that there is no room for it. It does not wait.
func (q *inbound) put(batch [][]byte) bool {
	bytes := cost(batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+bytes > q.limit && q.bytes > 0 { // one batch there is always room for
		return false
	}
	q.waiting, q.bytes = append(q.waiting, batch...), q.bytes+bytes
	select {
	case q.more <- struct{}{}:
	default:
	}
	return true
}

// take removes so many of those that wait; done is to be called when they are admitted. However a peer cuts what it sends into
// frames, it is validated many at a time.
func (q *inbound) take(count int) (batch [][]byte, done func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(count, len(q.waiting))
	batch = slices.Clone(q.waiting[:n])
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	} else {
		select {
		case q.more <- struct{}{}:
		default:
		}
	}
	return batch, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.bytes -= cost(batch)
	}
}
