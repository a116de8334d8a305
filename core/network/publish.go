package network

import (
	"fmt"
	"sync"

	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// consensusItem is a consensus message as it is queued: encoded once for all links.
func consensusItem(height uint64, data []byte) peer.Item {
	frame := encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Consensus{Consensus: &wire.Consensus{Height: height, Data: data}}})
	return peer.Item{Class: peer.Control, Height: height, Bytes: len(frame), Frame: frame}
}

// Broadcast sends a consensus message to all validators that are linked now. One that is not gets it when the protocol sends it again.
// A message that is larger than the limit is an error of the plugin.
func (n *Network) Broadcast(height uint64, data []byte) error {
	if err := n.mayMessage(data); err != nil {
		return err
	}
	item := consensusItem(height, data)
	for _, l := range n.allLinks(true) {
		l.push(item)
	}
	return nil
}

// Send sends a consensus message to one validator.
func (n *Network) Send(to ID, height uint64, data []byte) error {
	if err := n.mayMessage(data); err != nil {
		return err
	}
	links := n.linksOf(to)
	if len(links) == 0 {
		return fmt.Errorf("send to %s: %w", to.Short(), ErrNoLink)
	}
	item := consensusItem(height, data)
	for _, l := range links {
		if !l.follower {
			l.push(item)
		}
	}
	return nil
}

func (n *Network) mayMessage(data []byte) error {
	switch {
	case n.o.Follower:
		return fmt.Errorf("network: a follower sends no consensus messages")
	case len(data) > n.o.Limits.Message:
		return fmt.Errorf("network: a consensus message of %d bytes, at most %d are allowed (network.message_bytes)", len(data), n.o.Limits.Message)
	}
	return nil
}

// Announce tells all peers the newest decided block. Consensus messages and bodies of its height and below are of no use from now on.
func (n *Network) Announce(h Head) {
	frame := encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Head{Head: &wire.Head{Height: h.Height, Value: h.Value[:]}}})
	n.headFrame.Store(&frame)
	n.head.Store(&h)
	n.bodies.decided(h.Height)
	for _, l := range n.allLinks(false) {
		l.sendHead(h, frame)
	}
}

func (n *Network) sendHeadTo(l *link) {
	if frame := n.headFrame.Load(); frame != nil {
		h, _ := n.Head()
		l.sendHead(h, *frame)
		return
	}
	// A node without a head yet still says that it is there.
	l.mu.Lock()
	frame := encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Head{Head: &wire.Head{}}})
	l.queue.SetHead(peer.Item{Class: peer.Control, Frame: frame, Bytes: len(frame)})
	l.mu.Unlock()
	signal(l.control)
}

// Gossip sends transactions that this node has admitted to the peers that do not have them yet. The network passes on nothing by
// itself: a node of a mesh in which not all are linked with all gives what came from peers to Gossip too.
func (n *Network) Gossip(transactions [][]byte) { n.gossip(n.allLinks(false), transactions, false) }

// GossipAgain is Gossip of transactions that were sent and still wait after a while, to validators: one that was dropped on the way, or not
// admitted there at that moment, is not lost. Peers count what they had as repeated, so it is for few at a time.
func (n *Network) GossipAgain(transactions [][]byte) { n.gossip(n.allLinks(true), transactions, true) }

// GossipTo is Gossip to one peer: what waits in the pool, when a link to it was made.
func (n *Network) GossipTo(to ID, transactions [][]byte) {
	n.gossip(n.linksOf(to), transactions, false)
}

