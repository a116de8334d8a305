package network

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// TestOtherChains: nodes that differ in chain id, genesis or version make no link, and both say in what and how.
func TestOtherChains(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Options){
		"chain id: SN_TEST":   func(o *Options) { o.ChainID = "SN_OTHER" },
		"hash of block 0: 0x": func(o *Options) { o.Genesis[3] = 1 },
	} {
		a, b := newTestNode(t, 0, nil), newTestNode(t, 1, change)
		a.start()
		b.start()
		join(a, b)
		for _, pair := range [][2]*testNode{{a, b}, {b, a}} {
			until(t, "refused", func() bool {
				reason := stateOf(pair[0], pair[1].ID()).Reason
				return strings.Contains(reason, strings.Fields(what)[0]) && strings.Contains(reason, "at the other side")
			})
		}
		if len(a.up)+len(b.up) > 0 {
			t.Errorf("%s: they are linked", what)
		}
	}
	n := newTestNode(t, 0, nil)
	n.start()
	n.SetPeers([]peer.Address{{ID: identity.Of(testKey(1))}})
	h := byzantineHello(t, 1, n, func(h *wire.Hello) { h.Version = 99 })
	if _, e := readHello(h.control); e == nil || e.reason != wire.Goodbye_MISMATCH || !strings.Contains(e.text, "version of the protocol between nodes: 1 at") || !strings.Contains(e.text, "99 at the other side") {
		t.Errorf("%v", e)
	}
	h = byzantineHello(t, 1, n, func(h *wire.Hello) { h.Session = nil })
	if _, e := readHello(h.control); e == nil || e.reason != wire.Goodbye_MISBEHAVED {
		t.Errorf("%v", e)
	}
}

// TestAnotherKeyAtAnAddress: a node does not talk to a key that it does not expect, though that key is among its peers.
func TestAnotherKeyAtAnAddress(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, nil)
	third := newTestNode(t, 2, nil)
	third.start()
	third.SetPeers([]peer.Address{{ID: nodes[0].ID(), Dial: nodes[1].Addr()}, {ID: nodes[1].ID()}})
	until(t, "refused", func() bool {
		return strings.Contains(stateOf(third, nodes[0].ID()).Reason, "another key is there: "+nodes[1].ID().String())
	})
}

// restart ends a node and starts it again with the same key and address.
func restart(t *testing.T, n *testNode, i int) *testNode {
	t.Helper()
	address := n.Addr()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	again := newTestNode(t, i, func(o *Options) { o.Listen = address })
	until(t, "listening again", func() bool { return again.Start() == nil })
	return again
}

// TestRestart: after the restart of a node all links are there again, and what is sent arrives.
func TestRestart(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 3, nil)
	for round := range 3 {
		nodes[round] = restart(t, nodes[round], round)
		join(nodes...)
		settle(t, nodes...)
		data := fmt.Sprintf("round %d", round)
		if err := nodes[round].Broadcast(5, []byte(data)); err != nil {
			t.Fatal(err)
		}
		for i, n := range nodes {
			if i != round {
				n.wait(data, func() bool { return len(n.messages) > 0 && strings.HasSuffix(n.messages[len(n.messages)-1], data) })
			}
		}
	}
}

