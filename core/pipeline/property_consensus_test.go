package pipeline

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// consensus answers the oldest event with something lawful.
func (c *chaos) consensus() {
	if c.down[ordov1.Stage_STAGE_CONSENSUS] {
		return
	}
	if len(c.events) == 0 {
		c.give(TimerFired{TimerID{ConsensusTimer, 1}})
	}
	if len(c.events) == 0 {
		return // it has not begun
	}
	answer := &ordov1.Actions{Seq: c.events[0]}
	c.events = c.events[1:]
	if len(c.events) == 0 && !c.m.learning() && c.m.ordered == nil && !c.barrier && c.r.Intn(3) > 0 { // it acts on what it knows, not on the past
		answer.Actions = c.actions()
	}
	c.give(Answered{answer})
}

func (c *chaos) actions() (actions []*ordov1.Action) {
	do := func(format string, args ...any) { actions = append(actions, c.action(fmt.Sprintf(format, args...))) }
	begin := func() uint64 {
		c.attempt++
		c.tried[c.attempt] = true
		return c.attempt
	}
	var ready, known []uint64
	for a := range c.attempt + 1 {
		if c.tried[a] {
			known = append(known, a)
		}
		if c.built[a] != nil {
			ready = append(ready, a)
		}
	}
	switch c.r.Intn(27) {
	case 7:
		do("sign id=%d kind=1 round=%d data=vote%d", c.r.Intn(5), c.r.Intn(2), c.r.Intn(2))
		return actions
	case 8:
		do("persist data=term lasting")
		return actions
	case 0:
		do("persist data=vote")
		return actions
	case 1:
		do("timer id=%d after=5", c.r.Intn(3))
		return actions
	case 2:
		do("cancel id=%d", c.r.Intn(3))
		return actions
	case 3:
		do("send to=all data=vote")
		return actions
	case 4, 5:
		if !c.faithful {
			return append(actions, c.peerProposes(begin()))
		}
	case 6:
		if len(known) > 0 {
			do("seal attempt=%d", known[c.r.Intn(len(known))])
			return actions
		}
	}
	if c.faithful {
		switch {
		case len(ready) > 0:
			actions = append(actions, &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: ready[0], Value: c.built[ready[0]]}}})
		case c.running == 0 || !c.tried[c.running]:
			c.running = begin()
			do("build attempt=%d idle=%d deadline=%d empty", c.running, c.r.Intn(2), c.r.Intn(2))
		case c.r.Intn(3) == 0:
			do("seal attempt=%d", c.running)
		}
		return actions
	}
	empty := ""
	if c.r.Intn(2) == 0 {
		empty = "empty"
	}
	if c.r.Intn(3) == 0 {
		empty += " publish"
	}
	switch roll := c.r.Intn(12); {
	case roll < 4 && len(ready) > 0:
		a := ready[c.r.Intn(len(ready))]
		actions = append(actions, &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: a, Value: c.built[a]}}})
	case roll < 6 && c.running != 0:
		do("seal attempt=%d", c.running)
	case roll == 6 && len(known) > 0:
		a := known[c.r.Intn(len(known))]
		delete(c.built, a)
		do("abandon attempt=%d", a)
	case roll < 9 && len(known) > 0:
		old := known[c.r.Intn(len(known))]
		if c.foreign[old] && c.built[old] == nil {
			break // what is not found valid is not proposed again
		}
		c.running = begin()
		if value := c.built[old]; value != nil {
			c.reuse[c.running] = reused{c.ns[old], value}
		}
		do("build attempt=%d reuse=%d max=%d", c.running, old, c.r.Intn(4))
	case roll == 9 && c.last != nil && len(ready) > 0:
		a := ready[len(ready)-1]
		if proposal := c.proposal(a); proposal != nil {
			foreign := begin()
			c.ns[foreign], c.foreign[foreign] = c.last.N, true
			value := c.built[a]
			if c.r.Intn(2) == 0 {
				proposal = c.strip(proposal)
				c.stripped[foreign] = true
				if c.lazy { // an honest order has such transactions, too
					value, c.ns[foreign] = c.orderIn(proposal)
				}
			}
			actions = append(actions, &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: foreign, Proposal: proposal, Value: value, From: []byte("us")}}})
		}
	default:
		c.running = begin()
		do("build attempt=%d idle=%d deadline=%d max=%d %s", c.running, c.r.Intn(2), c.r.Intn(2), c.r.Intn(3)*4, empty)
	}
	return actions
}