func (n *Network) gossip(links []*link, transactions [][]byte, again bool) {
	limits := n.o.Limits
	digests := make([]uint64, len(transactions))
	n.seenMu.Lock()
	for i, tx := range transactions {
		digests[i] = n.seen.Digest(tx)
		n.seen.Add(digests[i])
	}
	n.seenMu.Unlock()
	var whole []peer.Item // the batches that a peer gets which has none of them: encoded once
	batches := func(list [][]byte) (items []peer.Item) {
		batch, bytes := [][]byte(nil), 0
		flush := func() {
			if len(batch) > 0 {
				frame := encode(&wire.BulkFrame{Frame: &wire.BulkFrame_Transactions{Transactions: &wire.Transactions{Transactions: batch}}})
				items = append(items, peer.Item{Class: peer.Gossip, Bytes: len(frame), Frame: frame})
			}
			batch, bytes = nil, 0
		}
		for _, tx := range list {
			if len(tx) == 0 || len(tx) > limits.BatchBytes {
				continue // larger than peers take
			}
			if len(batch) == limits.BatchCount || bytes+len(tx) > limits.BatchBytes {
				flush()
			}
			batch, bytes = append(batch, tx), bytes+len(tx)
		}
		flush()
		return items
	}
	for _, l := range links {
		missing := make([][]byte, 0, len(transactions))
		l.mu.Lock()
		for i, tx := range transactions {
			if fresh := l.sent.Add(digests[i]); (fresh || again) && !l.got.Has(digests[i]) {
				missing = append(missing, tx)
			}
		}
		l.mu.Unlock()
		items := whole
		switch {
		case len(missing) < len(transactions):
			items = batches(missing)
		case whole == nil:
			whole = batches(missing)
			items = whole
		}
		for _, i := range items {
			l.push(i)
		}
	}
}

// firstSeen remembers a transaction, and tells whether it is new to this node.
func (n *Network) firstSeen(digest uint64) bool {
	n.seenMu.Lock()
	defer n.seenMu.Unlock()
	return n.seen.Add(digest)
}

// Forget makes a transaction of a peer new again that was not admitted now and may be later: it is handed over when it comes again.
func (n *Network) Forget(transaction []byte) { n.forget(n.seen.Digest(transaction)) }

// forget makes a transaction new again that was not handed to the core.
func (n *Network) forget(digest uint64) {
	n.seenMu.Lock()
	defer n.seenMu.Unlock()
	n.seen.Forget(digest)
}

// Publication is a proposal that goes to all validators while it is built. Its methods may be called from any goroutine, one at a
// time; Finish or Abandon ends it.
type Publication struct {
	n      *Network
	height uint64
	round  uint32
	group  uint64

	mu    sync.Mutex
	next  uint32
	data  []byte
	ended bool
}

// PublishBody begins a proposal of this node.
func (n *Network) PublishBody(height uint64, round uint32) *Publication {
	return &Publication{n: n, height: height, round: round, group: n.groups.Add(1)}
}

// Part sends the next piece of the proposal. An error says that it has become larger than peers take; nothing more is sent then.
func (p *Publication) Part(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("network: the proposal of height %d has ended", p.height)
	}
	if limit := p.n.o.Limits.Body; len(p.data)+len(data) > limit {
		p.end(&wire.BodyPart{})
		return fmt.Errorf("network: a proposal of more than %d bytes (network.body_bytes)", limit)
	}
	p.data = append(p.data, data...)
	for size := p.n.o.Limits.Part; len(data) > 0; {
		piece := data[:min(size, len(data))]
		data = data[len(piece):]
		p.send(&wire.BodyPart{Data: piece})
	}
	return nil
}

// Finish gives the proposal its value. From now on this node serves it.
func (p *Publication) Finish(v Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.n.bodies.keep(p.height, v, p.data)
		p.end(&wire.BodyPart{Value: v[:]})
	}
}

// Abandon tells the peers that the proposal will not come.
func (p *Publication) Abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.end(&wire.BodyPart{})
	}
}

func (p *Publication) end(last *wire.BodyPart) {
	last.Last = true
	p.send(last)
	p.ended, p.data = true, nil
}

func (p *Publication) send(part *wire.BodyPart) {
	part.Height, part.Round, part.Index = p.height, p.round, p.next
	p.next++
	frame := encode(&wire.BulkFrame{Frame: &wire.BulkFrame_BodyPart{BodyPart: part}})
	item := peer.Item{Class: peer.Bodies, Height: p.height, Group: p.group, Last: part.Last, Bytes: len(frame), Frame: frame}
	for _, l := range p.n.allLinks(true) {
		l.push(item)
	}
}
