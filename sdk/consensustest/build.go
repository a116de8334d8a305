package consensustest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// attempt is one try at a block.
type attempt struct {
	id      uint64
	state   attemptState
	build   *ordov1.Action_Build // nil: of a peer
	sealed  bool
	value   []byte
	body    []byte
	from    []byte
	claimed []byte
	idle    int // number of the newest start of the idle time
	asked   int // nodes that were asked for the body
	n       int // transactions of the block
}

type attemptState string

const (
	building attemptState = "open"
	checking attemptState = "checked"
	built    attemptState = "built"
	ended    attemptState = "abandoned"
)

// Times of the model: a build or a validation takes from runLow to runHigh, an answer to a question for a body fetchEach.
const (
	runLow    = 500 * time.Microsecond
	runHigh   = 3 * time.Millisecond
	fetchEach = 50 * time.Millisecond
	fetchAll  = 300 * time.Millisecond
	aheadMs   = 1000 // how far the time of a proposal may be ahead
)

type storedBody struct {
	bytes  []byte
	height uint64
	own    bool
}

// proposal is a body: what the model knows of a block.
type proposal struct {
	parent   [32]byte
	height   uint64
	proposer [32]byte
	timeMs   uint64
	broken   bool
	txs      []uint64
}

func (p proposal) bytes() []byte {
	b := append(append([]byte{}, p.parent[:]...), p.proposer[:]...)
	b = binary.BigEndian.AppendUint64(b, p.height)
	b = binary.BigEndian.AppendUint64(b, p.timeMs)
	flags := byte(0)
	if p.broken {
		flags = 1
	}
	b = append(b, flags)
	for _, id := range p.txs {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	return b
}

const proposalHead = 32 + 32 + 8 + 8 + 1

func readProposal(b []byte) (p proposal, ok bool) {
	if len(b) < proposalHead || (len(b)-proposalHead)%8 != 0 {
		return p, false
	}
	copy(p.parent[:], b)
	copy(p.proposer[:], b[32:])
	p.height, p.timeMs, p.broken = binary.BigEndian.Uint64(b[64:]), binary.BigEndian.Uint64(b[72:]), b[80] != 0
	for b = b[proposalHead:]; len(b) > 0; b = b[8:] {
		p.txs = append(p.txs, binary.BigEndian.Uint64(b))
	}
	return p, true
}

// execute is the value of a body, as the execution of this node finds it.
func (n *node) execute(body []byte) []byte {
	if n.diverged {
		body = append(bytes.Clone(body), "diverged"...)
	}
	return trueValue(body)
}

func trueValue(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:]
}

// parent is the value of the newest decided block.
func (n *node) parent() (value [32]byte) {
	if len(n.chain) > 0 {
		copy(value[:], n.chain[len(n.chain)-1].value)
	}
	return value
}

func (n *node) parentTime() uint64 {
	if len(n.chain) == 0 {
		return 0
	}
	p, _ := readProposal(n.chain[len(n.chain)-1].body)
	return p.timeMs
}

func (n *node) include(body []byte) {
	p, _ := readProposal(body)
	for _, id := range p.txs {
		n.included[id] = true
	}
}

// register registers an attempt as the open one and abandons the one that was open.
func (n *node) register(id uint64, a *attempt) bool {
	if n.attempts[id] != nil {
		n.fault("attempt %d of height %d exists already", id, n.height)
		return false
	}
	if n.open != nil {
		n.abandon(n.open)
	}
	a.id, n.attempts[id], n.open = id, a, a
	return true
}

func (n *node) abandon(a *attempt) {
	a.state = ended
	if n.open == a {
		n.open = nil
	}
	n.announce()
}

func (n *node) build(b *ordov1.Action_Build) {
	if n.failedAt == n.w.now {
		n.fault("build: it answers Failed with another Build at once: both would spin")
		return
	}
	if b.ReuseAttempt != 0 {
		n.repropose(b)
		return
	}
	a := &attempt{state: building, build: b}
	if !n.register(b.Attempt, a) {
		return
	}
	if b.DeadlineMs > 0 {
		n.w.after(time.Duration(b.DeadlineMs)*time.Millisecond, n, func() { n.seal(a) })
	}
	n.waitIdle(a)
}