// peerProposes is the proposal of an honest peer, of transactions that only it has.
func (c *chaos) peerProposes(attempt uint64) *ordov1.Action {
	own := c.m.context(c.now)
	if own.Number >= hashLag {
		own.OldBlockHash = fmt.Appendf(nil, "hash-%d", own.Number-hashLag)
	}
	p := &ordov1.Proposal{Context: own}
	var items []Item
	for i := range c.r.Intn(4) {
		tx := transaction(c.t, fmt.Sprintf("q/%d", c.chained["q"]+uint64(i)), "")
		p.Transactions, items = append(p.Transactions, tx), append(items, Item{Tx: tx})
	}
	p.N = uint64(len(items))
	if c.lazy {
		p.ParentResult = c.m.parentResult()
	}
	proposal, err := proto.Marshal(p)
	if err != nil {
		c.fatal("proposal of a peer: %v", err)
	}
	c.ns[attempt], c.foreign[attempt] = p.N, true
	v := &ordov1.Action_Validate{Attempt: attempt, Proposal: proposal, Value: c.valueOf(own, p.ParentResult, items), From: []byte("us")}
	if c.r.Intn(3) == 0 { // the body comes on another way
		c.bodies[string(v.Value)], v.Proposal = proposal, nil
	}
	return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: v}}
}

// peersDecide is a block that the other validators decided, of transactions that only they have.
func (c *chaos) peersDecide() Learned {
	d := Decided{Context: c.m.context(c.now), FromPeer: true, Certificate: []byte("signed by them")}
	if d.Context.Number >= hashLag {
		d.Context.OldBlockHash = fmt.Appendf(nil, "hash-%d", d.Context.Number-hashLag)
	}
	for i := range c.r.Intn(4) {
		d.Items = append(d.Items, Item{Tx: transaction(c.t, fmt.Sprintf("q/%d", c.chained["q"]+uint64(i)), "")})
	}
	d.Parent = c.m.parentResult()
	d.Value = c.valueOf(d.Context, d.Parent, d.Items)
	in := Learned{c.m.Height(), c.r.Intn(2) == 0, d}
	if c.r.Intn(8) == 0 {
		in.Height-- // late
	}
	if !in.Proven && c.r.Intn(3) == 0 {
		in.Value = []byte("a lie")
	}
	return in
}

// stripped is in place of the signature of a transaction that the pool has with its own, and why that is rejected.
const stripped = "no signature"

// strip makes a proposal of a dishonest node of an honest one: a block in which one transaction is rejected.
func (c *chaos) strip(b []byte) []byte {
	p := &ordov1.Proposal{}
	if err := proto.Unmarshal(b, p); err != nil {
		c.fatal("own proposal: %v", err)
	}
	if p.N == 0 {
		p.N = 1
		p.Transactions = []*ordov1.Transaction{{Type: ordov1.TransactionType_INVOKE, Hash: key("z/0"), Sender: key("z")}}
	}
	p.Transactions[c.r.Intn(int(p.N))].Signature = []byte(stripped)
	b, err := proto.Marshal(p)
	if err != nil {
		c.fatal("stripped proposal: %v", err)
	}
	return b
}

// proposal is what the machine last said about an attempt, if it was this one.
func (c *chaos) proposal(attempt uint64) []byte {
	if c.last.Attempt == attempt && c.tried[attempt] {
		return c.last.Proposal
	}
	return nil
}
