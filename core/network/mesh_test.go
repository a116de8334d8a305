package network

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/network/peer"
)

// testNode is a node of the mesh with a core that remembers what it was handed.
type testNode struct {
	*Network
	t   testing.TB
	key ed25519.PrivateKey

	mu           sync.Mutex
	changed      chan struct{}
	messages     []string // "FROM HEIGHT DATA"
	transactions map[string]int
	parts        int
	heads        map[ID]Head
	up           map[ID]int
	invalid      func(tx []byte) bool
	chain        []*Block      // what it serves
	held         chan struct{} // Message waits for it; may be nil
}

func testKey(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
}

func testLimits() Limits {
	l := DefaultLimits()
	l.Body, l.Bodies, l.Queue = 4<<20, 16<<20, 8<<20
	l.Heartbeat, l.Silence, l.Handshake = 50*time.Millisecond, 2*time.Second, 5*time.Second
	l.Redial, l.RedialMax, l.Fetch = 20*time.Millisecond, 200*time.Millisecond, 2*time.Second
	return l
}

func testOptions(i int) Options {
	return Options{Key: testKey(i), ChainID: "SN_TEST", Genesis: [32]byte{7}, Software: "test", Listen: "127.0.0.1:0", Limits: testLimits(), Log: hclog.NewNullLogger()}
}

// newTestNode makes a node; change may change its options.
func newTestNode(t testing.TB, i int, change func(*Options)) *testNode {
	t.Helper()
	n := &testNode{t: t, key: testKey(i), changed: make(chan struct{}), transactions: make(map[string]int), heads: make(map[ID]Head), up: make(map[ID]int)}
	o := testOptions(i)
	o.Receiver, o.Source = n, n
	if testing.Verbose() {
		o.Log = hclog.New(&hclog.LoggerOptions{Name: fmt.Sprintf("node%d", i), Output: testWriter{t}, Level: hclog.Info})
	}
	if change != nil {
		change(&o)
	}
	var err error
	if n.Network, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	fmt.Print(string(p))
	return len(p), nil
}

func (n *testNode) start() {
	n.t.Helper()
	if err := n.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// newMesh starts nodes that all know each other, and waits for the links.
func newMesh(t testing.TB, size int, change func(i int, o *Options)) []*testNode {
	t.Helper()
	var nodes []*testNode
	for i := range size {
		nodes = append(nodes, newTestNode(t, i, func(o *Options) {
			if change != nil {
				change(i, o)
			}
		}))
		nodes[i].start()
	}
	join(nodes...)
	settle(t, nodes...)
	return nodes
}

// settle waits until each node has one link with each other one, and none is being made: two that dial each other at the same time make a link too
// many, and what was sent on it is lost.
func settle(t testing.TB, nodes ...*testNode) {
	t.Helper()
	until(t, "settled", func() bool {
		for _, n := range nodes {
			if n.dialing.Load() > 0 {
				return false
			}
		}
		for _, n := range nodes {
			n.mu.Lock()
			links := len(n.up)
			for _, up := range n.up {
				if up != 1 {
					links = 0
				}
			}
			n.mu.Unlock()
			if links != len(nodes)-1 {
				return false
			}
		}
		for _, n := range nodes {
			if n.dialing.Load() > 0 {
				return false
			}
		}
		return true
	})
}

func join(nodes ...*testNode) {
	var list []peer.Address
	for _, n := range nodes {
		list = append(list, peer.Address{ID: n.ID(), Dial: n.Addr()})
	}
	for _, n := range nodes {
		n.SetPeers(list)
	}
}

const testTime = 20 * time.Second

// wait waits until something is true of what the node was handed.
func (n *testNode) wait(what string, is func() bool) {
	n.t.Helper()
	late := time.After(testTime)
	for {
		n.mu.Lock()
		ok, changed := is(), n.changed
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			n.t.Fatalf("no %s: messages %d, transactions %d, heads %d, links %v", what, len(n.messages), len(n.transactions), len(n.heads), n.up)
		}
	}
}

// until waits until something is true that the node does not tell of.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	late := time.After(testTime)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not %s", what)
		}
	}
}

func (n *testNode) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *testNode) Message(from ID, height uint64, data []byte) {
	n.mu.Lock()
	held := n.held
	n.mu.Unlock()
	if held != nil {
		<-held
	}
	n.change(func() { n.messages = append(n.messages, fmt.Sprintf("%s %d %.40s", from.Short(), height, data)) })
}

func (n *testNode) BodyPart(ID, BodyPart) { n.change(func() { n.parts++ }) }

func (n *testNode) Transactions(_ ID, batch [][]byte) (invalid int) {
	n.change(func() {
		for _, tx := range batch {
			n.transactions[string(tx)]++
			if n.invalid != nil && n.invalid(tx) {
				invalid++
			}
		}
	})
	return invalid
}

func (n *testNode) Head(from ID, h Head) { n.change(func() { n.heads[from] = h }) }

func (n *testNode) Linked(id ID, up bool) {
	n.change(func() {
		if up {
			n.up[id]++
		} else if n.up[id]--; n.up[id] == 0 {
			delete(n.up, id)
		}
	})
}

func (n *testNode) Block(_ context.Context, height uint64) (*Block, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if height >= uint64(len(n.chain)) {
		return nil, nil
	}
	return n.chain[height], nil
}