// repropose builds the transactions of an earlier attempt again: the same block, when it is whole.
func (n *node) repropose(b *ordov1.Action_Build) {
	old := n.attempts[b.ReuseAttempt]
	switch {
	case old == nil:
		n.fault("build: height %d has no attempt %d to reuse", n.height, b.ReuseAttempt)
		return
	case old.state != built:
		n.fault("build: attempt %d of height %d is %s, and cannot be proposed again", b.ReuseAttempt, n.height, old.state)
		return
	}
	a := &attempt{state: building, build: b, sealed: true}
	if !n.register(b.Attempt, a) {
		return
	}
	body := old.body
	if limit := int(b.MaxTransactions); limit > 0 && limit < old.n {
		p, _ := readProposal(body)
		p.txs = p.txs[:limit]
		body = p.bytes()
	}
	n.w.after(n.runTime(), n, func() { n.finish(a, body) })
}

func (n *node) runTime() time.Duration { return n.w.between(runLow, runHigh) + n.extra(SlowRun) }

// waitIdle starts the idle time of an attempt that holds transactions.
func (n *node) waitIdle(a *attempt) {
	if a == nil || a.state != building || a.sealed || len(n.pool) == 0 {
		return
	}
	if limit := a.build.MaxTransactions; limit > 0 && len(n.pool) >= int(limit) {
		n.seal(a)
		return
	}
	if a.build.IdleMs == 0 {
		return
	}
	a.idle++
	idle := a.idle
	n.w.after(time.Duration(a.build.IdleMs)*time.Millisecond, n, func() {
		if a.idle == idle {
			n.seal(a)
		}
	})
}

// seal closes an attempt: it takes what is in the pool.
func (n *node) seal(a *attempt) {
	if a.state != building || a.sealed || a != n.open {
		return
	}
	a.sealed = true
	n.w.after(n.runTime(), n, func() {
		if a.state != building {
			return
		}
		txs := n.pool
		if limit := a.build.MaxTransactions; limit > 0 && len(txs) > int(limit) {
			txs = txs[:limit]
		}
		if len(txs) == 0 && !a.build.AllowEmpty {
			a.state, n.open, n.failedAt = ended, nil, n.w.now
			n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: &ordov1.ConsensusEvent_Failed{
				Attempt: a.id, Reason: "there is no transaction", Empty: true}}})
			n.announced = false
			n.announce()
			return
		}
		p := proposal{parent: n.parent(), height: n.height, timeMs: max(n.nowMs(), n.parentTime()), broken: n.does(Invalid), txs: txs}
		copy(p.proposer[:], n.key.public)
		n.finish(a, p.bytes())
	})
}

// finish ends an own attempt with a block.
func (n *node) finish(a *attempt, body []byte) {
	if a.state != building {
		return
	}
	p, _ := readProposal(body)
	a.state, a.body, a.value, a.n = built, body, n.execute(body), len(p.txs)
	if n.open == a {
		n.open = nil
	}
	n.bodies[string(a.value)] = storedBody{body, n.height, true}
	if a.build.Publish && !n.does(Withhold) {
		value := a.value
		n.others(func(to *node) { n.send(to, publish(value, body)) })
	}
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: &ordov1.ConsensusEvent_Built{
		Attempt: a.id, Value: a.value, N: uint64(a.n), Proposal: body}}})
	n.announce()
}

func publish(value, b []byte) packet { return body{value, b} }

// maxBodies is how many bodies of peers a node keeps.
const maxBodies = 256

