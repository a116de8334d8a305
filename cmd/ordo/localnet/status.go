package localnet

import (
	"context"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Status is a localnet at one moment.
type Status struct {
	Time   time.Time    `json:"time"`
	Height uint64       `json:"height"` // newest decided block of all nodes
	Faults string       `json:"faults,omitempty"`
	Nodes  []NodeStatus `json:"nodes"`
}

// NodeStatus is a node at one moment. What a node does not answer stays as it was.
type NodeStatus struct {
	Node     int    `json:"node"`
	Kind     Kind   `json:"kind"`
	Of       *int   `json:"of,omitempty"`
	URL      string `json:"url"`
	PID      int    `json:"pid,omitempty"`
	State    State  `json:"state"`
	Why      string `json:"why,omitempty"`
	Answers  bool   `json:"answers"`
	Height   uint64 `json:"height"`             // newest decided block
	Accepted uint64 `json:"accepted"`           // newest block with a root
	Hash     string `json:"hash,omitempty"`     // of that block
	Root     string `json:"root,omitempty"`     // of that block
	Round    uint64 `json:"round"`              // of the height that is being decided
	Proposer *int   `json:"proposer,omitempty"` // of the newest decided block, by its sequencer's address
	Lag      uint64 `json:"lag"`                // blocks behind the highest node
	Pool     int    `json:"pool"`
	Peers    int    `json:"peers"`
	Reports  uint64 `json:"reports"` // of consensus about validators

	Processor      float64 `json:"processor_seconds"` // of the node and its plugins, those that have ended too
	Load           float64 `json:"load"`              // processors in use since the status before
	Memory         int64   `json:"memory_bytes"`
	Restarts       int     `json:"restarts"`
	PluginRestarts uint64  `json:"plugin_restarts"`
}

// answerLimit is how long a node may take to say how it stands.
const answerLimit = 2 * time.Second

// Status asks all nodes how they stand.
func (n *Localnet) Status(ctx context.Context) Status {
	now := time.Now()
	all, err := allProcesses()
	n.mu.Lock()
	before := n.last
	s := Status{Time: now, Faults: n.faultText(), Nodes: make([]NodeStatus, len(n.nodes))}
	layout := n.layout
	for k, r := range n.nodes {
		one := &s.Nodes[k]
		if k < len(before.Nodes) {
			*one = before.Nodes[k]
		}
		m := layout.Members[k]
		one.Node, one.Kind, one.URL, one.State, one.Why, one.Restarts = k, m.Kind, layout.URL(k), r.state, r.why, r.restarts
		one.PID, one.Answers, one.Memory, one.Load = 0, false, 0, 0
		if m.Kind == Twin {
			one.Of = &m.Of
		}
		if r.process != nil && !r.process.ended() {
			one.PID = r.process.pid()
			if err == nil {
				r.usage.look(all, one.PID)
				one.Memory = r.usage.memory
			}
		}
		total := r.usage.processor().Seconds()
		if passed := now.Sub(before.Time).Seconds(); passed > 0 && !before.Time.IsZero() {
			one.Load = max(0, total-one.Processor) / passed
		}
		one.Processor = total
	}
	n.mu.Unlock()
	var asked sync.WaitGroup
	for k := range s.Nodes {
		if one := &s.Nodes[k]; one.PID != 0 && one.State != Paused && one.State != Killed {
			asked.Go(func() { one.ask(ctx, layout) })
		}
	}
	asked.Wait()
	for _, one := range s.Nodes {
		s.Height = max(s.Height, one.Height)
	}
	for k := range s.Nodes {
		s.Nodes[k].Lag = s.Height - s.Nodes[k].Height
	}
	n.mu.Lock()
	n.last = s
	n.mu.Unlock()
	return s
}

// ask has a node fill its row.
func (one *NodeStatus) ask(ctx context.Context, layout *Layout) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	node := client.Node{URL: one.URL}
	var info struct {
		Decided  uint64 `json:"decided"`
		Accepted uint64 `json:"accepted"`
		Pending  int    `json:"pending"`
		Peers    int    `json:"peers"`
		Reports  uint64 `json:"reports"`
		Round    uint64 `json:"round"`
		Proposer string `json:"proposer"`
	}
	if node.Call(ctx, "ordo_network", []any{}, &info) != nil {
		return
	}
	one.Answers, one.Height, one.Accepted, one.Pool, one.Peers, one.Reports = true, info.Decided, info.Accepted, info.Pending, info.Peers, info.Reports
	one.Round, one.Proposer = info.Round, nil
	var block struct {
		Number    uint64    `json:"block_number"`
		Hash      string    `json:"block_hash"`
		Root      string    `json:"new_root"`
		Sequencer felt.Felt `json:"sequencer_address"`
	}
	if node.Call(ctx, "starknet_getBlockWithTxHashes", []any{"latest"}, &block) == nil {
		one.Accepted, one.Hash, one.Root = block.Number, block.Hash, block.Root
	}
	proposer, err := felt.FromHex(info.Proposer)
	if err != nil { // it has decided nothing since its start
		proposer = block.Sequencer
	}
	if k := layout.Proposer(proposer); k >= 0 {
		one.Proposer = &k
	}
	var plugins []rpc.PluginInfo
	if node.Call(ctx, "ordo_plugins", []any{}, &plugins) == nil {
		one.PluginRestarts = 0
		for _, p := range plugins {
			one.PluginRestarts += uint64(p.Restarts)
		}
	}
}