// testBlock is a block that can be told from a wrong one.
func testBlock(height uint64, size int) *Block {
	b := &Block{Height: height, Body: bytes.Repeat([]byte{byte(height)}, size), Certificate: []byte("certificate")}
	binary.BigEndian.PutUint64(b.Value[24:], height)
	return b
}

func (n *testNode) grow(blocks, size int) {
	n.mu.Lock()
	for range blocks {
		n.chain = append(n.chain, testBlock(uint64(len(n.chain)), size))
	}
	h := Head{Height: uint64(len(n.chain)) - 1, Value: n.chain[len(n.chain)-1].Value}
	n.mu.Unlock()
	n.Announce(h)
}

// follow catches up from where the node is, and checks every block.
func (n *testNode) follow(ctx context.Context) error {
	n.mu.Lock()
	next := uint64(len(n.chain))
	n.mu.Unlock()
	return n.CatchUp(ctx, next, func(_ context.Context, _ ID, b *Block) error {
		want := testBlock(b.Height, len(b.Body))
		if b.Value != want.Value || !bytes.Equal(b.Body, want.Body) {
			return Wrong(errors.New("another body"))
		}
		n.mu.Lock()
		if b.Height != uint64(len(n.chain)) {
			n.mu.Unlock()
			return fmt.Errorf("block %d, want %d", b.Height, len(n.chain))
		}
		n.chain = append(n.chain, b)
		n.mu.Unlock()
		n.Announce(Head{b.Height, b.Value})
		return nil
	})
}

// TestMesh: in meshes of 4 and 7 all messages, transactions, proposals and heads of each reach all others, once.
func TestMesh(t *testing.T) {
	for _, size := range []int{4, 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			nodes := newMesh(t, size, nil)
			for i, n := range nodes {
				n.Announce(Head{Height: 10, Value: Value{1}})
				for h := range uint64(3) {
					if err := n.Broadcast(11+h, fmt.Appendf(nil, "vote of %d", i)); err != nil {
						t.Fatal(err)
					}
				}
				if err := n.Send(nodes[(i+1)%size].ID(), 11, []byte("to the next")); err != nil {
					t.Fatal(err)
				}
				n.Gossip([][]byte{fmt.Appendf(nil, "transaction of %d", i), fmt.Appendf(nil, "another of %d", i)})
				n.Gossip([][]byte{fmt.Appendf(nil, "transaction of %d", i), []byte("of all")})
			}
			for _, n := range nodes {
				n.wait("messages", func() bool { return len(n.messages) == 3*(size-1)+1 })
				n.wait("heads", func() bool { return len(n.heads) == size-1 })
				n.wait("transactions", func() bool { return len(n.transactions) >= 2*(size-1) })
				n.mu.Lock()
				for tx, times := range n.transactions {
					if times != 1 {
						t.Errorf("%s was handed over %d times", tx, times)
					}
				}
				var order []string // of one peer
				for _, m := range n.messages {
					if m[:12] == nodes[0].ID().Short() && m[13:15] != "11" {
						order = append(order, m[13:15])
					}
				}
				if !slices.IsSorted(order) {
					t.Errorf("order of one sender: %v", order)
				}
				n.mu.Unlock()
			}
		})
	}
}

// TestProposals: a body that is published part by part is whole at all others, one that came late is fetched, one that is wrong costs its
// sender the links.
func TestProposals(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 4, nil)
	for _, n := range nodes {
		n.Announce(Head{Height: 4})
	}
	data := bytes.Repeat([]byte("proposal "), 200_000) // 1.8 MB
	p := nodes[0].PublishBody(5, 0)
	for piece := range slices.Chunk(data, 100_000) {
		if err := p.Part(piece); err != nil {
			t.Fatal(err)
		}
	}
	p.Finish(Value{5})
	for _, n := range nodes[1:] {
		b, err := n.FetchBody(t.Context(), 5, Value{5}, nodes[0].ID())
		if err != nil || !bytes.Equal(b.Data, data) || b.From != nodes[0].ID() {
			t.Fatalf("%v", err)
		}
	}
	// One of node 3 that was never published, asked of node 2 first, which does not have it.
	nodes[3].KeepBody(5, Value{6}, data[:1000])
	b, err := nodes[1].FetchBody(t.Context(), 5, Value{6}, nodes[2].ID())
	if err != nil || !bytes.Equal(b.Data, data[:1000]) || b.From != nodes[3].ID() {
		t.Fatalf("%v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := nodes[1].FetchBody(short, 5, Value{9}, nodes[2].ID()); !errors.Is(err, ErrNotFound) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a body that there is not: %v", err)
	}
	nodes[1].Blame(nodes[0].ID(), "a fault of the core's")
	until(t, "banned", func() bool { return stateOf(nodes[1], nodes[0].ID()).State == "banned" })
	if _, err = nodes[1].FetchBody(t.Context(), 5, Value{6}, nodes[0].ID()); err != nil {
		t.Error(err)
	}
	for _, n := range nodes {
		n.Announce(Head{Height: 5, Value: Value{5}})
		if used, _ := n.bodies.bytes(); used != 0 {
			t.Errorf("%d bytes of bodies after the decision", used)
		}
	}
}

func stateOf(n *testNode, id ID) PeerInfo {
	for _, p := range n.Peers() {
		if p.ID == id {
			return p
		}
	}
	return PeerInfo{State: "none"}
}
