package pipeline

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestProperties lets a restless consensus loose on a machine: it builds, seals, abandons, proposes again, validates and
// decides at random, while stages answer late, fail, reject and fill up. Whatever it does, at most one build is open,
// blocks follow each other, no transaction is twice in the chain or out of its nonce order, and at the end none is lost.
// Stages die at any moment and come back. With a faithful consensus, which abandons nothing by itself, what readers were
// shown is what the block has, in the same order, whoever died meanwhile.
func TestProperties(t *testing.T) {
	for seed := range int64(1000) {
		c := &chaos{t: t, seed: seed, r: rand.New(rand.NewSource(seed)), nonces: map[string]uint64{}, settled: map[string]string{}, tried: map[uint64]bool{},
			full: map[uint64]bool{}, reuse: map[uint64]reused{}, ns: map[uint64]uint64{}, built: map[uint64][]byte{},
			foreign: map[uint64]bool{}, stripped: map[uint64]bool{}}
		c.mortal, c.faithful, c.values = seed%5 > 0, seed%5 > 2, map[uint64]string{0: ""}
		c.env = env{t: t, now: 1000, pool: mempool.New(mempool.Options{}), builds: map[uint64]*build{}, auto: map[string]bool{}}
		var out []Command
		c.m, out = New(Options{Arrival: seed%2 == 0, Proposals: true, Chunk: 3, Window: 2, MaxCommits: 2, Template: template}, c.pool, c.now,
			Head{Hashes: map[uint64][]byte{0: []byte("hash-0")}})
		c.perform(out)
		for range 400 {
			c.now += uint64(c.r.Intn(50))
			c.move()
		}
		c.finish()
	}
}

type chaos struct {
	env
	t       *testing.T
	seed    int64
	r       *rand.Rand
	nonces  map[string]uint64 // next to submit
	all     []string
	settled map[string]string // transaction: where it went
	work    []Command         // that stages have not answered
	events  []uint64
	open    uint64
	attempt uint64
	tried   map[uint64]bool // attempts of this height
	built   map[uint64][]byte
	running uint64 // attempt that may be sealed
	applied uint64
	full    map[uint64]bool   // builds that take no more
	reuse   map[uint64]reused // attempts that propose another one again
	ns      map[uint64]uint64 // transactions of built attempts
	height  uint64
	chained map[string]uint64
	calm    bool
	deaths
	foreign, stripped map[uint64]bool // attempts that are another node's proposals, and those of them that a rejected transaction is in
}

type reused struct {
	n     uint64
	value []byte
}

func (c *chaos) fatal(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d: %s\n%s", c.seed, fmt.Sprintf(format, args...), c.out.String())
}

func (c *chaos) give(in Input) {
	fmt.Fprintf(&c.out, "< %T\n", in)
	out, err := c.m.Step(c.now, in)
	c.perform(out)
	if err != nil {
		c.fatal("fault: %v", err)
	}
	for len(c.roots) > 0 {
		h := c.roots[0]
		c.roots = c.roots[1:]
		c.give(RootComputed{&ordov1.Root{Height: h, BlockHash: fmt.Appendf(nil, "hash-%d", h)}})
	}
}

