package network

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/network/catchup"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// catching is one run of CatchUp.
type catching struct {
	n    *Network
	wake chan struct{}

	mu    sync.Mutex
	plan  *catchup.Scheduler
	asked map[uint64]asked // by the scheduler's numbers
}

type asked struct {
	l  *link
	id uint64 // of the fetch
}

func (n *Network) catchUpRules() catchup.Rules {
	l := n.o.Limits
	return catchup.Rules{Range: l.Serve, Ahead: 8 * l.Serve, Bytes: l.Bodies / 2, EachPeer: 2, Timeout: l.Fetch, Pause: 500 * time.Millisecond, PauseMax: 30 * time.Second, Failures: 5}
}

// CatchUp fetches decided blocks from a height on and hands them over in order, until no linked peer says to have more, or ctx ends. It asks several
// peers at a time, and another where one does not answer. An error of apply ends it, but one made by Wrong: the peer is blamed, and
// the block is asked of another. Blocks that are decided here in the meantime are skipped once they are announced. One run at a time.
func (n *Network) CatchUp(ctx context.Context, next uint64, apply func(ctx context.Context, from ID, b *Block) error) error {
	c := &catching{n: n, wake: make(chan struct{}, 1), plan: catchup.New(n.catchUpRules(), next, 0), asked: make(map[uint64]asked)}
	n.mu.Lock()
	if n.catching != nil {
		n.mu.Unlock()
		return errors.New("network: catch-up is running already")
	}
	n.catching = c
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.catching = nil
		n.mu.Unlock()
		c.end()
	}()
	for _, l := range n.allLinks(false) {
		l.mu.Lock()
		head, has := l.head, l.hasHead
		l.mu.Unlock()
		if has {
			c.head(l.id, head)
		}
	}
	for {
		item, ready, finished, wait := c.step()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ready:
			b, _ := item.Block.(*Block)
			err := apply(ctx, item.From, b)
			var wrong *WrongError
			switch {
			case errors.As(err, &wrong):
				n.wrongBlocks.Add(1)
				n.Blame(item.From, fmt.Sprintf("a wrong block %d: %v", item.Height, wrong.Cause))
				c.wrong()
			case err != nil:
				return err
			default:
				c.applied()
			}
			continue
		case finished:
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
		case <-n.ctx.Done():
			timer.Stop()
			return errStopped
		}
		timer.Stop()
	}
}

// idle is how long CatchUp sleeps when nothing is to happen by itself.
const idle = time.Second

// step sends what is to be asked, and gives the next block if it is there.
func (c *catching) step() (item catchup.Item, ready, finished bool, wait time.Duration) {
	now := time.Now()
	c.mu.Lock()
	if own, announced := c.n.Head(); announced {
		c.plan.Skip(own.Height + 1)
	}
	send, cancel := c.plan.Poll(now)
	for _, r := range cancel {
		if a, ok := c.asked[r.ID]; ok {
			a.l.cancel(a.id)
			delete(c.asked, r.ID)
			c.n.fetchTimeouts.Add(1)
		}
	}
	item, ready = c.plan.Next()
	finished = c.plan.Finished()
	wait = idle
	if at := c.plan.Wake(now); !at.IsZero() {
		wait = min(wait, max(0, at.Sub(now)))
	}
	c.mu.Unlock()
	for _, r := range send {
		c.send(r)
	}
	return item, ready, finished, wait
}

// send asks one of the links of a peer.
func (c *catching) send(r catchup.Request) {
	f := &fetch{most: c.n.o.Limits.Body, total: answerBytes + c.n.o.Limits.Body}
	f.alive = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.plan.Alive(r.ID, time.Now())
	}
	f.item = func(data []byte) error { return c.item(r.ID, data) }
	f.done = func(bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.plan.Done(r.ID, time.Now())
		delete(c.asked, r.ID)
		signal(c.wake)
	}
	for _, l := range c.n.linksOf(r.Peer) {
		c.mu.Lock() // an answer waits until the request is in the books
		sent := l.ask(f, &wire.Request{What: &wire.Request_Blocks_{Blocks: &wire.Request_Blocks{From: r.From, Count: uint32(r.Count)}}})
		if sent {
			c.asked[r.ID] = asked{l, f.id}
		}
		c.mu.Unlock()
		if sent {
			return
		}
	}
	f.done(false)
}

// item takes a block of an answer.
func (c *catching) item(id uint64, data []byte) error {
	var w wire.Block
	if err := proto.Unmarshal(data, &w); err != nil || len(w.Value) != len(Value{}) {
		return errors.New("no block")
	}
	b := &Block{Height: w.Height, Value: Value(w.Value), Body: w.Body, Certificate: w.Certificate}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.plan.Received(id, catchup.Item{Height: w.Height, Bytes: len(data), Block: b}, time.Now())
	signal(c.wake)
	return err
}

func (c *catching) head(id ID, h Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan.SetHead(id, h.Height)
	signal(c.wake)
}

// left is told of a peer without a link.
func (c *catching) left(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan.Remove(id)
	signal(c.wake)
}

func (c *catching) wrong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan.Wrong(time.Now())
}

func (c *catching) applied() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan.Applied()
}

func (c *catching) height() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan.Height()
}

// end gives up on what was asked.
func (c *catching) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.asked {
		a.l.cancel(a.id)
	}
}

// headChanged passes a head on to catch-up.
func (n *Network) headChanged(l *link, h Head) {
	n.mu.Lock()
	c := n.catching
	n.mu.Unlock()
	if c != nil {
		c.head(l.id, h)
	}
}
