package consensustest

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// epochMs is now_ms at the beginning of a run.
const epochMs = 1_700_000_000_000

// world is one run: the clock, what is to come, and the nodes.
type world struct {
	scenario   Scenario
	subject    Subject
	keys       []identity // of the validators, then of the followers
	validators []*ordov1.Validator
	nodes      []*node

	now     time.Duration
	heap    queue
	number  uint64 // of the next item
	steps   int
	random  *rand.Rand   // of the ordinary world: latency, durations
	faults  []*liveFault // those of the network, with their own draws
	links   map[[2]int]*link
	recent  [][][]byte // the newest messages of each node, for Stale
	sending []time.Duration

	heal     time.Duration
	target   uint64 // height that every honest node has to decide
	supply   []uint64
	checks   checks
	recorder recorder
	failure  *Failure
}

// liveFault is a fault of the network with random numbers of its own, so that the removal of another fault does not change them.
type liveFault struct {
	Fault
	random *rand.Rand
}

// item is something to come.
type item struct {
	at      time.Duration
	number  uint64
	node    *node // nil: of the world
	process int   // of the process of the node: an item of an earlier one is void
	do      func()
}

// queue is a heap of items, without the interfaces of container/heap: it is the busiest part of a run.
type queue []item

func (q queue) before(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}

func (q *queue) push(i item) {
	*q = append(*q, i)
	h := *q
	for at := len(h) - 1; at > 0; {
		parent := (at - 1) / 2
		if !h.before(at, parent) {
			return
		}
		h[at], h[parent] = h[parent], h[at]
		at = parent
	}
}

func (q *queue) pop() item {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], item{}
	h = h[:last]
	*q = h
	for at := 0; ; {
		child := 2*at + 1
		if child >= last {
			return first
		}
		if child+1 < last && h.before(child+1, child) {
			child++
		}
		if !h.before(child, at) {
			return first
		}
		h[at], h[child] = h[child], h[at]
		at = child
	}
}

// after schedules something of a node (nil: of the world) in the future.
func (w *world) after(d time.Duration, n *node, do func()) {
	w.number++
	i := item{at: w.now + max(d, 0), number: w.number, node: n, do: do}
	if n != nil {
		i.process = n.process
	}
	w.heap.push(i)
}

// Run plays a scenario. It fails with an error only when the scenario makes no sense; what the protocol does wrong is in the Result.
func Run(subject Subject, scenario Scenario) (*Result, error) {
	scenario, err := scenario.complete()
	if err != nil {
		return nil, err
	}
	w := &world{scenario: scenario, subject: subject, random: rand.New(rand.NewPCG(scenario.Seed, 1)), links: map[[2]int]*link{}, heal: scenario.heal()}
	w.recorder.keep = scenario.Keep
	w.recorder.begin()
	w.keys = identities(scenario.Scheme, scenario.Validators+scenario.Followers)
	w.validators = scenario.validators(w.keys)
	w.populate()
	w.plan()
	w.play()
	for _, n := range w.nodes {
		n.endPlugin()
	}
	return w.result(), nil
}

// populate makes the nodes.
func (w *world) populate() {
	add := func(key int, name string) *node {
		n := newNode(w, len(w.nodes), w.keys[key], name)
		w.nodes = append(w.nodes, n)
		return n
	}
	for i := range w.keys {
		add(i, nodeName(i))
	}
	for _, f := range w.scenario.Faults {
		for _, i := range f.Nodes {
			switch n := w.nodes[i]; f.Kind {
			case Twin:
				twin := add(i, nodeName(i)+"'")
				n.honest, twin.honest = n.honest && f.Hidden, f.Hidden
			case Diverge:
				n.diverged, n.honest = true, n.honest && f.Hidden
			case Invalid, Withhold:
				n.honest = n.honest && f.Hidden
			}
		}
	}
	w.recent = make([][][]byte, len(w.nodes))
	w.sending = make([]time.Duration, len(w.nodes))
	w.checks.begin(w)
}

// plan schedules what comes by itself: the nodes, the faults, transactions.
func (w *world) plan() {
	for _, n := range w.nodes {
		w.after(0, nil, n.start)
	}
	for _, f := range w.scenario.Faults {
		h := fnv.New64a()
		h.Write([]byte(f.String()))
		w.faults = append(w.faults, &liveFault{f, rand.New(rand.NewPCG(w.scenario.Seed, h.Sum64()))})
		w.after(f.From, nil, func() { w.recorder.note(w, nil, "fault begins: %s", f) })
		if f.To > 0 {
			w.after(f.To, nil, func() { w.recorder.note(w, nil, "fault ends: %s", f) })
		}
		for _, i := range f.Nodes {
			w.planNode(w.nodes[i], f)
		}
	}
	if w.scenario.Every > 0 {
		w.after(w.scenario.Every, nil, w.transaction)
	}
}