func (c *chaos) perform(out []Command) {
	c.env.carryOut(out)
	for _, command := range out {
		switch command := command.(type) {
		case Tell:
			c.events = append(c.events, command.Event.Seq)
			if b := command.Event.GetBuilt(); b != nil && c.tried[b.Attempt] {
				if c.built == nil {
					c.built = map[uint64][]byte{}
				}
				c.built[b.Attempt], c.ns[b.Attempt] = b.Value, b.N
				if old, ok := c.reuse[b.Attempt]; ok && (b.N > old.n || b.N == old.n && string(b.Value) != string(old.value)) {
					c.fatal("attempt %d proposes %d of %d transactions of a built one again: %s, was %s", b.Attempt, b.N, old.n, b.Value, old.value)
				}
			}
			switch v := command.Event.GetVerdict(); {
			case v != nil && v.Valid && c.stripped[v.Attempt]:
				c.fatal("a proposal with a rejected transaction was found valid")
			case v != nil && v.Valid:
				c.built[v.Attempt] = v.Value
			case v != nil && strings.Contains(v.Reason, "value"):
				c.fatal("an honest proposal was found wrong: %s", v.Reason)
			}
			if command.Event.GetDecided() != nil {
				c.tried, c.built, c.running = map[uint64]bool{}, map[uint64][]byte{}, 0
			}
		case Open:
			c.opened(command)
			if c.open != 0 {
				c.fatal("build %d opened while %d is open", command.Build, c.open)
			}
			if command.Context.Number != c.applied+1 {
				c.fatal("block %d opened on tip %d", command.Context.Number, c.applied)
			}
			c.open = command.Build
			c.work = append(c.work, command)
		case Abort:
			if c.open == command.Build {
				c.open = 0
			}
			c.retracted(command.Build)
		case Preconfirm:
			c.progress(command)
		case ResetPreconfirmed:
			c.retracted(command.Build)
		case SetTimer:
			if command.ID.Kind == RetryTimer {
				c.retry = command.ID.ID
			}
		case FollowRoots:
			c.follow(command.From)
		case Add:
			if c.full[command.Build] {
				c.fatal("build %d is full and gets more", command.Build)
			}
			c.work = append(c.work, command)
		case HashHeader:
			if command.Build == c.viewed && names(c.view) != names(command.Items) {
				c.fatal("shown: %s; in the block: %s", names(c.view), names(command.Items))
			}
			c.work = append(c.work, command)
		case Apply, Check, Adopt:
			c.work = append(c.work, command)
		case Close:
			c.work = append(c.work, command)
		case Commit:
			if !command.Again {
				c.commit(command)
			} else if c.values[command.Height] != string(command.Header.PartialHash) {
				c.fatal("block %d is %s, and was %s", command.Height, command.Header.PartialHash, c.values[command.Height])
			}
			if !c.down[ordov1.Stage_STAGE_STORAGE] {
				c.work = append(c.work, command)
			}
		case ReportDropped:
			for _, d := range command.Dropped {
				if strings.Contains(d.Why.Error(), stripped) {
					c.fatal("%s left the pool because of another node's copy of it", name(d.Hash[:]))
				}
				c.settle(name(d.Hash[:]), "dropped: "+d.Why.Error())
			}
		}
	}
}

func (c *chaos) settle(tx, where string) {
	if before := c.settled[tx]; before != "" {
		c.fatal("%s is settled twice: %s; %s", tx, before, where)
	}
	c.settled[tx] = where
}

func (c *chaos) commit(b Commit) {
	if c.height++; b.Height != c.height {
		c.fatal("block %d after %d", b.Height, c.height-1)
	}
	c.decided(b)
	if c.chained == nil {
		c.chained = map[string]uint64{}
	}
	for i, item := range b.Items {
		if b.Results[i].Status == ordov1.TransactionResult_REJECTED {
			c.fatal("a rejected transaction is in block %d", b.Height)
		}
		sender := name(item.Tx.Sender)
		nonce, _ := mempool.Nonce(item.Tx.Nonce)
		if nonce != c.chained[sender] {
			c.fatal("block %d: %s out of nonce order", b.Height, name(item.Tx.Hash))
		}
		c.chained[sender]++
		c.settle(name(item.Tx.Hash), fmt.Sprintf("block %d", b.Height))
	}
}

// move does one random thing.
func (c *chaos) move() {
	if c.mortal && c.r.Intn(12) == 0 {
		c.fate(allStages[c.r.Intn(len(allStages))])
		return
	}
	switch roll := c.r.Intn(10); {
	case roll < 2:
		c.transaction()
	case roll < 6:
		c.stage()
	case roll < 9:
		c.consensus()
	default:
		for _, kind := range []TimerKind{IdleTimer, DeadlineTimer} {
			if c.r.Intn(3) == 0 {
				c.give(TimerFired{TimerID{kind, c.lease}})
			}
		}
		c.tryAgain()
	}
}

