package consensustest

import (
	"fmt"
	"maps"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// node is one node of a run, and the model of the core around its protocol.
type node struct {
	w        *world
	core     Core // what stands around the protocol: the model below, or that of the scenario
	number   int
	name     string
	key      identity
	honest   bool // the checkers hold it to what an honest node does
	diverged bool // its execution comes to other values
	disk     disk
	fresh    map[uint64]string // decisions that are not durable: their values by height
	lost     map[uint64]string // those that a crash lost

	process  int // which process of the core it is: rises with each crash
	running  bool
	stopped  string // why the core stopped itself; "": it did not
	pausedTo time.Duration

	plugin   Instance // nil: it is down
	instance int      // of the plugin: rises with each
	deferred bool     // the next instance begins when the disk is done
	seq      uint64
	answered uint64
	learned  uint64 // seq of the newest unasked Decided
	events   []*ordov1.ConsensusEvent
	pumping  bool
	steps    int           // events that its plugins have answered
	effect   time.Duration // when the newest answer takes effect
	late     []func()      // answers that have not yet

	height   uint64 // to be decided
	chain    []block
	todo     []*ordov1.Action
	writes   []write
	signing  int
	held     []*ordov1.ConsensusEvent
	signed   map[ballot][]byte
	timers   map[uint64]int // id -> number of its newest setting
	settings int

	attempts  map[uint64]*attempt
	open      *attempt
	learning  *block
	bodies    map[string]storedBody
	pool      []uint64
	included  map[uint64]bool
	announced bool
	failedAt  time.Duration // when the newest Failed was told, for protocols that spin; negative: something came since

	heads  map[int]uint64 // by node: the newest head that it told
	behind bool           // a catch-up is under way
}

// block is a decided block.
type block struct {
	height      uint64
	value       []byte
	body        []byte
	certificate []byte
}

type ballot struct{ kind, round uint32 }

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

func newNode(w *world, number int, key identity, name string) *node {
	n := &node{w: w, number: number, key: key, name: name, honest: true, timers: map[uint64]int{}, fresh: map[uint64]string{}, lost: map[uint64]string{}}
	if n.core = (model{n}); w.scenario.Core != nil {
		n.core = w.scenario.Core(&Host{n})
	}
	return n
}

func (n *node) up() bool { return n.running && n.stopped == "" }

// start begins a process of the core.
func (n *node) start() {
	if n.running {
		return
	}
	n.running = true
	n.core.Start()
}

// crash ends the process. What is not durable is lost.
func (n *node) crash() {
	if !n.running {
		return
	}
	n.core.End()
	n.running, n.pausedTo = false, 0
	n.process++
	n.endPlugin()
	maps.Copy(n.lost, n.fresh)
	n.fresh = map[uint64]string{}
}

// restartPlugin ends the plugin only.
func (n *node) restartPlugin() {
	if n.up() {
		n.w.recorder.note(n.w, n, "the plugin ends and starts again")
		n.core.Restart()
	}
}

// endPlugin ends the instance of the plugin, if there is one.
func (n *node) endPlugin() {
	if n.plugin != nil {
		n.plugin.Close()
	}
	n.plugin = nil
	n.instance++
	n.effect, n.late = 0, nil
}

// newPlugin begins an instance of the plugin.
func (n *node) newPlugin() bool {
	plugin, err := n.w.subject.Begin()
	if err != nil {
		n.w.fail(ProtocolFault, n, "it cannot begin: %v", err)
		return false
	}
	n.plugin = plugin
	return true
}

// model is the model of the core.
type model struct{ *node }

// Start implements Core.
func (n model) Start() {
	n.chain = append([]block(nil), n.disk.blocks...)
	n.height = uint64(len(n.chain)) + 1
	n.signed = map[ballot][]byte{}
	for _, g := range n.disk.guards {
		n.signed[g.ballot] = g.data
	}
	n.included, n.pool = map[uint64]bool{}, nil
	for _, b := range n.chain {
		n.include(b.body)
	}
	for _, id := range n.w.supply {
		if !n.included[id] {
			n.pool = append(n.pool, id)
		}
	}
	n.attempts, n.open, n.learning, n.bodies = map[uint64]*attempt{}, nil, nil, map[string]storedBody{}
	maps.Copy(n.bodies, n.disk.bodies)
	n.heads, n.behind = map[int]uint64{}, false
	n.w.recorder.note(n.w, n.node, "starts at height %d", n.height)
	n.beginPlugin()
	n.w.after(n.w.between(0, headEvery), n.node, n.tellHead)
}

// End implements Core.
func (n model) End() {
	n.w.recorder.note(n.w, n.node, "crashes at height %d, %d writes are lost", n.height, len(n.writes))
	n.forgetInstance()
	n.writes, n.deferred = nil, false
}

// Restart implements Core.
func (n model) Restart() {
	n.endPlugin()
	n.forgetInstance()
	for i := range n.writes {
		n.writes[i].sign = nil
	}
	n.beginPlugin()
}

// forgetInstance drops what was of an instance of the plugin.
func (n *node) forgetInstance() {
	n.events, n.todo, n.held, n.signing, n.timers = nil, nil, nil, 0, map[uint64]int{}
	n.forgetAttempts()
}

// forgetAttempts ends all attempts without an event.
func (n *node) forgetAttempts() {
	for _, a := range n.attempts {
		a.state = ended
	}
	n.attempts, n.open = map[uint64]*attempt{}, nil
}

func (n *node) beginPlugin() {
	if n.deferred = len(n.writes) > 0 || n.learning != nil; n.deferred {
		return
	}
	if !n.newPlugin() {
		return
	}
	n.seq, n.answered, n.learned, n.failedAt = 0, 0, 0, -1
	start := &ordov1.ConsensusEvent_Start{Height: n.height, Records: n.disk.records, State: n.disk.state, Config: n.w.subject.Config,
		Pending: uint64(len(n.pool)), Validators: n.w.validators, Self: n.key.public, Scheme: n.w.scenario.Scheme, ChainId: Chain}
	if last := len(n.chain); last > 0 {
		start.Parent = &ordov1.ConsensusEvent_Parent{Value: n.chain[last-1].value, Certificate: n.chain[last-1].certificate}
	}
	n.tell(&ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: start}})
	n.announced = false
	n.announce()
}

