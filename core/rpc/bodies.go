package rpc

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// bodies keeps the transactions and results of the blocks that were read last. Clients ask for the receipts of a block one
// by one, and storage has to unpack all of it each time. A block with a hash never changes.
type bodies struct {
	mu   sync.Mutex
	kept []*body // used last comes last
	size int     // bytes of those that are read
}

type body struct {
	number uint64
	block  *ordov1.Block
	err    error
	size   int
	done   chan struct{} // closed when block or err is set
}

// bodiesKept bounds the bytes in memory; one block is always kept.
const bodiesKept = 32 << 20

// whole returns a stored block with transactions and results, nil when there is none. It must not be changed.
func (s *Server) whole(ctx context.Context, number uint64) (*ordov1.Block, error) {
	b, first := s.bodies.get(number)
	if first {
		// It goes on when its client leaves: others may wait for the same block.
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Limits.Read+s.Limits.Grace)
		defer cancel()
		b.block, b.err = s.storedBody(reading, &ordov1.BlocksRequest{
			From: &ordov1.BlocksRequest_Number{Number: number}, Transactions: true, Results: true,
		})
		s.bodies.done(b)
		close(b.done)
	}
	select {
	case <-b.done:
		return b.block, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// peek returns a block that is here already, or nil.
func (c *bodies) peek(number uint64) *ordov1.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.kept {
		if b.number == number {
			select {
			case <-b.done:
				return b.block
			default:
				return nil
			}
		}
	}
	return nil
}

// get returns the entry of a block, and whether the caller has to fill it.
func (c *bodies) get(number uint64) (b *body, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range c.kept {
		if b.number == number {
			c.kept = append(append(c.kept[:i:i], c.kept[i+1:]...), b)
			return b, false
		}
	}
	b = &body{number: number, done: make(chan struct{})}
	c.kept = append(c.kept, b)
	return b, true
}

// done keeps a block that is read, when it is final, and lets go of the oldest.
func (c *bodies) done(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.err != nil || b.block == nil || isZero(b.block.Header.GetHash()) {
		for i := range c.kept {
			if c.kept[i] == b {
				c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
				break
			}
		}
		return
	}
	b.size = proto.Size(b.block)
	c.size += b.size
	for i := 0; c.size > bodiesKept && i < len(c.kept); {
		old := c.kept[i]
		select {
		case <-old.done:
		default: // being read, or the one that waits for the block
			i++
			continue
		}
		c.size -= old.size
		c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
	}
}