func (c *chaos) transaction() {
	for range 1 + c.r.Intn(4) {
		sender := string(rune('a' + c.r.Intn(4)))
		tx := fmt.Sprintf("%s/%d", sender, c.nonces[sender])
		c.nonces[sender]++
		c.all = append(c.all, tx)
		c.submit(tx, fmt.Sprint(c.r.Intn(9)), c.r.Intn(20) == 0)
	}
	c.give(PoolChanged{})
}

// stage answers the oldest piece of work, or some way into it.
func (c *chaos) stage() {
	if len(c.work) == 0 {
		return
	}
	at := 0
	switch c.work[0].(type) {
	case Apply, Adopt, Commit: // execution and storage work on their own
		at = c.r.Intn(len(c.work))
	}
	for i, command := range c.work[:at] {
		if fmt.Sprintf("%T", command) == fmt.Sprintf("%T", c.work[at]) || at > 0 && stream(command) && stream(c.work[at]) {
			at = i
			break
		}
	}
	command := c.work[at]
	c.work = append(c.work[:at:at], c.work[at+1:]...)
	switch command := command.(type) {
	case Add:
		b := c.builds[command.Build]
		switch roll := c.r.Intn(30); {
		case roll == 0 && !c.calm:
			c.breaks(command.Build)
		case roll == 1 && len(b.ran) > 0 && !c.calm && !c.faithful:
			c.full[command.Build] = true
			c.give(Full{command.Build, uint64(len(b.ran)), "a limit"})
		default:
			c.results(command.Build, len(command.Items), nil, 1<<32)
		}
	case Close:
		if c.r.Intn(20) == 0 && !c.calm {
			c.breaks(command.Build)
		} else {
			if c.open == command.Build {
				c.open = 0
			}
			c.closed(command.Build)
		}
	case HashHeader:
		c.sealed(command.Build)
	case Check:
		c.give(Checked{Build: command.Build})
	case Apply:
		c.applied = command.Height
		c.give(Applied{command.Height})
	case Adopt:
		if command.Height > c.stored {
			c.fatal("execution is to adopt block %d, storage has %d", command.Height, c.stored)
		}
		c.applied = command.Height
		c.give(Adopted(command))
	case Commit:
		if c.r.Intn(8) == 0 && !c.calm {
			c.give(NoRoom{"full"})
		}
		c.stored = command.Height
		c.give(Committed{command.Height})
		c.give(RootComputed{&ordov1.Root{Height: command.Height, BlockHash: fmt.Appendf(nil, "hash-%d", command.Height)}})
	}
}

func stream(c Command) bool {
	switch c.(type) {
	case Open, Add, Close, HashHeader:
		return true
	}
	return false
}

func (c *chaos) results(id uint64, n int, _ []string, _ int) {
	b := c.builds[id]
	n = min(n, len(b.items)-len(b.ran))
	r := &ordov1.BuildResponse_Results{First: uint64(len(b.ran))}
	for _, item := range b.items[len(b.ran):][:n] {
		result := &ordov1.TransactionResult{Hash: item.Tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED}
		if string(item.Tx.Signature) == stripped {
			result.Status, result.Refusal, result.Reason = ordov1.TransactionResult_REJECTED, ordov1.Refusal_VALIDATION_FAILURE, stripped
		}
		r.Results = append(r.Results, result)
	}
	b.ran = append(b.ran, r.Results...)
	c.give(Executed{id, r})
}

func (c *chaos) closed(id uint64) {
	b := c.builds[id]
	diff := &ordov1.StateDiff{}
	last := map[string][]byte{}
	for i := range b.ran[:b.n] {
		n, _ := mempool.Nonce(b.items[i].Tx.Nonce)
		last[name(b.items[i].Tx.Sender)] = word(n + 1)
	}
	for sender, nonce := range last {
		diff.Nonces = append(append(diff.Nonces, key(sender)...), nonce...)
	}
	c.give(Closed{id, &ordov1.BuildResponse_Closed{N: b.n, StateDiff: diff}})
}