// planNode schedules what a fault does to a node.
func (w *world) planNode(n *node, f Fault) {
	if f.Event > 0 {
		return // see node.answered
	}
	switch f.Kind {
	case Crash:
		w.after(f.From, nil, n.crash)
		if f.To > 0 {
			w.after(f.To, nil, n.start)
		}
	case Restart:
		w.after(f.From, nil, n.restartPlugin)
	case Pause:
		w.after(f.From, nil, func() {
			if n.pausedTo = max(n.pausedTo, f.To); f.To == 0 {
				n.pausedTo = math.MaxInt64
			}
		})
	}
}

// atEvent ends a node or its plugin when it has answered so many events.
func (w *world) atEvent(n *node) {
	for _, f := range w.faults {
		if f.Event != n.steps || f.Event == 0 || !f.hits(n.number) {
			continue
		}
		switch f.Kind {
		case Crash:
			w.after(0, n, n.crash)
			w.after(f.To-f.From, nil, n.start)
		case Restart:
			w.after(0, n, n.restartPlugin)
		}
	}
}

// transaction is one that reaches the pool of every node.
func (w *world) transaction() {
	id := uint64(len(w.supply) + 1)
	w.supply = append(w.supply, id)
	for _, n := range w.nodes {
		w.after(0, n, func() { n.core.Transaction(id) })
	}
	w.after(w.scenario.Every, nil, w.transaction)
}

// play runs until the goal is reached, a checker fires, or time is over.
func (w *world) play() {
	healed := false
	for w.failure == nil && len(w.heap) > 0 {
		i := w.heap.pop()
		if !healed && i.at >= w.heal {
			healed = true
			w.now = max(w.now, w.heal)
			w.target = w.checks.highest() + w.scenario.Heights
		}
		if healed && w.reached() {
			return
		}
		if i.at > w.heal+w.scenario.Limit {
			w.late()
			return
		}
		if n := i.node; n != nil {
			if n.process != i.process {
				continue // of a process that has ended
			}
			if n.pausedTo == math.MaxInt64 {
				continue // for ever
			}
			if i.at < n.pausedTo {
				w.number++
				i.at, i.number = n.pausedTo, w.number
				w.heap.push(i)
				continue
			}
		}
		w.now = i.at
		i.do()
	}
	if w.failure == nil && !w.reached() {
		w.late()
	}
}

// expected says whether a node has to reach the goal.
func (n *node) expected() bool {
	for _, f := range n.w.scenario.Faults {
		if f.To == 0 && f.Event == 0 && f.hits(n.number) && (f.Kind == Crash || f.Kind == Pause) {
			return false
		}
	}
	return n.honest
}

func (w *world) reached() bool {
	for _, n := range w.nodes {
		if n.expected() && (!n.up() || n.height <= w.target) {
			return false
		}
	}
	return true
}

func (w *world) late() {
	for _, n := range w.nodes {
		if n.expected() && n.height <= w.target {
			w.fail(Liveness, n, "it is at height %d, and block %d was to be decided within %v after the last fault (%v)", n.height, w.target, w.scenario.Limit, w.heal)
			return
		}
	}
}

// nowMs is the clock of a node.
func (n *node) nowMs() uint64 {
	at := n.w.now
	for _, f := range n.w.faults {
		if f.Kind == Skew && f.active(n.w.now) && f.hits(n.number) {
			at += f.Amount
		}
	}
	return uint64(epochMs + at.Milliseconds())
}

// extra is how much longer something of a node takes by faults of a kind.
func (n *node) extra(kind Kind) (d time.Duration) {
	for _, f := range n.w.faults {
		if f.Kind == kind && f.active(n.w.now) && f.hits(n.number) {
			d += f.Amount
		}
	}
	return d
}

// does says whether a fault of a kind is active at a node.
func (n *node) does(kind Kind) bool {
	for _, f := range n.w.faults {
		if f.Kind == kind && f.active(n.w.now) && f.hits(n.number) {
			return true
		}
	}
	return false
}

// between draws a duration.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.random.Int64N(int64(high-low)+1))
}

func (w *world) verify(height uint64, value, certificate []byte) error {
	return w.subject.Verify(&ordov1.VerifyRequest{ChainId: Chain, Height: height, Value: value, Certificate: certificate,
		Validators: w.validators, Scheme: w.scenario.Scheme})
}

func signedBytes(height uint64, s *ordov1.Action_Sign) []byte {
	return sdk.SignedBytes(Chain, height, s.Kind, s.Round, s.Data)
}