// TestSameKeyTwice: a second process with the key of a linked one is refused while the first is there, and takes its place when it is gone. With
// twins both have links, and both get what is sent to the key.
func TestSameKeyTwice(t *testing.T) {
	t.Parallel()
	for _, twins := range []bool{false, true} {
		a := newTestNode(t, 0, func(o *Options) { o.Twins = twins })
		b, c := newTestNode(t, 1, func(o *Options) { o.Listen = "" }), newTestNode(t, 1, func(o *Options) { o.Listen = "" })
		for _, n := range []*testNode{a, b, c} {
			n.start()
		}
		a.SetPeers([]peer.Address{{ID: b.ID()}})
		to := []peer.Address{{ID: a.ID(), Dial: a.Addr()}}
		b.SetPeers(to)
		a.wait("the first", func() bool { return a.up[b.ID()] == 1 })
		c.SetPeers(to)
		if twins {
			a.wait("the second", func() bool { return a.up[b.ID()] == 2 })
			if err := a.Send(b.ID(), 1, []byte("to both")); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*testNode{b, c} {
				n.wait("the message", func() bool { return len(n.messages) == 1 })
			}
			continue
		}
		until(t, "refused", func() bool { return strings.Contains(stateOf(c, a.ID()).Reason, "another link") })
		if s := stateOf(a, b.ID()); len(s.Links) != 1 || s.State != "linked" {
			t.Errorf("%+v", s)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		c.wait("the second alone", func() bool { return c.up[a.ID()] == 1 })
	}
}

// TestBothHalvesOfTwins: two nodes with one key know each other and all others, and all of them are linked.
func TestBothHalvesOfTwins(t *testing.T) {
	t.Parallel()
	twins := func(o *Options) { o.Twins = true }
	a, b := newTestNode(t, 1, twins), newTestNode(t, 1, twins)
	other := newTestNode(t, 0, twins)
	for _, n := range []*testNode{a, b, other} {
		n.start()
	}
	a.SetPeers([]peer.Address{{ID: b.ID(), Dial: b.Addr()}, {ID: other.ID(), Dial: other.Addr()}})
	b.SetPeers([]peer.Address{{ID: a.ID(), Dial: a.Addr()}, {ID: other.ID(), Dial: other.Addr()}})
	other.SetPeers([]peer.Address{{ID: a.ID()}})
	other.wait("both", func() bool { return other.up[a.ID()] == 2 })
	for _, n := range []*testNode{a, b} {
		until(t, "linked with the twin", func() bool { return len(stateOf(n, n.ID()).Links) == 1 && n.dialing.Load() == 0 })
	}
}

// TestFollowers: a follower gets heads, blocks and transactions, no messages and no proposals, and may not send them.
func TestFollowers(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 3, func(i int, o *Options) { o.Follower = i == 2 })
	follower := nodes[2]
	nodes[0].grow(5, 10)
	if err := follower.Broadcast(5, nil); err == nil {
		t.Error("a follower may vote")
	}
	if err := nodes[0].Broadcast(5, []byte("vote")); err != nil {
		t.Fatal(err)
	}
	p := nodes[0].PublishBody(5, 0)
	if err := p.Part([]byte("body")); err != nil {
		t.Fatal(err)
	}
	p.Finish(Value{5})
	nodes[0].Gossip([][]byte{[]byte("transaction")})
	nodes[1].wait("all", func() bool {
		return len(nodes[1].messages) == 1 && nodes[1].parts == 2 && len(nodes[1].transactions) == 1
	})
	follower.wait("a transaction and a head", func() bool { return len(follower.transactions) == 1 && len(follower.heads) == 1 })
	if err := follower.follow(t.Context()); err != nil || len(follower.chain) != 5 {
		t.Errorf("%d blocks, %v", len(follower.chain), err)
	}
	if len(follower.messages) != 0 || follower.parts != 0 {
		t.Errorf("%v, %d parts", follower.messages, follower.parts)
	}
	// One that sends them all the same.
	nodes[0].SetPeers([]peer.Address{{ID: identity.Of(testKey(firstByzantine)), Follower: true}})
	h := newByzantine(t, firstByzantine, nodes[0])
	h.message(5, nil)
	until(t, "banned", func() bool {
		return strings.Contains(stateOf(nodes[0], h.id).Reason, "a consensus message of a follower")
	})
}

// TestPeerFile: peers come and go with the file; a file with a fault changes nothing; options win over it.
func TestPeerFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := newTestNode(t, 1, nil)
	other.start()
	other.SetPeers([]peer.Address{{ID: identity.Of(testKey(0))}})
	write("nonsense")
	n := newTestNode(t, 0, func(o *Options) { o.PeerFile = path })
	if err := n.Start(); err == nil || !strings.Contains(err.Error(), "network.peer_file "+path+": line 1") {
		t.Fatalf("%v", err)
	}
	write("# no peers\n")
	n.start()
	write(fmt.Sprintf("%s@%s # the other\n", other.ID(), other.Addr()))
	n.wait("a link", func() bool { return len(n.up) == 1 }) // the file is watched
	write("nonsense")
	if err := n.Reload(); err == nil {
		t.Error("nonsense is taken")
	}
	if len(n.Peers()) != 1 {
		t.Errorf("%+v", n.Peers())
	}
	write("")
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	n.wait("the end of the link", func() bool { return len(n.up) == 0 })
	if len(n.Peers()) != 0 {
		t.Errorf("%+v", n.Peers())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(); err == nil {
		t.Error("no file is taken")
	}
}

