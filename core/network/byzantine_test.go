package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// byzantinePeer is a peer that holds a valid key and follows no rule: the test sends its frames.
type byzantinePeer struct {
	t             testing.TB
	id            ID
	conn          *grpc.ClientConn
	control, bulk grpc.ClientStream
}

// byzantineHello dials a node and sends a Hello, and nothing more.
func byzantineHello(t testing.TB, key int, to *testNode, change func(*wire.Hello)) *byzantinePeer {
	t.Helper()
	private := testKey(key)
	config, err := identity.Config(private, func(ID) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	options := append(dialOptions(DefaultLimits(), newCredentials(config, nil)), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(16<<20)))
	conn, err := grpc.NewClient("passthrough:///"+to.Addr(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h := &byzantinePeer{t: t, id: identity.Of(private), conn: conn}
	if h.control, err = conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamPath("Control")); err != nil {
		t.Fatal(err)
	}
	hello := to.sayHello(make([]byte, 16))
	hello.Instance = make([]byte, 16)
	for _, random := range [][]byte{hello.Instance, hello.Session} {
		if _, err := rand.Read(random); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(hello)
	}
	_ = h.control.SendMsg(helloFrame(hello))
	return h
}

// newByzantine has a whole link.
func newByzantine(t testing.TB, key int, to *testNode) *byzantinePeer {
	t.Helper()
	var session []byte
	h := byzantineHello(t, key, to, func(hello *wire.Hello) { session = hello.Session })
	if _, e := readHello(h.control); e != nil {
		t.Fatal(e)
	}
	var err error
	if h.bulk, err = h.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamPath("Bulk")); err != nil {
		t.Fatal(err)
	}
	h.sendBulk(&wire.BulkFrame{Frame: &wire.BulkFrame_Open{Open: &wire.Open{Session: session}}})
	return h
}

func (h *byzantinePeer) sendBulk(f *wire.BulkFrame) bool { return h.bulk.SendMsg(encode(f)) == nil }

func (h *byzantinePeer) message(height uint64, data []byte) bool {
	return h.control.SendMsg(encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Consensus{Consensus: &wire.Consensus{Height: height, Data: data}}})) == nil
}

func (h *byzantinePeer) head(height uint64) bool {
	return h.control.SendMsg(encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Head{Head: &wire.Head{Height: height, Value: make([]byte, 32)}}})) == nil
}

func (h *byzantinePeer) part(p *wire.BodyPart) bool {
	return h.sendBulk(&wire.BulkFrame{Frame: &wire.BulkFrame_BodyPart{BodyPart: p}})
}

func (h *byzantinePeer) transactions(list ...[]byte) bool {
	return h.sendBulk(&wire.BulkFrame{Frame: &wire.BulkFrame_Transactions{Transactions: &wire.Transactions{Transactions: list}}})
}

func (h *byzantinePeer) request(r *wire.Request) bool {
	return h.sendBulk(&wire.BulkFrame{Frame: &wire.BulkFrame_Request{Request: r}})
}

func (h *byzantinePeer) answer(a *wire.Answer) bool {
	return h.sendBulk(&wire.BulkFrame{Frame: &wire.BulkFrame_Answer{Answer: a}})
}

// goodbye reads until the node says why it ends the link; "" when it only closes.
func (h *byzantinePeer) goodbye() string {
	for {
		frame := &wire.ControlFrame{}
		if err := h.control.RecvMsg(&inbox{frame: frame}); err != nil {
			return ""
		}
		if g := frame.GetGoodbye(); g != nil {
			return g.Text
		}
	}
}

// persist does something until the link has ended.
func persist(do func(i int) bool) {
	for i := range 200_000 {
		if !do(i) {
			return
		}
	}
}

