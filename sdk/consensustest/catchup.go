package consensustest

import (
	"bytes"
	"fmt"
	"math"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Times of catch-up: heads are told at intervals; a node that is behind waits, asks, and asks again.
const (
	headEvery  = 500 * time.Millisecond
	behindWait = 300 * time.Millisecond
	askAgain   = 200 * time.Millisecond
)

// tellHead tells all others the newest durable block, again and again.
func (n *node) tellHead() {
	if !n.up() {
		return
	}
	n.others(func(to *node) { n.send(to, head{uint64(len(n.disk.blocks))}) })
	n.w.after(headEvery, n, n.tellHead)
}

// heardHead notices that a peer is ahead. The protocol has some time to get there by itself.
func (n *node) heardHead(from *node, height uint64) {
	n.heads[from.number] = max(n.heads[from.number], height)
	if n.behind || height < n.height {
		return
	}
	n.behind = true
	was := n.height
	n.w.after(behindWait, n, func() {
		if n.behind = false; n.height == was {
			n.askNext(0)
		}
	})
}

// askNext asks a peer that is ahead for the next block.
func (n *node) askNext(round int) {
	var ahead []*node
	for _, peer := range n.w.nodes {
		if n.heads[peer.number] >= n.height {
			ahead = append(ahead, peer)
		}
	}
	if len(ahead) == 0 || !n.up() || round > 2*len(n.w.nodes) {
		return
	}
	n.behind = true
	n.send(ahead[(int(n.height)+round)%len(ahead)], ask{n.height})
	was := n.height
	n.w.after(askAgain, n, func() {
		if n.learning != nil {
			return // it goes on when the block is executed
		}
		if n.behind = false; n.height == was {
			n.askNext(round + 1)
		}
	})
}

// dropActions drops what waits, but for timers: the height is decided elsewhere.
func (n *node) dropActions() {
	todo, held := n.todo, n.held
	for i := range n.writes {
		n.writes[i].sign = nil
	}
	n.todo, n.held, n.signing = nil, nil, 0
	for _, a := range todo {
		n.runTimer(a)
	}
	for _, event := range held {
		n.tell(event)
	}
}

// takeBlock takes a decided block of a peer: on its certificate, or on the word of a validator when the protocol makes none.
func (n *node) takeBlock(from *node, b block) {
	if b.height != n.height || n.learning != nil {
		return
	}
	proven := n.w.subject.Verify != nil
	if proven && n.w.verify(b.height, b.value, b.certificate) != nil || !proven && !from.signs() {
		return
	}
	interrupted := n.open
	if interrupted != nil {
		interrupted.state, n.open = ended, nil
	}
	n.learning = &b
	instance := n.instance
	n.w.after(n.runTime(), n, func() {
		n.learning = nil
		p, ok := readProposal(b.body)
		value := n.execute(b.body)
		switch {
		case !ok || p.parent != n.parent() || p.broken || !bytes.Equal(value, b.value):
			if proven {
				n.stop(Validity, fmt.Sprintf("the validators decided %x for block %d, this node comes to %x", b.value[:4], b.height, value[:4]))
				return
			}
			if interrupted != nil && n.instance == instance {
				n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{
					Attempt: interrupted.id, Reason: "a block of a peer was executed, and was not what the peer said"}}})
			}
			n.announce()
			n.runActions()
		default:
			n.w.recorder.note(n.w, n, "learns block %d from %s", b.height, from.name)
			n.w.checks.learned++
			n.learned = math.MaxUint64 // answers to what was held are void, too
			n.dropActions()
			n.learned = n.seq + 1
			n.conclude(b)
		}
		if n.deferred && n.up() && len(n.writes) == 0 {
			n.beginPlugin()
		}
		if n.behind = false; n.up() {
			n.askNext(0)
		}
	})
}
