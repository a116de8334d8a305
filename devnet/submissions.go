package devnet

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// submissions remembers the transactions that were submitted and have not run yet. A client that submits a transaction and asks
// for a block right after means a block with the transaction, which may not even be ranked by then.
type submissions struct {
	mu     sync.Mutex
	hashes []chainview.Key
	fresh  bool // something was submitted since the last wait that was in vain
}

// submissionsKept bounds the memory; beyond it the oldest are not waited for.
const submissionsKept = 1 << 16

// runWait is how long a block that is asked for waits for the next result of what was submitted before: what has none by then
// waits for an earlier nonce, or for a block that has room.
const runWait = 500 * time.Millisecond

func (s *submissions) add(hash []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hashes) == submissionsKept {
		s.hashes = slices.Delete(s.hashes, 0, submissionsKept/2)
	}
	s.hashes = append(s.hashes, chainview.Key(hash))
	s.fresh = true
}

// left forgets what has run and returns the rest.
func (s *submissions) left(c *chainview.Chain) []chainview.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hashes = slices.DeleteFunc(s.hashes, func(hash chainview.Key) bool { return hasRun(c, hash) })
	return slices.Clone(s.hashes)
}

func hasRun(c *chainview.Chain, hash chainview.Key) bool {
	r := c.Status(hash)
	return r.Status != chainview.Received && (r.Status != chainview.Candidate || r.Rejected != nil)
}

// await waits until what was submitted has run, as long as more of it does.
func (s *submissions) await(ctx context.Context, c *chainview.Chain) error {
	s.mu.Lock()
	fresh := s.fresh
	s.fresh = false
	s.mu.Unlock()
	if !fresh {
		return nil // what is left was waited for in vain before
	}
	left := s.left(c)
	for n := len(left) + 1; 0 < len(left) && len(left) < n; left = s.left(c) {
		n = len(left)
		waiting, cancel := context.WithTimeout(ctx, runWait)
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

// makeBlock closes a block that has what was submitted before.
func (d *Devnet) makeBlock(ctx context.Context) (felt.Felt, error) {
	if err := d.submitted.await(ctx, d.Chain); err != nil {
		return felt.Felt{}, err
	}
	return d.CreateBlock(ctx)
}