// TestBackPressure: a core that does not take the messages of one peer makes that peer wait, and no other; nothing is lost.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, func(_ int, o *Options) { o.Limits.Silence = time.Minute })
	held := make(chan struct{})
	nodes[0].mu.Lock()
	nodes[0].held = held
	nodes[0].mu.Unlock()
	data := make([]byte, 64<<10)
	const count = 100 // 6.4 MB, of which 2 are in windows
	for i := range count {
		if err := nodes[1].Broadcast(5, append(fmt.Appendf(nil, "%03d", i), data...)); err != nil {
			t.Fatal(err)
		}
	}
	nodes[0].Gossip([][]byte{[]byte("meanwhile")})
	nodes[1].wait("a transaction", func() bool { return len(nodes[1].transactions) == 1 })
	if queued := stateOf(nodes[1], nodes[0].ID()).Links[0].Queued; queued < 1<<20 {
		t.Errorf("%d bytes wait at the sender", queued)
	}
	close(held)
	nodes[0].wait("all", func() bool { return len(nodes[0].messages) == count })
	for i, m := range nodes[0].messages {
		if !strings.Contains(m, fmt.Sprintf(" 5 %03d", i)) {
			t.Fatalf("message %d is %q", i, m)
		}
	}
}

// TestOptions: what cannot be is refused by the name of its key.
func TestOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"network.key_file":             func(o *Options) { o.Key = nil },
		"chain id":                     func(o *Options) { o.ChainID = "" },
		"network.queue_bytes":          func(o *Options) { o.Limits.Queue = 1 },
		"network.message_bytes":        func(o *Options) { o.Limits.Message = 2 << 20 },
		"network.bodies_bytes":         func(o *Options) { o.Limits.Bodies = o.Limits.Body },
		"network.inbound_bytes":        func(o *Options) { o.Limits.Inbound = 5 },
		"network.silence_timeout":      func(o *Options) { o.Limits.Silence = o.Limits.Heartbeat },
		"network.redial":               func(o *Options) { o.Limits.Redial = 0 },
		"network.peer_invalid":         func(o *Options) { o.Limits.Invalid = 0 },
		"network.peer_messages and":    func(o *Options) { o.Limits.Messages = 1 },
		"network.listen 256.0.0.1:bad": func(o *Options) { o.Listen = "256.0.0.1:bad" },
	} {
		o := testOptions(0)
		n := &testNode{}
		o.Receiver, o.Source = n, n
		change(&o)
		network, err := New(o)
		if err == nil {
			err = network.Start()
			_ = network.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	o := testOptions(0)
	o.Limits = Limits{}
	n := &testNode{}
	o.Receiver, o.Source = n, n
	if network, err := New(o); err != nil || network.o.Limits != DefaultLimits() {
		t.Errorf("the defaults: %v", err)
	}
}

// TestClose: a node that stops says so, waits for nothing, and leaves nothing behind; its methods do no harm afterwards.
func TestClose(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, nil)
	nodes[1].Announce(Head{Height: 5})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	caught := make(chan error, 1)
	nodes[0].wait("a head", func() bool { return len(nodes[0].heads) == 1 })
	go func() { caught <- nodes[0].follow(ctx) }() // the blocks are not there
	until(t, "catching up", func() bool { return nodes[0].Stats().CatchUpHeight == 0 && nodes[0].catchingUp() })
	if err := nodes[0].CatchUp(ctx, 0, nil); err == nil {
		t.Error("two at a time")
	}
	if err := nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-caught; err == nil {
		t.Error("catch-up has ended well")
	}
	nodes[1].wait("the end of the link", func() bool { return len(nodes[1].up) == 0 })
	if s := stateOf(nodes[1], nodes[0].ID()); s.Reason == "" {
		t.Errorf("%+v", s)
	}
	if err := nodes[0].Broadcast(1, bytes.Repeat([]byte{1}, 2<<20)); err == nil {
		t.Error("a message of 2 MB is taken")
	}
	_ = nodes[0].Broadcast(1, nil)
	nodes[0].Gossip([][]byte{{1}})
	nodes[0].SetPeers([]peer.Address{{ID: nodes[1].ID(), Dial: nodes[1].Addr()}})
	if _, err := nodes[0].FetchBody(t.Context(), 1, Value{1}, nodes[1].ID()); err == nil {
		t.Error("a body of a stopped node")
	}
	if err := nodes[0].Close(); err != nil {
		t.Error(err)
	}
}

func (n *testNode) catchingUp() bool {
	n.Network.mu.Lock()
	defer n.Network.mu.Unlock()
	return n.catching != nil
}