// peerFaults are what byzantine peers do, and the reason that the node gives.
func peerFaults() []peerFault {
	big := bytes.Repeat([]byte{1}, 200<<10)
	return []peerFault{
		{"a flood of consensus messages", "too many control messages (network.peer_messages", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.message(11, fmt.Append(nil, i)) })
		}},
		{"a flood of heads", "too many control messages (network.peer_messages", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.head(uint64(i)) })
		}},
		{"a flood of bytes", "too many bytes (network.peer_bytes", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.part(&wire.BodyPart{Height: 11, Round: uint32(i), Data: big, Last: true}) })
		}},
		{"a frame too large", "a frame of 31457", func(h *byzantinePeer) { h.message(11, make([]byte, 3<<20)) }},
		{"a message too large", "network.message_bytes", func(h *byzantinePeer) { h.message(11, make([]byte, 1<<20+1)) }},
		{"a huge body", "network.body_bytes", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.part(&wire.BodyPart{Height: 11, Index: uint32(i), Data: big}) })
		}},
		{"many open bodies", "too many bytes (network.peer_bytes", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.part(&wire.BodyPart{Height: 11, Round: uint32(i), Data: big}) })
		}},
		{"a part too large", "network.part_bytes", func(h *byzantinePeer) { h.part(&wire.BodyPart{Height: 11, Data: make([]byte, 300<<10)}) }},
		{"a value in the middle", "before the last", func(h *byzantinePeer) { h.part(&wire.BodyPart{Height: 11, Value: make([]byte, 32)}) }},
		{"parts of nothing", "network.peer_useless", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.part(&wire.BodyPart{Height: 11, Index: uint32(i) + 5, Data: []byte{1}}) })
		}},
		{"garbage on control", "no message of this protocol", func(h *byzantinePeer) { _ = h.control.SendMsg(rawFrame(bytes.Repeat([]byte{0xff}, 99))) }},
		{"garbage on bulk", "no message of this protocol", func(h *byzantinePeer) { _ = h.bulk.SendMsg(rawFrame(bytes.Repeat([]byte{0xff}, 99))) }},
		{"an empty frame", "an empty bulk frame", func(h *byzantinePeer) { h.sendBulk(&wire.BulkFrame{}) }},
		{"a second Hello", "a second Hello", func(h *byzantinePeer) { _ = h.control.SendMsg(helloFrame(&wire.Hello{})) }},
		{"a height beyond its own head", "a consensus message of height 900, the head of its sender is 10", func(h *byzantinePeer) { h.head(10); h.message(900, nil) }},
		{"replays", "network.peer_useless", func(h *byzantinePeer) { persist(func(int) bool { return h.message(11, []byte("the same vote")) }) }},
		{"late messages", "network.peer_useless", func(h *byzantinePeer) { persist(func(i int) bool { return h.message(3, fmt.Append(nil, i)) }) }},
		{"heads that go back", "network.peer_useless", func(h *byzantinePeer) { persist(func(i int) bool { return h.head(1<<40 - uint64(i)) }) }},
		{"replayed transactions", "network.peer_useless", func(h *byzantinePeer) { persist(func(int) bool { return h.transactions([]byte("the same")) }) }},
		{"invalid transactions", "too many invalid transactions (network.peer_invalid", func(h *byzantinePeer) {
			persist(func(i int) bool { return h.transactions(fmt.Appendf(nil, "invalid %d", i)) })
		}},
		{"an empty batch", "a batch of 0 transactions", func(h *byzantinePeer) { h.transactions() }},
		{"a batch too large", "network.batch_bytes", func(h *byzantinePeer) { h.transactions(big, big, big) }},
		{"an answer to nothing", "which was never put", func(h *byzantinePeer) { h.answer(&wire.Answer{Id: 77}) }},
		{"many requests", "requests", func(h *byzantinePeer) {
			persist(func(i int) bool {
				return h.request(&wire.Request{Id: uint64(i), What: &wire.Request_Blocks_{Blocks: &wire.Request_Blocks{Count: 32}}})
			})
		}},
		{"a request for too much", "network.blocks_per_request", func(h *byzantinePeer) {
			h.request(&wire.Request{What: &wire.Request_Blocks_{Blocks: &wire.Request_Blocks{Count: 1 << 30}}})
		}},
		{"a request for nothing", "a request for nothing", func(h *byzantinePeer) { h.request(&wire.Request{}) }},
		{"a request for half a value", "a value of 5 bytes", func(h *byzantinePeer) { h.request(&wire.Request{What: &wire.Request_Body{Body: make([]byte, 5)}}) }},
		{"silence", "nothing came in", func(*byzantinePeer) {}},
	}
}

