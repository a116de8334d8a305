package pipeline

import (
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestProperties lets a restless consensus loose on a machine: it builds, seals, abandons, proposes again, validates and
// decides at random, while stages answer late, fail, reject and fill up. Whatever it does, at most one build is open,
// blocks follow each other, no transaction is twice in the chain or out of its nonce order, and at the end none is lost.
// Processes of stages end at any moment and are replaced. With a faithful consensus, which abandons nothing by itself, what
// readers were shown is what the block has, in the same order, whichever process ended meanwhile. The runs visit every pair of the
// tables in doc.go that can occur, and no other.
func TestProperties(t *testing.T) {
	inputs, actions := readTables(t)
	first, n := int64(*firstSeed), int64(*seeds)
	for seed := first; seed < first+n; seed++ {
		c := newChaos(t, seed)
		c.inputs, c.acts = inputs, actions
		c.run()
	}
	if first == 0 && n >= 2500 { // the default run, or a longer one
		inputs.complete(t)
		actions.complete(t)
	}
}

var (
	firstSeed = flag.Int("seed", 0, "first seed of the property test")
	seeds     = flag.Int("seeds", 2500, "number of seeds of the property test")
)

// chaos is one run of the property test: the driver, the stages and the readers of one machine, and what they know.
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
	processes
	journal
	foreign, stripped map[uint64]bool   // attempts that are another node's proposals, and those of them that a rejected transaction is in
	bodies            map[string][]byte // of proposals that consensus knows by their values
	signed            map[string]string // what was signed at a height, of a kind, in a round
	toKeep            map[string]uint64 // heights of the proposals that a vote of this node may rest on, by value
	resting           []string          // values that must have been given when what was asked for last is signed
	written           map[string]bool   // values of those that were given to the journal
	barrier           bool              // consensus waits for what it persists
	unsigned          int               // answers to Sign that must come before any other event
	drainIn           string            // state of the open attempt in which the node begins to drain; "": it does not
	drained           bool
	inputs, acts      *table
	decidedBefore     uint64 // blocks that were decided before a restart: they come out as they were
	orders            []executedOrder
	ran               int // transactions of the block that was closed last
}

// newChaos makes a run. The seed says what may happen in it: by its remainders some runs have a faithful consensus, processes
// that end, a journal, transactions that end execution, blocks that were decided before a restart, or a drain.
func newChaos(t *testing.T, seed int64) *chaos {
	c := &chaos{t: t, seed: seed, r: rand.New(rand.NewSource(seed)), nonces: map[string]uint64{}, settled: map[string]string{}, tried: map[uint64]bool{},
		full: map[uint64]bool{}, reuse: map[uint64]reused{}, ns: map[uint64]uint64{}, built: map[uint64][]byte{},
		foreign: map[uint64]bool{}, stripped: map[uint64]bool{}, chained: map[string]uint64{}, bodies: map[string][]byte{}, signed: map[string]string{},
		toKeep: map[string]uint64{}, written: map[string]bool{}}
	c.mortal, c.faithful, c.values = seed%5 > 0, seed%5 > 2, map[uint64]string{0: ""}
	c.journaled, c.deadly = seed%3 > 0, c.mortal && seed%7 == 3 && seed%4 != 2
	c.env = env{t: t, now: 1000, pool: mempool.New(mempool.Options{}), builds: map[uint64]*build{}, auto: map[string]bool{}}
	c.lazy = seed%11 == 6 && !c.deadly
	if seed%7 == 5 {
		c.drainIn = drainStates[int(seed/7)%len(drainStates)]
	}
	return c
}

var drainStates = []string{"none", "checking", "held", "interrupted", "paused", "running", "sealed", "expired", "full", "closing", "hashing",
	"paused", "expired", "full"} // these are rarer than the others

func (c *chaos) run() {
	head := Head{Hashes: map[uint64][]byte{0: []byte("hash-0")}}
	if c.seed%4 == 2 {
		c.restarted(&head)
	}
	var out []Command
	c.m, out = New(Options{Capabilities: abilities(c.seed%2 == 0, true), Chunk: 3, Window: 2, MaxCommits: 2, Journaled: c.journaled, Template: template, Network: c.network(), Lazy: c.lazy}, c.pool, c.now, head)
	c.perform(out)
	for range 400 {
		c.now += uint64(c.r.Intn(50))
		c.move()
		if c.drainIn != "" && !c.drained && nameOf(c.m.open) == c.drainIn {
			c.drained = true
			c.give(Drain{})
		}
	}
	c.finish()
}

