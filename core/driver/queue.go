package driver

import (
	"context"
	"sync"
)

// queue is a FIFO without a bound: the loop must never wait for a goroutine that waits for the loop. What it holds is bounded by
// the machine, which keeps windows on all work. Safe for concurrent use.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	bell  chan struct{}
}

func (q *queue[T]) ring() chan struct{} {
	if q.bell == nil {
		q.bell = make(chan struct{}, 1)
	}
	return q.bell
}

func (q *queue[T]) push(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	select {
	case q.ring() <- struct{}{}:
	default:
	}
}

// take waits for items and returns all of them; nil when ctx is done.
func (q *queue[T]) take(ctx context.Context) []T {
	for {
		q.mu.Lock()
		items, bell := q.items, q.ring()
		q.items = nil
		q.mu.Unlock()
		if len(items) > 0 {
			return items
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return nil
		}
	}
}