type peerFault struct {
	name, says string
	do         func(*byzantinePeer)
}

// smallLimits are small, so that a test reaches them.
func smallLimits() Limits {
	l := testLimits()
	l.Messages, l.Bytes, l.Useless, l.Requests, l.Invalid, l.Burst, l.Ban = 400, 4<<20, 50, 20, 5, 2*time.Second, time.Hour
	return l
}

const firstByzantine = 40 // its key

// TestByzantinePeers: peers with valid keys do what is not allowed, all at the same time. Each loses its link with a reason that names what it did, none
// gets a new one, the honest peers keep theirs and get everything, and memory and goroutines are those of before.
func TestByzantinePeers(t *testing.T) {
	all := peerFaults()
	var extra []peer.Address
	for i := range all {
		extra = append(extra, peer.Address{ID: identity.Of(testKey(firstByzantine + i))})
	}
	nodes := newMesh(t, 3, func(_ int, o *Options) { o.Limits = smallLimits() })
	victim := nodes[0]
	victim.invalid = func(tx []byte) bool { return strings.HasPrefix(string(tx), "invalid") }
	victim.grow(11, 100<<10)
	for _, n := range nodes[1:] {
		n.Announce(Head{Height: 10, Value: Value{1}})
	}
	before := memory()
	goroutines := runtime.NumGoroutine()
	victim.mu.Lock()
	links := len(victim.up)
	victim.mu.Unlock()
	victim.SetPeers(append(extra, peer.Address{ID: nodes[1].ID(), Dial: nodes[1].Addr()}, peer.Address{ID: nodes[2].ID(), Dial: nodes[2].Addr()}))

	t.Run("faults", func(t *testing.T) {
		for i, d := range all {
			t.Run(strings.ReplaceAll(d.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				h := newByzantine(t, firstByzantine+i, victim)
				told := make(chan string, 1)
				go func() { told <- h.goodbye() }()
				d.do(h)
				until(t, "without a link", func() bool { s := stateOf(victim, h.id); return len(s.Links) == 0 && s.Reason != "" })
				s := stateOf(victim, h.id)
				if !strings.Contains(s.Reason, d.says) {
					t.Errorf("reason %q, want %q", s.Reason, d.says)
				}
				select {
				case text := <-told:
					if text != "" && !strings.Contains(text, d.says) {
						t.Errorf("told %q, want %q", text, d.says)
					}
				case <-time.After(testTime):
					t.Error("the connection stays open")
				}
				_ = h.conn.Close()
				if d.name == "silence" {
					return // it may come again
				}
				if s.State != "banned" || s.Bans != 1 {
					t.Errorf("%+v", s)
				}
				again := byzantineHello(t, firstByzantine+i, victim, nil)
				if _, e := readHello(again.control); e == nil || e.reason != wire.Goodbye_BANNED {
					t.Errorf("a new link while it is banned: %v", e)
				}
				_ = again.conn.Close()
			})
		}
	})

	if !t.Failed() && victim.Stats().Bans != uint64(len(all)-1) {
		t.Errorf("%d bans for %d faults", victim.Stats().Bans, len(all))
	}
	victim.mu.Lock()
	if len(victim.up) != links {
		t.Errorf("%d links, %d before", len(victim.up), links)
	}
	victim.messages, victim.transactions, victim.parts = nil, make(map[string]int), 0
	victim.mu.Unlock()
	for _, n := range nodes[1:] {
		if err := n.Broadcast(11, []byte("an honest vote")); err != nil {
			t.Fatal(err)
		}
		n.Gossip([][]byte{[]byte("honest " + n.ID().Short())})
	}
	victim.wait("honest messages", func() bool { return len(victim.messages) == 2 && len(victim.transactions) == 2 })
	victim.Announce(Head{Height: 11})
	until(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines+len(all) }) // one keeps each peer
	if after := memory(); after > before+16<<20 {
		t.Errorf("%d MB of memory, %d before", after>>20, before>>20)
	}
}