func word(n uint64) []byte {
	b := make([]byte, 32)
	for i := range 8 {
		b[31-i] = byte(n >> (8 * i))
	}
	return b
}

func (c *chaos) sealed(id uint64) {
	s := c.builds[id].seal
	c.give(HeaderHashed{id, &ordov1.BlockHeader{Context: s.Draft.Context, PartialHash: fmt.Appendf(nil, "%d@%d[%s]", s.Draft.Context.Number, s.Draft.Context.Timestamp, names(s.Items))}})
}

// consensus answers the oldest event with something lawful.
func (c *chaos) consensus() {
	if c.down[ordov1.Stage_STAGE_CONSENSUS] {
		return
	}
	if len(c.events) == 0 {
		c.give(TimerFired{TimerID{ConsensusTimer, 1}})
	}
	answer := &ordov1.Actions{Seq: c.events[0]}
	c.events = c.events[1:]
	if len(c.events) == 0 && c.r.Intn(3) > 0 { // it acts on what it knows, not on the past
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
	if c.faithful {
		switch {
		case len(ready) > 0:
			do("%s", "decide attempt="+fmt.Sprint(ready[0])+" value="+strings.ReplaceAll(string(c.built[ready[0]]), " ", "_"))
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
			if c.r.Intn(2) == 0 {
				proposal = c.strip(proposal)
				c.stripped[foreign] = true
			}
			actions = append(actions, &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: foreign, Proposal: proposal, Value: c.built[a]}}})
		}
	default:
		c.running = begin()
		do("build attempt=%d idle=%d deadline=%d max=%d %s", c.running, c.r.Intn(2), c.r.Intn(2), c.r.Intn(3)*4, empty)
	}
	return actions
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

// finish calms everything down: an orderly consensus must be able to empty the pool.
func (c *chaos) finish() {
	c.calm = true
	for _, stage := range allStages {
		if c.down[stage] {
			c.fate(stage)
		}
	}
	for range 3000 {
		c.tryAgain()
		for len(c.work) > 0 {
			c.stage()
		}
		if len(c.settled) == len(c.all) && c.m.Settled() {
			return
		}
		if len(c.events) == 0 {
			c.give(TimerFired{TimerID{ConsensusTimer, 1}})
		}
		answer := &ordov1.Actions{Seq: c.events[0]}
		c.events = c.events[1:]
		if len(c.events) == 0 {
			found := uint64(0)
			for a := range c.built {
				found = max(found, a)
			}
			if c.faithful {
				answer.Actions = c.actions()
			} else if found > 0 {
				answer.Actions = append(answer.Actions, &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{Attempt: found, Value: c.built[found]}}})
			} else if c.open == 0 || !c.tried[c.attempt] {
				c.attempt++
				c.tried[c.attempt] = true
				answer.Actions = append(answer.Actions, c.action(fmt.Sprintf("build attempt=%d empty", c.attempt)), c.action(fmt.Sprintf("seal attempt=%d", c.attempt)))
			} else {
				answer.Actions = append(answer.Actions, c.action(fmt.Sprintf("abandon attempt=%d", c.attempt)))
			}
		}
		c.give(Answered{answer})
	}
	var lost []string
	for _, tx := range c.all {
		if c.settled[tx] == "" {
			lost = append(lost, fmt.Sprintf("%s (%s)", tx, c.where(tx)))
		}
	}
	c.fatal("%d transactions never settle: %s", len(lost), strings.Join(lost, ", "))
}

func (c *chaos) where(tx string) string {
	if e := c.pool.Get(mempool.Key(key(tx))); e != nil {
		return c.pool.State(e)
	}
	return "gone"
}
