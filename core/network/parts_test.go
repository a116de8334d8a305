package network

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// TestBodiesAreBounded: whatever peers send, no more bytes are held than allowed, in all and for each; the books are right, and what is found is
// what its sender sent.
func TestBodiesAreBounded(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		l := Limits{Body: 1000, Bodies: 2000 + r.IntN(4000)}
		b := newBodies(l)
		next := make(map[openBody]uint32)
		height := uint64(0)
		for range 3000 {
			from := ID{byte(1 + r.IntN(4))}
			h, round := height+1+uint64(r.IntN(3)), uint32(r.IntN(6))
			key := openBody{from, h, round}
			switch r.IntN(20) {
			case 0:
				height++
				b.decided(height)
			case 1:
				b.leave(from)
			case 2:
				b.keep(h, Value{byte(round)}, bytes.Repeat([]byte{0}, r.IntN(900)))
			default:
				p := &wire.BodyPart{Height: h, Round: round, Index: next[key], Data: bytes.Repeat(from[:1], r.IntN(300)), Last: r.IntN(4) == 0}
				if r.IntN(10) == 0 {
					p.Index = uint32(r.IntN(3))
				}
				if p.Last && r.IntN(3) > 0 {
					v := Value{byte(round)}
					p.Value = v[:]
				}
				used, fault := b.part(from, p)
				next[key] = p.Index + 1
				if p.Last || fault != nil || !used {
					next[key] = 0
				}
			}
			sum, each := 0, make(map[ID]int)
			for _, o := range b.open {
				sum += len(o.data)
				each[o.from] += len(o.data)
			}
			for k, o := range b.whole {
				sum += len(o.data)
				each[o.from] += len(o.data)
				if o.from != k.from || o.height <= height {
					t.Fatalf("seed %d: body %v of %v at height %d, the head is %d", seed, k, o.from, o.height, height)
				}
			}
			if sum != b.used || sum > l.Bodies {
				t.Fatalf("seed %d: %d bytes, %d in the books, at most %d", seed, sum, b.used, l.Bodies)
			}
			for id, bytes := range each {
				if bytes != b.byPeer[id] || bytes > l.Bodies/2 {
					t.Fatalf("seed %d: %d bytes of %v, %d in the books", seed, bytes, id, b.byPeer[id])
				}
			}
			if found := b.find(Value{byte(round)}, from); found != nil && len(found.Data) > 0 && found.Data[0] != found.From[0] {
				t.Fatalf("seed %d: a body of %d is said to be of %v", seed, found.Data[0], found.From)
			}
		}
	}
}

// TestOnePeerKeepsNoBodyOut: a peer that fills its share keeps out neither the bodies of others nor of this node.
func TestOnePeerKeepsNoBodyOut(t *testing.T) {
	b := newBodies(Limits{Body: 1000, Bodies: 3000})
	send := func(from ID, round uint32, size int) bool {
		v := Value{from[0], byte(round)}
		used, fault := b.part(from, &wire.BodyPart{Height: 1, Round: round, Data: make([]byte, size), Last: true, Value: v[:]})
		return used && fault == nil
	}
	for _, attacker := range []ID{{1}, {2}} {
		for round := range uint32(20) {
			send(attacker, round, 500)
		}
		b.part(attacker, &wire.BodyPart{Height: 1, Round: 99, Data: make([]byte, 900)})
	}
	for i := byte(3); i < 8; i++ {
		if !send(ID{i}, 0, 200) || b.find(Value{i}, ID{i}) == nil {
			t.Errorf("the body of peer %d is kept out", i)
		}
	}
	b.keep(1, Value{99}, make([]byte, 300))
	if b.served(Value{99}) == nil {
		t.Error("the body of this node is kept out")
	}
}

// TestGossipCrosses: two nodes that got the same transactions from clients send them to each other; neither holds that against the other, however
// often they are given to Gossip.
func TestGossipCrosses(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, func(_ int, o *Options) { o.Limits.Useless, o.Limits.Burst = 3, time.Second*4 })
	var list [][]byte
	for i := range 6000 {
		list = append(list, fmt.Appendf(nil, "transaction %d", i))
	}
	for range 2 {
		for at := 0; at < len(list); at += 500 {
			for _, n := range nodes {
				n.Gossip(list[at : at+500])
			}
		}
	}
	for i, n := range nodes {
		n.Gossip([][]byte{fmt.Appendf(nil, "the last of %d", i)})
	}
	for i, n := range nodes {
		n.wait("the last", func() bool { return n.transactions[fmt.Sprintf("the last of %d", 1-i)] == 1 })
		if s := n.Stats(); s.Traffic.Useless["repeated"] > 0 || s.Bans > 0 {
			t.Errorf("%+v", s)
		}
	}
	// A link that is made later gets what waits, and once.
	third := newTestNode(t, 2, nil)
	third.start()
	join(append(nodes, third)...)
	settle(t, append(nodes, third)...)
	nodes[0].GossipTo(third.ID(), list)
	third.wait("all", func() bool { return len(third.transactions) == len(list) })
}

// TestDroppedTransactionsComeAgain: a transaction that its receiver had no room for is handed over when it is sent again, one that it has is not.
func TestDroppedTransactionsComeAgain(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, nil)
	list := [][]byte{[]byte("dropped"), []byte("admitted"), []byte("then another")}
	nodes[0].Gossip(list[:2])
	nodes[1].wait("both", func() bool { return len(nodes[1].transactions) == 2 })
	nodes[1].Forget(list[0])
	nodes[0].Gossip(list[:2]) // it was sent
	nodes[0].GossipAgain(list[:2])
	nodes[1].wait("again", func() bool { return nodes[1].transactions["dropped"] == 2 })
	nodes[0].Gossip(list[2:])
	nodes[1].wait("the next", func() bool { return nodes[1].transactions["then another"] == 1 })
	nodes[1].mu.Lock()
	defer nodes[1].mu.Unlock()
	if nodes[1].transactions["dropped"] != 2 || nodes[1].transactions["admitted"] != 1 {
		t.Errorf("%v", nodes[1].transactions)
	}
}

// TestMetrics: every metric has a value, and registers.
func TestMetrics(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, nil)
	nodes[0].Announce(Head{Height: 3})
	nodes[1].wait("a head", func() bool { return len(nodes[1].heads) == 1 })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(nodes[1].Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	if len(families) != len(metrics()) || values["ordo_network_peers linked"] != 1 || values["ordo_network_peers banned"] != 0 ||
		values["ordo_network_peer_height "+nodes[0].ID().Short()] != 3 || values["ordo_network_frames_received_total control"] == 0 {
		t.Errorf("%d of %d metrics: %v", len(families), len(metrics()), values)
	}
}