// tell gives an event to the protocol. While it waits for a signature, all other events wait.
func (n *node) tell(event *ordov1.ConsensusEvent) {
	if n.plugin == nil {
		return
	}
	if n.signing > 0 && event.GetSigned() == nil {
		n.held = append(n.held, event)
		return
	}
	n.seq++
	event.Seq = n.seq
	n.events = append(n.events, event)
	if n.pumping {
		return
	}
	n.pumping = true
	for len(n.events) > 0 && n.w.failure == nil && n.up() {
		event, n.events = n.events[0], n.events[1:]
		event.NowMs = n.nowMs()
		seq := event.Seq
		n.step(event, func(actions []*ordov1.Action) { n.answer(seq, actions) })
	}
	n.pumping = false
}

// step has the protocol answer one event. answer gets the actions when they take effect, in order.
func (n *node) step(event *ordov1.ConsensusEvent, answer func([]*ordov1.Action)) {
	w := n.w
	if w.steps++; w.steps > w.scenario.Steps {
		w.fail(ProtocolFault, n, "it spins: %d events, and the run is not over", w.steps-1)
		return
	}
	w.recorder.event(w, n, event)
	actions, err := n.plugin.Step(event)
	if logging, ok := n.plugin.(sdk.Logging); ok {
		for _, line := range logging.Lines() {
			w.recorder.logged(w, n, line)
		}
	}
	if err != nil {
		w.fail(ProtocolFault, n, "event %s: %v", w.words().Event(event), err)
		return
	}
	w.recorder.actions(w, n, actions)
	n.steps++
	w.atEvent(n)
	if n.effect = max(n.effect, w.now+n.extra(Late)); n.effect > w.now || len(n.late) > 0 { // in order: none overtakes an earlier one
		n.late = append(n.late, func() { answer(actions) })
		instance := n.instance
		w.after(n.effect-w.now, n, func() {
			if n.instance == instance {
				next := n.late[0]
				n.late = n.late[1:]
				next()
			}
		})
		return
	}
	answer(actions)
}

// answer takes the actions of an event. Those from before the protocol heard of a learned block are void, but for timers.
func (n *node) answer(seq uint64, actions []*ordov1.Action) {
	n.answered = max(n.answered, seq)
	if seq < n.learned {
		for _, a := range actions {
			n.runTimer(a)
		}
		return
	}
	for _, a := range actions {
		if a.GetSign() != nil {
			n.signing++
		}
	}
	n.todo = append(n.todo, actions...)
	n.runActions()
}
