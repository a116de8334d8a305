package virtual

import (
	"fmt"
	"strings"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// node is the core of one node: a driver for a real machine, in virtual time.
type node struct {
	host *consensustest.Host
	disk disk
	lazy bool // what is decided is executed

	// of the process that runs
	machine   *pipeline.Machine
	pool      *mempool.Pool
	inbox     []pipeline.Input
	stepping  bool
	away      bool // the plugin has ended, and its next instance has not begun
	timers    map[pipeline.TimerID]int
	settings  int
	journal   journal
	orders    orders
	execution execution
	storage   *line
	roots     *line
	chain     chain
	peers     peers
}

// Core makes the core of a node.
func Core(host *consensustest.Host) consensustest.Core { return &node{host: host, disk: newDisk()} }

// LazyCore makes the core of a node whose network executes what is decided.
func LazyCore(host *consensustest.Host) consensustest.Core {
	return &node{host: host, disk: newDisk(), lazy: true}
}

// Start implements consensustest.Core.
func (n *node) Start() {
	h := n.host
	n.disk.process++
	n.inbox, n.stepping, n.away, n.timers = nil, false, false, map[pipeline.TimerID]int{}
	n.journal, n.orders = journal{node: n}, orders{node: n}
	n.storage, n.roots = &line{host: h}, &line{host: h}
	n.peers = newPeers()
	n.chain = readChain(&n.disk)
	n.execution = newExecution(h, n.chain.state)
	n.pool = mempool.New(mempool.Options{MaxNonceGap: 1 << 20})
	n.refill()
	head := n.head()
	h.At(head.Height + 1)
	h.Note("starts at height %d, %d decided before, %d transactions wait", head.Height+1, len(head.Decided), n.pool.Len())
	if !h.Begin() {
		return
	}
	n.stepping = true
	machine, commands := pipeline.New(n.options(), n.pool, h.NowMs(), *head)
	n.machine = machine
	n.carryOut(commands)
	n.stepping = false
	n.step()
	for height := head.Accepted + 1; height <= head.Height; height++ {
		n.followRoot(height)
	}
	n.hello()
	h.After(h.Between(0, headEvery), n.tellHead)
}

// End implements consensustest.Core.
func (n *node) End() { n.host.Note("crashes at height %d", n.machine.Height()) }

// Restart implements consensustest.Core: the process of the plugin ends, in half of the cases with that of execution.
func (n *node) Restart() {
	if n.away {
		return
	}
	n.away = true
	n.host.EndPlugin()
	n.inbox = answersOf(n.inbox, false)
	n.post(pipeline.StageDown{Stage: ordov1.Stage_STAGE_CONSENSUS, Why: "killed", Forced: true})
	if both := n.host.Between(0, 1) == 1; both {
		n.execution.end()
		n.post(pipeline.StageDown{Stage: ordov1.Stage_STAGE_EXECUTION, Why: "killed", Forced: true})
		n.host.After(n.host.Between(0, restartTime), func() {
			n.execution.down = false
			n.post(pipeline.StageUp{Stage: ordov1.Stage_STAGE_EXECUTION})
		})
	}
	n.host.After(n.host.Between(0, restartTime), func() {
		if n.away = false; n.host.Begin() {
			n.post(pipeline.StageUp{Stage: ordov1.Stage_STAGE_CONSENSUS, Capabilities: capabilities()[ordov1.Stage_STAGE_CONSENSUS]})
		}
	})
}

// answersOf are the inputs without those of the plugin.
func answersOf(inbox []pipeline.Input, plugin bool) (kept []pipeline.Input) {
	for _, in := range inbox {
		if _, answer := in.(pipeline.Answered); answer == plugin {
			kept = append(kept, in)
		}
	}
	return kept
}

func capabilities() pipeline.Capabilities {
	return pipeline.Capabilities{ordov1.Stage_STAGE_ORDERING: {sdk.CapArrival}, ordov1.Stage_STAGE_CONSENSUS: {sdk.CapNetwork}}
}

func (n *node) options() pipeline.Options {
	h, s := n.host, n.host.Scenario()
	network := pipeline.Network{Validators: h.Validators(), Self: h.Key(), Scheme: s.Scheme, ChainID: consensustest.Chain}
	if h.Validator() {
		network.Sign = n.sign
	}
	c := capabilities()
	if h.Number()%2 == 1 { // an ordering that scores before it says that something is ready
		delete(c, ordov1.Stage_STAGE_ORDERING)
	}
	return pipeline.Options{Capabilities: c, Journaled: true, Network: network, Chunk: 8, Window: 2, MaxCommits: 4, Lazy: n.lazy, ChainID: consensustest.Chain,
		Template: func(nowMs uint64) *ordov1.BlockContext {
			return &ordov1.BlockContext{Timestamp: nowMs / 1000, StarknetVersion: "0.14.4", Sequencer: h.Key(), L1Gas: &ordov1.GasPrice{Wei: []byte{100}}}
		}}
}

// post gives the machine an input, behind those that wait.
func (n *node) post(in pipeline.Input) {
	n.inbox = append(n.inbox, in)
	n.step()
}

// step gives the machine what waits, one after the other.
func (n *node) step() {
	if n.stepping {
		return
	}
	n.stepping = true
	for len(n.inbox) > 0 && n.host.Up() {
		in := n.inbox[0]
		n.inbox = n.inbox[1:]
		commands, err := n.machine.Step(n.host.NowMs(), in)
		n.carryOut(commands)
		if err != nil {
			n.stop(err)
		}
	}
	n.stepping = false
}

// stop ends the node with a fault that its machine has found.
func (n *node) stop(err error) {
	checker := consensustest.CoreFault
	switch text := err.Error(); {
	case strings.Contains(text, "consensus: halt:"):
		checker = consensustest.Halted
	case strings.Contains(text, "the consensus plugin is broken"):
		checker = consensustest.ProtocolFault
	}
	n.host.Stop(checker, err.Error())
}

// fault is what the machine must not command.
func (n *node) fault(format string, args ...any) {
	n.host.Fail(consensustest.CoreFault, "%s", fmt.Sprintf(format, args...))
}
