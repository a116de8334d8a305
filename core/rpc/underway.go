package rpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
)

// underway remembers what was sent to a dev node and has not run yet: who sends a transaction and asks for a block right
// after means a block with the transaction, but it may not even be ranked by then.
type underway struct {
	mu    sync.Mutex
	sent  []Key
	fresh bool // something was sent since the last wait that was in vain
}

// underwayKept bounds the memory; beyond it the oldest are not waited for.
const underwayKept = 1 << 16

// runPatience is how long a block that is asked for waits for the next result of what was sent before: what has none by then
// waits for an earlier nonce, or for a block that has room.
const runPatience = 500 * time.Millisecond

func (u *underway) add(hash []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.sent) == underwayKept {
		u.sent = slices.Delete(u.sent, 0, underwayKept/2)
	}
	u.sent = append(u.sent, Key(hash))
	u.fresh = true
}

// left forgets what has run and returns the rest.
func (u *underway) left(c *chainview.Chain) []Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent = slices.DeleteFunc(u.sent, func(hash Key) bool { return hasRun(c, hash) })
	return slices.Clone(u.sent)
}

func hasRun(c *chainview.Chain, hash Key) bool {
	r := c.Status(hash)
	return r.Status != chainview.Received && (r.Status != chainview.Candidate || r.Rejected != nil)
}

// await waits until what was sent has run, as long as it makes progress.
func (u *underway) await(ctx context.Context, c *chainview.Chain) error {
	u.mu.Lock()
	fresh := u.fresh
	u.fresh = false
	u.mu.Unlock()
	if !fresh {
		return nil // what is left was waited for in vain before
	}
	left := u.left(c)
	for n := len(left) + 1; 0 < len(left) && len(left) < n; left = u.left(c) {
		n = len(left)
		waiting, cancel := context.WithTimeout(ctx, runPatience)
		_ = c.Await(waiting, func() bool { // the oldest first: to look at all of them after every change would take long
			for len(left) > 0 && hasRun(c, left[0]) {
				left = left[1:]
			}
			return len(left) == 0
		})
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// makeBlock closes a block that has what was sent before.
func (s *Server) makeBlock(ctx context.Context) ([]byte, error) {
	if err := s.underway.await(ctx, s.Chain); err != nil {
		return nil, err
	}
	return s.Devnet.CreateBlock(ctx)
}
