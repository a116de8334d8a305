package pipeline

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

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