// memory is what is in use after a collection.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSlowReader: a peer that does not read costs the bytes of its queue, and then its link; other peers get everything meanwhile.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, func(_ int, o *Options) { o.Limits.Silence = time.Minute })
	slow := identity.Of(testKey(firstByzantine))
	nodes[0].Announce(Head{Height: 10})
	nodes[0].SetPeers([]peer.Address{{ID: slow}, {ID: nodes[1].ID(), Dial: nodes[1].Addr()}})
	_ = newByzantine(t, firstByzantine, nodes[0])
	nodes[0].wait("the slow link", func() bool { return nodes[0].up[slow] == 1 })
	data := make([]byte, 512<<10)
	sent := 0
	for stateOf(nodes[0], slow).State == "linked" && sent < 60 { // 30 MB; a queue holds 8
		sent++
		copy(data, fmt.Append(nil, sent))
		if err := nodes[0].Broadcast(11, data); err != nil {
			t.Fatal(err)
		}
		nodes[1].wait("messages", func() bool { return len(nodes[1].messages) == sent })
	}
	until(t, "without the slow link", func() bool { return stateOf(nodes[0], slow).State != "linked" })
	if s := stateOf(nodes[0], slow); !strings.Contains(s.Reason, "network.queue_bytes") {
		t.Errorf("%+v", s)
	}
	t.Logf("ended after %d KB", sent*512)
}

// TestWrongAnswers: a peer that answers a request for blocks with others is banned, and the block comes from another.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, func(_ int, o *Options) { o.Limits.Serve = 4 })
	nodes[1].grow(30, 100)
	follower := nodes[0]
	wrong := identity.Of(testKey(firstByzantine))
	follower.SetPeers([]peer.Address{{ID: wrong}, {ID: nodes[1].ID(), Dial: nodes[1].Addr()}})
	h := newByzantine(t, firstByzantine, follower)
	h.head(29)
	follower.wait("both heads", func() bool { return len(follower.heads) == 2 })
	go func() {
		for {
			frame := &wire.BulkFrame{}
			if h.bulk.RecvMsg(&inbox{frame: frame}) != nil {
				return
			}
			if r := frame.GetRequest(); r != nil {
				data, _ := proto.Marshal(&wire.Block{Height: r.GetBlocks().GetFrom() + 7, Value: make([]byte, 32)})
				h.answer(&wire.Answer{Id: r.Id, Data: data, ItemEnd: true})
			}
		}
	}()
	if err := follower.follow(t.Context()); err != nil || len(follower.chain) != 30 {
		t.Fatalf("%d blocks, %v", len(follower.chain), err)
	}
	if s := stateOf(follower, wrong); !strings.Contains(s.Reason, "a wrong answer: block ") {
		t.Errorf("%+v", s)
	}
}

// TestStrangers: a key that is not among the peers gets no further than TLS, and crowds of connections that show no key keep no peer out.
func TestStrangers(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, 0, func(o *Options) { o.Limits.Connections = 8 })
	n.start()
	config, err := identity.Config(testKey(9), func(ID) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", n.Addr(), config)
	if err == nil { // in TLS 1.3 a client is told after its own handshake
		_ = c.SetReadDeadline(time.Now().Add(testTime))
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "bad certificate") {
		t.Errorf("a stranger: %v", err)
	}
	config.MaxVersion, config.MinVersion = tls.VersionTLS12, tls.VersionTLS12
	if c, err := tls.Dial("tcp", n.Addr(), config); err == nil {
		_ = c.Close()
		t.Error("TLS 1.2 is taken")
	}
	for range 50 {
		c, err := net.Dial("tcp", n.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	until(t, "closed", func() bool { return n.Stats().Strangers >= 40 })
	other := newTestNode(t, 1, nil)
	other.start()
	join(n, other)
	settle(t, n, other)
}
