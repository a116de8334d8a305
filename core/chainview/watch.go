package chainview

import "context"

// watch is a transaction that some wait for.
type watch struct {
	moved   chan struct{} // closed at its next move
	waiting int
}

// AwaitTransaction waits until the condition holds for where a transaction stands, and returns the last that it saw. Only a
// move of this transaction wakes it: many may wait at a time.
func (c *Chain) AwaitTransaction(ctx context.Context, hash Key, holds func(Record) bool) (Record, error) {
	for {
		r, w := c.watch(hash, holds)
		if w == nil {
			return r, nil
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
			c.unwatch(hash, w)
			return r, ctx.Err()
		}
	}
}

// watch looks, and begins to watch when the condition does not hold.
func (c *Chain) watch(hash Key, holds func(Record) bool) (r Record, w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.records.get(hash); known != nil {
		r = *known
	}
	if holds(r) {
		return r, nil
	}
	if w = c.watches[hash]; w == nil {
		w = &watch{moved: make(chan struct{})}
		c.watches[hash] = w
	}
	w.waiting++
	return r, w
}

// unwatch ends the watch of a caller that did not see a move.
func (c *Chain) unwatch(hash Key, w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.waiting--; w.waiting == 0 && c.watches[hash] == w {
		delete(c.watches, hash)
	}
}