func (n *node) takeBody(b body) {
	p, ok := readProposal(b.body)
	if !ok || p.height < n.height || p.height > n.height+10 || len(n.bodies) >= maxBodies {
		return
	}
	if _, ok := n.bodies[string(b.value)]; !ok {
		n.bodies[string(b.value)] = storedBody{b.body, p.height, false}
	}
	if a := n.open; a != nil && a.state == checking && a.body == nil && bytes.Equal(a.claimed, b.value) {
		n.examine(a, b.body)
	}
}

// validate begins the attempt of a peer's proposal.
func (n *node) validate(v *ordov1.Action_Validate) {
	a := &attempt{state: checking, from: v.From, claimed: v.Value}
	if !n.register(v.Attempt, a) {
		return
	}
	if len(v.Proposal) > 0 {
		n.examine(a, v.Proposal)
		return
	}
	if have, ok := n.bodies[string(v.Value)]; ok {
		n.examine(a, have.bytes)
		return
	}
	n.fetch(a)
	n.w.after(fetchAll, n, func() {
		if a.state == checking && a.body == nil {
			n.judge(a, "no peer has the body", true)
		}
	})
}

// fetch asks for the body of a proposal: the proposer first, then one peer after the other.
func (n *node) fetch(a *attempt) {
	if a.state != checking || a.body != nil {
		return
	}
	asked := 0
	n.others(func(to *node) {
		first := bytes.Equal(to.key.public, a.from)
		if (a.asked == 0) == first && (first || asked == (a.asked-1)%max(1, len(n.w.nodes)-2)) {
			n.send(to, want{a.claimed})
		}
		if !first {
			asked++
		}
	})
	a.asked++
	n.w.after(fetchEach, n, func() { n.fetch(a) })
}

// examine runs a body, and tells what came out.
func (n *node) examine(a *attempt, body []byte) {
	a.body = body
	n.w.after(n.runTime(), n, func() {
		if a.state == checking {
			n.judge(a, n.objection(a, body), false)
		}
	})
}

// objection is why a body is not valid here, "" when it is.
func (n *node) objection(a *attempt, body []byte) string {
	p, ok := readProposal(body)
	switch {
	case !ok:
		return "the proposal cannot be decoded"
	case p.height != n.height:
		return fmt.Sprintf("the proposal is for height %d, not %d", p.height, n.height)
	case !bytes.Equal(p.proposer[:], a.from):
		return "the proposal pays another validator than its proposer"
	case p.parent != n.parent():
		return "the proposal has another parent"
	case p.timeMs < n.parentTime():
		return "the proposal is older than its parent"
	case p.timeMs > n.nowMs()+aheadMs:
		return "the proposal is from the future"
	case p.broken:
		return "transaction 0 is rejected"
	}
	if a.value = n.execute(body); !bytes.Equal(a.value, a.claimed) {
		return fmt.Sprintf("it comes to value %x, not %x", a.value[:4], a.claimed[:min(4, len(a.claimed))])
	}
	a.n = len(p.txs)
	return ""
}

// judge ends the attempt of a peer's proposal.
func (n *node) judge(a *attempt, reason string, missing bool) {
	if a.state = built; reason != "" {
		a.state = ended
	}
	if n.open == a {
		n.open = nil
	}
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: &ordov1.ConsensusEvent_Verdict{
		Attempt: a.id, Valid: reason == "", Value: a.claimed, Reason: reason, Missing: missing}}})
	n.announce()
}

// Transaction implements Core: the pool takes it.
func (n model) Transaction(id uint64) {
	if !n.up() || n.included[id] {
		return
	}
	n.pool = append(n.pool, id)
	n.failedAt = -1
	n.waitIdle(n.open)
	n.announce()
}

// announce tells once that there are transactions, unless an open attempt takes them.
func (n *node) announce() {
	if len(n.pool) == 0 {
		n.announced = false
		return
	}
	if a := n.open; n.announced || n.plugin == nil || a != nil && a.state == building && !a.sealed {
		return
	}
	n.announced = true
	n.failedAt = -1
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: &ordov1.ConsensusEvent_Ready{Pending: uint64(len(n.pool))}}})
}