// restarted lets the machine begin with blocks that were decided before a restart, and with the order of one that was not.
func (c *chaos) restarted(head *Head) {
	submit := func(sender string) Item {
		tx := fmt.Sprintf("%s/%d", sender, c.nonces[sender])
		c.nonces[sender]++
		c.all = append(c.all, tx)
		c.submit(tx, "", false)
		return Item{Tx: c.pool.Get(mempool.Key(key(tx))).Tx}
	}
	parent := head.Block
	for height := uint64(1); height <= uint64(c.r.Intn(3)); height++ {
		d := Decided{Context: template(c.now), FromPeer: c.r.Intn(2) == 0, Certificate: []byte("signed")}
		d.Context.Number = height
		for range c.r.Intn(4) {
			if d.FromPeer {
				tx := fmt.Sprintf("p/%d", c.nonces["p"])
				c.nonces["p"]++
				c.all = append(c.all, tx)
				d.Items = append(d.Items, Item{Tx: transaction(c.t, tx, "")})
			} else {
				d.Items = append(d.Items, submit("b"))
			}
		}
		d.Value, d.Parent = c.valueOf(d.Context, parent, d.Items), parent
		parent = value(d.Context, d.Items)
		head.Decided = append(head.Decided, d)
	}
	order := &Order{Context: template(c.now)}
	order.Context.Number = uint64(len(head.Decided)) + 1
	for range c.r.Intn(4) {
		order.Items = append(order.Items, submit("c"))
	}
	head.Order, c.decidedBefore = order, uint64(len(head.Decided))
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
	taken := c.visitor(in)
	c.askToSign(in)
	out, err := c.m.Step(c.now, in)
	taken()
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
	if s := nameOf(c.m.open); (s == "expired" || s == "full") && c.r.Intn(3) == 0 {
		c.storageAnswers() // these states are rare: storage is to answer in them, too
		return
	}
	if c.r.Intn(6) == 0 {
		c.stray()
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
				c.fire(TimerID{kind, c.lease})
			}
		}
		c.tryAgain()
	}
}

// stray gives an input that may come at any moment: what is not asked of the open build, late, or from outside.
func (c *chaos) stray() {
	late := uint64(c.r.Intn(int(c.m.builds) + 2))
	for c.m.open != nil && late == c.m.open.build {
		late = uint64(c.r.Intn(int(c.m.builds) + 2))
	}
	lease := c.lease
	if c.m.open != nil {
		lease = c.m.open.lease
	}
	switch c.r.Intn(18) {
	case 0:
		c.give(Executed{late, &ordov1.BuildResponse_Results{First: 0, Results: []*ordov1.TransactionResult{{Hash: key("a/0")}}}})
	case 1:
		c.give(Full{late, 1, "a limit"})
	case 2:
		c.give(Closed{late, &ordov1.BuildResponse_Closed{N: 1}})
	case 3:
		c.give(BuildFailed{Build: late, Why: "it broke"})
	case 4:
		c.give(HeaderHashed{late, &ordov1.BlockHeader{}})
	case 5:
		c.give(Checked{Build: late, Invalid: "late"})
	case 6:
		c.give(BlockRequested{})
	case 7:
		c.give(Delivered{[]byte("a peer"), []byte("vote")})
	case 8:
		c.give(PoolChanged{})
	case 9:
		c.fire(TimerID{[]TimerKind{IdleTimer, DeadlineTimer, RetryTimer}[c.r.Intn(3)], lease})
	case 10:
		if stage := allStages[c.r.Intn(len(allStages))]; c.down[stage] {
			c.give(StageDown{Stage: stage, Why: "killed once more", Forced: true})
		}
	case 11, 15, 16:
		if slices.ContainsFunc(c.work, func(w Command) bool { _, ok := w.(Commit); return ok }) {
			c.give(NoRoom{"full"}) // it says so of a block that it was given
		}
	case 12, 13:
		c.note()
	case 14:
		c.persisted()
	case 17:
		if !c.faithful && !c.deadly && len(c.m.recovery.redo) == 0 {
			c.give(c.peersDecide())
		}
	}
}

// fire lets a timer fire, even one that was not set.
func (c *chaos) fire(id TimerID) {
	c.give(TimerFired{id})
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
		c.persisted()
		for len(c.work) > 0 || len(c.notes) > 0 {
			c.stage()
			c.note()
		}
		if c.m.Settled() && (c.drained || c.allSettled()) {
			c.replicate()
			return
		}
		if len(c.events) == 0 {
			c.give(TimerFired{TimerID{ConsensusTimer, 1}})
		}
		if len(c.events) == 0 {
			continue // consensus has not begun
		}
		answer := &ordov1.Actions{Seq: c.events[0]}
		c.events = c.events[1:]
		if len(c.events) == 0 && c.m.ordered == nil {
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
	c.fatal("%d transactions never get an outcome: %s", len(lost), strings.Join(lost, ", "))
}

// allSettled says whether every transaction is in a block or dropped. Those that follow a dropped one in its account wait for its nonce.
func (c *chaos) allSettled() bool {
	return !slices.ContainsFunc(c.all, func(tx string) bool {
		return c.settled[tx] == "" && !(c.deadly && strings.HasPrefix(c.where(tx), "waits for nonce"))
	})
}

func (c *chaos) where(tx string) string {
	if e := c.pool.Get(mempool.Key(key(tx))); e != nil {
		return c.pool.State(e)
	}
	return "gone"
}
