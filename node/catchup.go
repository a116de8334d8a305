package node

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/network"
)

// patience is how long a peer may be ahead before its blocks are fetched: what consensus decides here by itself costs nothing.
const patience = 300 * time.Millisecond

// catchUp executes the blocks of peers that are ahead.
type catchUp struct {
	log   hclog.Logger
	ahead <-chan struct{}                          // a peer has a new head, which this node lacks
	next  func() uint64                            // number of the next block
	lag   func() int64                             // blocks that the furthest of the linked peers says to be ahead
	await func(ctx context.Context, number uint64) // until this block is decided, or ctx ends
	fetch func(ctx context.Context, from uint64) error
}

func (m *mesh) catchUp() *catchUp {
	chain := m.driver.Chain()
	c := &catchUp{log: m.log, ahead: m.ahead, lag: m.lag, next: func() uint64 { return chain.Next().GetNumber() }}
	c.await = func(ctx context.Context, number uint64) {
		_ = chain.Await(ctx, func() bool { return c.next() > number })
	}
	behind := &lagLog{log: m.log.Named("network")}
	c.fetch = func(ctx context.Context, from uint64) error {
		return m.network.CatchUp(ctx, from, func(ctx context.Context, _ network.ID, b *network.Block) error {
			err := m.driver.Learn(ctx, &driver.DecidedBlock{Height: b.Height, Value: b.Value[:], Body: b.Body, Certificate: b.Certificate})
			if wrong := (*driver.WrongBlock)(nil); errors.As(err, &wrong) {
				return network.Wrong(err)
			}
			if head, ok := m.network.HighestHead(); ok && err == nil {
				behind.at(time.Now(), b.Height+1, head)
			}
			return err
		})
	}
	return c
}

// lag is how many blocks the furthest of the linked peers says to be ahead.
func (m *mesh) lag() int64 {
	if !m.started.Load() {
		return 0
	}
	height, announced := m.network.HighestHead()
	if !announced {
		return 0
	}
	return lagOf(height, m.driver.Chain().Next().GetNumber())
}

// run ends with ctx. It tries again by itself as long as a peer is ahead: from a chain that rests no new head comes.
func (c *catchUp) run(ctx context.Context) {
	var again <-chan time.Time
	for pause := firstFollowPause; ; {
		select {
		case <-c.ahead:
		case <-again:
		case <-ctx.Done():
			return
		}
		next := c.next()
		wait, cancel := context.WithTimeout(ctx, patience)
		c.await(wait, next)
		cancel()
		if ctx.Err() != nil {
			return
		}
		err := c.fetch(ctx, c.next())
		if ctx.Err() != nil {
			return
		}
		if c.next() > next {
			pause = firstFollowPause
		}
		if err != nil {
			c.log.Warn("catch-up stopped, and is tried again", "number", c.next(), "in", pause, "error", err)
		}
		if again = nil; c.lag() > 0 {
			again = time.After(pause)
			pause = min(2*pause, lastFollowPause)
		}
	}
}
