// Package localnet is the command ordo localnet: it runs a network of whole nodes on this machine, and does to them what networks meet.
package localnet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/proxy"
)

// Localnet is a network that runs.
type Localnet struct {
	dir    string // absolute
	binary string // the ordo that the nodes are
	record bool   // what goes between the nodes and their consensus is kept
	tell   func(Event)

	actions sync.Mutex // one action at a time
	work    sync.WaitGroup

	mu       sync.Mutex
	layout   *Layout
	nodes    []*running
	plan     faults.Plan
	messages []faults.Message // rules about messages of consensus
	proxies  []placed
	last     Status
}

// placed is a proxy and the way that it stands on.
type placed struct {
	wire  Wire
	proxy *proxy.Proxy
}

// Event is a change of a node's state.
type Event struct {
	Time  time.Time `json:"time"`
	Node  int       `json:"node"`
	State State     `json:"state"`
	Why   string    `json:"why,omitempty"`
}

// newLocalnet is a localnet at rest. tell hears of each change of a state; it must not call back.
func newLocalnet(dir, binary string, l *Layout, tell func(Event)) *Localnet {
	n := &Localnet{dir: dir, binary: binary, layout: l, tell: tell}
	for range l.Members {
		n.nodes = append(n.nodes, &running{state: Stopped})
	}
	return n
}

// Start starts all nodes, and waits until they serve. After an error nothing runs.
func (n *Localnet) Start(ctx context.Context) error {
	if address := n.layout.taken(); address != "" {
		return fmt.Errorf("another program listens at %s: end it, or make a localnet in another folder with another --base-port", address)
	}
	err := n.start(ctx)
	if err != nil {
		n.Close()
	}
	return err
}

func (n *Localnet) start(ctx context.Context) error {
	n.mu.Lock()
	err := n.writeMessages() // those of an earlier run have ended with it
	n.mu.Unlock()
	if err != nil {
		return err
	}
	for k := range n.nodes {
		if err := n.wire(k); err != nil {
			return err
		}
	}
	var all errgroup.Group
	for k := range n.nodes {
		if err := n.begin(k); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for k := range n.nodes {
		all.Go(func() error {
			err := n.serve(ctx, k)
			if err != nil {
				cancel()
			}
			return err
		})
	}
	return all.Wait()
}

// wire makes the proxies of a node.
func (n *Localnet) wire(from int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.layout.Wires(from) {
		p, err := proxy.Listen(w.Listen, w.Target, n.layout.Seed+uint64(len(n.proxies)))
		if err != nil {
			return fmt.Errorf("node %d: %w", from, err)
		}
		p.Set(n.plan.Between(w.From, w.To), n.plan.Between(w.To, w.From))
		n.proxies = append(n.proxies, placed{w, p})
	}
	return nil
}

// Change applies another plan of faults.
func (n *Localnet) Change(next func(faults.Plan) (faults.Plan, error)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	plan, err := next(n.plan)
	if err != nil {
		return err
	}
	n.plan = plan
	for _, p := range n.proxies {
		p.proxy.Set(plan.Between(p.wire.From, p.wire.To), plan.Between(p.wire.To, p.wire.From))
	}
	return nil
}

// Add makes one more node and starts it.
func (n *Localnet) Add(ctx context.Context, m Member) (node int, err error) {
	n.mu.Lock()
	if m.Kind == Twin && (m.Of < 0 || m.Of >= len(n.layout.Members) || n.layout.Members[m.Of].Kind != Validator) {
		n.mu.Unlock()
		return 0, fmt.Errorf("twin: node %d is no validator", m.Of)
	}
	grown := *n.layout
	node, err = grown.add(n.dir, m)
	if err == nil {
		n.layout = &grown
		n.nodes = append(n.nodes, &running{state: Stopped})
		err = n.writeMessages()
	}
	n.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if err := n.wire(node); err != nil {
		return node, err
	}
	if err := n.begin(node); err != nil {
		return node, err
	}
	return node, n.serve(ctx, node)
}

// Close ends all nodes in order, at the same time, then the proxies: what a node has to tell the others still arrives.
func (n *Localnet) Close() error {
	n.actions.Lock()
	defer n.actions.Unlock()
	n.mu.Lock()
	nodes := n.nodes
	n.mu.Unlock()
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for k, r := range nodes {
		n.mu.Lock()
		p := r.process
		n.mu.Unlock()
		if p != nil && !p.ended() {
			all.Go(func() { errs[k] = n.stop(k, p) })
		}
	}
	all.Wait()
	n.work.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.proxies {
		errs = append(errs, p.proxy.Close())
	}
	n.proxies = nil
	return errors.Join(errs...)
}
