package consensustest

import (
	"bytes"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// disk is what outlives a crash.
type disk struct {
	blocks  []block
	records [][]byte              // of the height after the last block
	guards  []guard               // of that height
	state   []byte                // the last lasting record
	bodies  map[string]storedBody // that were built or found valid, of that height
}

type guard struct {
	ballot
	data []byte
}

// write is something that is to be durable. Writes reach the disk one after the other, in order.
type write struct {
	height  uint64
	record  []byte
	lasting bool
	guard   *guard
	decided *block
	sign    *ordov1.Action_Sign // of a guard: what waits for it
}

// barrier says whether the actions that follow wait for the disk.
func (n *node) barrier() bool {
	for _, w := range n.writes {
		if w.guard == nil && w.decided == nil {
			return true
		}
	}
	return false
}

func (n *node) write(w write) {
	w.height = n.height
	if n.writes = append(n.writes, w); len(n.writes) == 1 {
		n.nextWrite()
	}
}

func (n *node) nextWrite() {
	n.w.after(n.writeTime(), n, n.written)
}

func (n *node) writeTime() time.Duration {
	return n.w.between(50*time.Microsecond, 500*time.Microsecond) + n.extra(SlowDisk)
}

// written takes that the oldest write is durable.
func (n *node) written() {
	w := n.writes[0]
	if n.writes = n.writes[1:]; len(n.writes) > 0 {
		n.nextWrite()
	}
	switch {
	case w.decided != nil:
		n.disk.blocks = append(n.disk.blocks, *w.decided)
		n.w.checks.durable(n, w.decided.height, w.decided.value)
		n.disk.records, n.disk.guards, n.disk.bodies = nil, nil, nil
	case w.lasting:
		n.disk.state = w.record
		n.keepBodies()
	case w.height != uint64(len(n.disk.blocks))+1: // of a height that is decided
	case w.guard != nil:
		n.disk.guards = append(n.disk.guards, *w.guard)
		n.keepBodies()
	default:
		n.disk.records = append(n.disk.records, w.record)
		n.keepBodies()
	}
	if w.sign != nil {
		n.tellSigned(w.sign, w.height)
	}
	if n.deferred && len(n.writes) == 0 {
		n.beginPlugin()
	}
	n.runActions()
}

// keepBodies keeps what a vote may be about: a block that is locked must not be lost by all nodes at once.
func (n *node) keepBodies() {
	if n.w.scenario.ForgetBodies {
		return
	}
	if n.disk.bodies == nil {
		n.disk.bodies = map[string]storedBody{}
	}
	for _, a := range n.attempts {
		if have, ok := n.bodies[string(a.value)]; ok && a.state == built {
			n.disk.bodies[string(a.value)] = have
		}
	}
}

// sign asks for a signature, which comes when the guard of it is durable.
func (n *node) sign(s *ordov1.Action_Sign) {
	b := ballot{s.Kind, s.Round}
	before, again := n.signed[b]
	switch {
	case !n.signs() || n.does(Refuse):
		n.refuse(s)
	case again && !bytes.Equal(before, s.Data) && !n.w.scenario.NoGuard:
		if n.honest {
			n.w.fail(DoubleSign, n, "it wants to sign %x as kind %d of round %d at height %d, where it has signed %x", s.Data, s.Kind, s.Round, n.height, before)
			return
		}
		n.refuse(s)
	default:
		n.signed[b] = s.Data
		n.write(write{guard: &guard{b, s.Data}, sign: s})
	}
}

// signs says whether the node is a validator.
func (n *node) signs() bool { return n.number < n.w.scenario.Validators || n.number >= len(n.w.keys) }

func (n *node) refuse(s *ordov1.Action_Sign) {
	n.w.recorder.note(n.w, n, "a signature is refused: kind %d of round %d", s.Kind, s.Round)
	n.tellSignature(&ordov1.ConsensusEvent_Signed{Id: s.Id})
}

func (n *node) tellSigned(s *ordov1.Action_Sign, height uint64) {
	n.w.checks.signed(n, height, s)
	n.tellSignature(&ordov1.ConsensusEvent_Signed{Id: s.Id, Signature: n.key.sign(signedBytes(height, s))})
}

func (n *node) tellSignature(signed *ordov1.ConsensusEvent_Signed) {
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Signed_{Signed: signed}})
	if n.signing--; n.signing <= 0 {
		held := n.held
		n.held, n.signing = nil, 0
		for _, event := range held {
			n.tell(event)
		}
	}
}
