package rpc

import (
	"context"
	"fmt"
	"sync"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// broker carries the changes of the chain through the hub to the sockets. It follows the chain as long as there is a subscription:
// without one the chain keeps nothing for it, and nothing is encoded.
type broker struct {
	s *Server

	mu      sync.Mutex
	hub     *subscriptions.Hub // nil without a subscription
	feed    *chainview.Feed
	stop    context.CancelFunc
	change  uint64 // of what was queued together last
	seen    uint64 // the last change of the chain that was told
	filters int    // bytes of the filters of all subscriptions
}

// subscriber is the owner of a subscription.
type subscriber struct {
	session *session
	size    int // bytes of its filter
	// What stands before the text of its notifications.
	head, reorg string
}

// count is how many subscriptions there are.
func (b *broker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hub == nil {
		return 0
	}
	return b.hub.Count()
}

// add enters a subscription. The caller's function tells the hub how; it runs when the broker follows the chain.
func (b *broker) add(sub *subscriptions.Subscription, how func(h *subscriptions.Hub)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := sub.Owner.(*subscriber).size
	if most := b.s.Limits.Answers / 8; b.filters+size > most && size > 0 {
		return specError(codeBusy, fmt.Sprintf("busy: the filters of all subscriptions hold the %d MiB for them (an eighth of limits.responses_mib): try again later", most>>20))
	}
	b.filters += size
	if b.hub == nil {
		b.follow()
	}
	how(b.hub)
	if sub.State() == subscriptions.Ended { // its client left meanwhile
		b.filters -= size
	}
	b.rest()
	return nil
}

// remove ends a subscription.
func (b *broker) remove(sub *subscriptions.Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if before := sub.State(); before == subscriptions.Live || before == subscriptions.Backfilling {
		b.filters -= sub.Owner.(*subscriber).size
	}
	if b.hub == nil {
		subscriptions.End(sub)
		return
	}
	b.hub.Remove(sub)
	b.rest()
}

// follow begins to follow the chain. The lock is held.
func (b *broker) follow() {
	start, feed := b.s.Chain.Follow()
	ctx, stop := context.WithCancel(context.Background())
	b.hub, b.feed, b.stop, b.seen = subscriptions.New(start, notification), feed, stop, start.Seq
	go b.pump(ctx, feed)
}

// rest stops following when there is no subscription. The lock is held.
func (b *broker) rest() {
	if b.hub != nil && b.hub.Count() == 0 {
		b.stop()
		b.feed.Close()
		b.hub, b.feed = nil, nil
	}
}

// pump takes the changes of a feed until it has no follower any more.
func (b *broker) pump(ctx context.Context, feed *chainview.Feed) {
	for {
		changes, err := feed.Take(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.s.Log.Warn("rpc: subscribers were cut off: the node cannot encode what happens as fast as it happens", "error", err)
			b.s.sockets.Each(func(c *socket.Conn) {
				if of, _ := c.Context().Value(sessionKey{}).(*session); of != nil && of.subscribed() {
					c.Cut(socket.Behind)
				}
			})
			b.lost(feed)
			return
		}
		for i := range changes {
			b.mu.Lock()
			if b.feed != feed {
				b.mu.Unlock()
				return
			}
			b.tell(b.hub.Apply(&changes[i]))
			b.seen = changes[i].Seq
			b.mu.Unlock()
		}
	}
}

// lost ends a feed that fell behind; those that were subscribed are cut off, and later ones follow anew.
func (b *broker) lost(feed *chainview.Feed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	feed.Close()
	if b.feed == feed {
		b.stop()
		b.hub.Each(func(sub *subscriptions.Subscription) {
			b.filters -= sub.Owner.(*subscriber).size
			subscriptions.End(sub)
		})
		b.hub, b.feed = nil, nil
	}
}

// tell queues what one change brings. The lock is held.
func (b *broker) tell(list []subscriptions.Notification) {
	b.change++
	for _, n := range list {
		to := n.To.Owner.(*subscriber)
		head := to.head
		if n.Reorg {
			head = to.reorg
		}
		to.session.conn.Queue(b.change, head, n.Text)
	}
}

// caughtUp is false when there are more accepted blocks to send.
func (b *broker) caughtUp(sub *subscriptions.Subscription, next uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hub == nil {
		return true // it was ended
	}
	list, live := b.hub.CaughtUp(sub, next)
	b.tell(list)
	return live
}
