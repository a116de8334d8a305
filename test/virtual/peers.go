package virtual

import (
	"bytes"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Times between nodes.
const (
	headEvery  = 500 * time.Millisecond // a node tells its newest block so often, and when it changes
	behindWait = 300 * time.Millisecond // how long a peer may be ahead before its blocks are asked for
	askAgain   = 200 * time.Millisecond
	fetchEach  = 50 * time.Millisecond
	fetchAll   = 300 * time.Millisecond
)

// Packets between cores.
type (
	published struct{ value, body []byte }
	want      struct{ value []byte }
	head      struct{ height uint64 }
	ask       struct{ height uint64 }
	decided   struct {
		height                   uint64
		value, body, certificate []byte
	}
	greeting struct{}
	waiting  struct{ ids []uint64 }
)

// Size implements consensustest.Packet.
func (p published) Size() int { return len(p.body) }

// Size implements consensustest.Packet.
func (want) Size() int { return 32 }

// Size implements consensustest.Packet.
func (head) Size() int { return 8 }

// Size implements consensustest.Packet.
func (ask) Size() int { return 8 }

// Size implements consensustest.Packet.
func (p decided) Size() int { return len(p.body) + len(p.certificate) }

// Size implements consensustest.Packet.
func (greeting) Size() int { return 1 }

// Size implements consensustest.Packet.
func (p waiting) Size() int { return 100 * len(p.ids) }

// peers is what a process knows of the others.
type peers struct {
	bodies   map[string]body
	fetching map[uint64]pipeline.Fetch
	heads    map[int]uint64 // by number of the node
	behind   bool           // a catch-up is under way
	learning uint64         // the height that was given to the machine as decided by others; 0: none
}

type body struct {
	height uint64
	bytes  []byte
	serves bool // it is this node's own, or was found valid
}

// maxBodies is how many bodies of peers are held.
const maxBodies = 256

func newPeers() peers {
	return peers{bodies: map[string]body{}, fetching: map[uint64]pipeline.Fetch{}, heads: map[int]uint64{}}
}

// Receive implements consensustest.Core.
func (n *node) Receive(from *consensustest.Host, p consensustest.Packet) {
	if n.machine == nil {
		return
	}
	switch p := p.(type) {
	case consensustest.Message:
		n.post(pipeline.Delivered{From: from.Key(), Data: p.Data})
	case published:
		n.takeBody(p)
	case want:
		if b, ok := n.peers.bodies[string(p.value)]; ok && b.serves && !n.host.Does(consensustest.Withhold) {
			n.host.Send(from, published{p.value, b.bytes})
		}
	case head:
		n.heardHead(from, p.height)
	case ask:
		if p.height > 0 && p.height <= uint64(len(n.disk.blocks)) {
			b := n.disk.blocks[p.height-1]
			n.host.Send(from, decided{p.height, b.value(), proposalOf(b), b.certificate})
		}
	case decided:
		n.learn(from, p)
	case greeting:
		var ids []uint64
		for _, id := range n.disk.arrivals {
			if n.pool.Get(keyOf(id)) != nil {
				ids = append(ids, id)
			}
		}
		n.host.Send(from, waiting{ids})
	case waiting:
		for _, id := range p.ids {
			n.admit(id)
		}
	}
}

// proposalOf is a stored block as the proposal that it was.
func proposalOf(b stored) []byte {
	p, items := &ordov1.Proposal{Context: b.header.Context}, b.items
	if b.order != nil {
		items, p.ParentResult, p.Rest = b.order.Items, b.order.Parent, b.order.Rest
	}
	p.N = uint64(len(items))
	for _, item := range items {
		p.Transactions = append(p.Transactions, item.Tx)
	}
	bytes, _ := proto.Marshal(p)
	return bytes
}

// publish gives the body of an own proposal to the others. One of a node that builds invalid bodies has a transaction without signature.
func (n *node) publish(c pipeline.Publish) {
	own := c.Body
	if n.host.Does(consensustest.Invalid) {
		p := &ordov1.Proposal{}
		if err := proto.Unmarshal(own, p); err == nil {
			if p.Context.Sequencer = make([]byte, 32); len(p.Transactions) > 0 {
				p.Context.Sequencer, p.Transactions[0].Signature = n.host.Key(), nil
			}
			own, _ = proto.Marshal(p)
		}
	}
	n.peers.bodies[string(c.Value)] = body{c.Height, own, true}
	if n.host.Does(consensustest.Withhold) {
		return
	}
	for _, to := range n.host.Others() {
		n.host.Send(to, published{c.Value, own})
	}
}

func (n *node) takeBody(p published) {
	proposal := &ordov1.Proposal{}
	if err := proto.Unmarshal(p.body, proposal); err != nil {
		return
	}
	if h := proposal.Context.GetNumber(); h < n.machine.Height() || h > n.machine.Height()+10 || len(n.peers.bodies) >= maxBodies {
		return
	}
	if _, have := n.peers.bodies[string(p.value)]; !have {
		n.peers.bodies[string(p.value)] = body{proposal.Context.GetNumber(), p.body, false}
	}
	for _, build := range slices.Sorted(keysOf(n.peers.fetching)) {
		if bytes.Equal(n.peers.fetching[build].Value, p.value) {
			n.fetched(build, p.body)
		}
	}
}

func keysOf(m map[uint64]pipeline.Fetch) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func (n *node) fetched(build uint64, body []byte) {
	delete(n.peers.fetching, build)
	n.post(pipeline.Fetched{Build: build, Body: body})
}

// fetch finds a body: here, at its proposer, at one peer after the other.
func (n *node) fetch(c pipeline.Fetch) {
	if b, ok := n.peers.bodies[string(c.Value)]; ok {
		n.post(pipeline.Fetched{Build: c.Build, Body: b.bytes})
		return
	}
	n.peers.fetching[c.Build] = c
	others := n.host.Others()
	slices.SortStableFunc(others, func(a, b *consensustest.Host) int {
		return first(b, c.From) - first(a, c.From)
	})
	var next func(k int)
	next = func(k int) {
		if _, waits := n.peers.fetching[c.Build]; !waits || len(others) == 0 {
			return
		}
		n.host.Send(others[k%len(others)], want{c.Value})
		n.host.After(fetchEach, func() { next(k + 1) })
	}
	next(0)
	n.host.After(fetchAll, func() {
		if _, waits := n.peers.fetching[c.Build]; waits {
			n.fetched(c.Build, nil)
		}
	})
}

func first(h *consensustest.Host, key []byte) int {
	if h.HasKey(key) {
		return 1
	}
	return 0
}

// hello asks the others for what waits with them.
func (n *node) hello() {
	for _, to := range n.host.Others() {
		n.host.Send(to, greeting{})
	}
}

func (n *node) tellHead() {
	n.toldHead()
	n.host.After(headEvery, n.tellHead)
}

func (n *node) toldHead() {
	for _, to := range n.host.Others() {
		n.host.Send(to, head{uint64(len(n.disk.blocks))})
	}
}

// toldStored tells the others a new block, and lets go of the bodies that it makes useless.
func (n *node) toldStored() {
	for value, b := range n.peers.bodies {
		if b.height < n.machine.Height() {
			delete(n.peers.bodies, value)
		}
	}
	n.toldHead()
}

// heardHead notices that a peer is ahead. Consensus has some time to get there by itself.
func (n *node) heardHead(from *consensustest.Host, height uint64) {
	n.peers.heads[from.Number()] = max(n.peers.heads[from.Number()], height)
	if n.peers.behind || height < n.machine.Height() {
		return
	}
	n.peers.behind = true
	was := n.machine.Height()
	n.host.After(behindWait, func() {
		if n.peers.behind = false; n.machine.Height() == was {
			n.askNext(0)
		}
	})
}

// askNext asks a peer that is ahead for the next block, and another one when none comes.
func (n *node) askNext(round int) {
	var ahead []*consensustest.Host
	for _, peer := range n.host.Others() {
		if n.peers.heads[peer.Number()] >= n.machine.Height() {
			ahead = append(ahead, peer)
		}
	}
	if n.peers.behind || len(ahead) == 0 || round > 8 {
		return
	}
	n.peers.behind = true
	was := n.machine.Height()
	n.host.Send(ahead[(int(was)+round)%len(ahead)], ask{was})
	n.host.After(askAgain, func() {
		switch n.peers.behind = false; {
		case n.machine.Height() > was:
			n.askNext(0)
		case n.peers.learning == 0:
			n.askNext(round + 1)
		}
	})
}

// learn takes a decided block of a peer, as core/driver does.
func (n *node) learn(from *consensustest.Host, b decided) {
	if b.height != n.machine.Height() || n.peers.learning != 0 {
		return
	}
	p, why := pipeline.ReadLearned(b.height, b.value, b.body)
	if why == "" {
		why = n.machine.CheckLearned(p)
	}
	if why == "" {
		why = falsified(p)
	}
	proven := n.host.Proves()
	if proven && why == "" {
		if err := n.host.Verify(b.height, b.value, b.certificate); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		n.host.Note("block %d of %s is not taken: %s", b.height, from, why)
		return
	}
	learned := pipeline.Learned{Height: b.height, Proven: proven, Decided: pipeline.Decided{Context: p.Context, Value: b.value, Certificate: b.certificate, FromPeer: true,
		Parent: p.ParentResult, Rest: p.Rest}}
	for _, tx := range p.Transactions {
		learned.Items = append(learned.Items, pipeline.Item{Tx: tx})
	}
	n.host.Note("learns block %d from %s", b.height, from)
	n.peers.learning = b.height
	n.post(learned)
}
