package consensustest

import (
	"bytes"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// packet is what goes from a core to another.
type packet = Packet

type (
	body struct { // of a proposal
		value, body []byte
	}
	want struct{ value []byte }  // asks for a body
	head struct{ height uint64 } // newest block on its disk
	ask  struct{ height uint64 } // asks for a decided block
)

func (b body) Size() int  { return len(b.body) }
func (want) Size() int    { return 32 }
func (head) Size() int    { return 8 }
func (ask) Size() int     { return 8 }
func (b block) Size() int { return len(b.body) + len(b.certificate) }

// link is the way from a node to another; packets keep their order on it.
type link struct{ last time.Duration }

// recentMessages is how many messages of a node can come again by Stale.
const recentMessages = 64

// others calls do for every node with another key.
func (n *node) others(do func(to *node)) {
	for _, to := range n.w.nodes {
		if !bytes.Equal(to.key.public, n.key.public) {
			do(to)
		}
	}
}

// send gives a packet to the network, which may lose it, hold it up, change or repeat it.
func (n *node) send(to *node, p packet) {
	w := n.w
	way := w.links[[2]int{n.number, to.number}]
	if way == nil {
		way = &link{}
		w.links[[2]int{n.number, to.number}] = way
	}
	row := w.scenario.Latency[n.number%len(w.scenario.Latency)]
	base := row[to.number%len(row)]
	latency := base + w.between(0, base/10)
	copies, overtakes := []time.Duration{0}, time.Duration(0)
	stale := false
	for _, f := range w.faults {
		if !f.active(w.now) || !f.on(n.number, to.number) {
			continue
		}
		switch f.Kind {
		case Cut, Partition:
			return
		case Drop:
			if f.random.Float64() < f.Rate {
				return
			}
		case Repeat:
			if f.random.Float64() < f.Rate {
				copies = append(copies, draw(f, f.Amount))
			}
		case Stale:
			stale = stale || f.random.Float64() < f.Rate
		case Corrupt:
			if m, ok := p.(Message); ok && len(m.Data) > 0 && f.random.Float64() < f.Rate {
				changed := bytes.Clone(m.Data)
				changed[f.random.IntN(len(changed))] ^= byte(1 << f.random.IntN(8))
				p = Message{changed}
			}
		case Delay:
			latency += f.Amount
		case Jitter:
			latency += draw(f, f.Amount)
		case Reorder:
			if f.random.Float64() < f.Rate {
				overtakes += draw(f, f.Amount)
			}
		case Bandwidth:
			w.sending[n.number] = max(w.sending[n.number], w.now) + time.Duration(p.Size())*time.Second/time.Duration(max(f.Bytes, 1))
			latency += w.sending[n.number] - w.now
		}
	}
	at := max(w.now+latency, way.last)
	if overtakes == 0 {
		way.last = at // the next one does not arrive before this one
	}
	for _, later := range copies {
		w.after(at+overtakes+later-w.now, to, func() { to.receive(n, p) })
	}
	if m, ok := p.(Message); ok {
		if old := w.recent[n.number]; stale && len(old) > 0 {
			again := Message{old[w.random.IntN(len(old))]}
			w.after(at-w.now, to, func() { to.receive(n, again) })
		}
		old := append(w.recent[n.number], m.Data)
		w.recent[n.number] = old[max(0, len(old)-recentMessages):]
	}
}

func draw(f *liveFault, up time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(max(up, 0)) + 1))
}

// receive takes a packet that came through.
func (n *node) receive(from *node, p packet) {
	if n.up() {
		n.core.Receive(&Host{from}, p)
	}
}

// Receive implements Core.
func (n model) Receive(sender *Host, p Packet) {
	from := sender.node
	switch p := p.(type) {
	case Message:
		event := &ordov1.ConsensusEvent_Message{From: from.key.public, Data: p.Data}
		n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Message_{Message: event}})
	case body:
		n.takeBody(p)
	case want:
		if have, ok := n.bodies[string(p.value)]; ok && !(have.own && n.does(Withhold)) {
			n.send(from, body{p.value, have.bytes})
		}
	case head:
		n.heardHead(from, p.height)
	case ask:
		if p.height > 0 && p.height <= uint64(len(n.disk.blocks)) {
			n.send(from, n.disk.blocks[p.height-1])
		}
	case block:
		n.takeBlock(from, p)
	}
}
