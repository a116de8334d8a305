package network

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// aloneStream is a stream without a connection, so that a link runs in virtual time: frames that the test gives come in, and those that the
// link sends are decoded, or are stuck.
type aloneStream struct {
	in     chan []byte
	closed chan struct{}
	stuck  bool
	sent   chan proto.Message
	decode func() proto.Message
}

func (s *aloneStream) Context() context.Context { return context.Background() }

func (s *aloneStream) RecvMsg(m any) error {
	select {
	case data, ok := <-s.in:
		if !ok {
			return io.EOF
		}
		in := m.(*inbox)
		in.bytes, in.garbage = len(data), proto.Unmarshal(data, in.frame)
		return nil
	case <-s.closed:
		return errors.New("closed")
	}
}

func (s *aloneStream) SendMsg(m any) error {
	if s.stuck {
		<-s.closed
		return errors.New("closed")
	}
	frame := s.decode()
	if err := proto.Unmarshal(m.(rawFrame), frame); err != nil {
		panic(err)
	}
	select {
	case s.sent <- frame:
		return nil
	case <-s.closed:
		return errors.New("closed")
	}
}

// aloneLink is a link of a node that has no listener.
type aloneLink struct {
	*link
	node          *testNode
	control, bulk *aloneStream
	ended         chan *endError
}

func newAloneLink(t testing.TB) *aloneLink {
	n := &testNode{t: t, changed: make(chan struct{}), transactions: make(map[string]int), heads: make(map[ID]Head), up: make(map[ID]int)}
	o := testOptions(0)
	o.Limits = DefaultLimits()
	o.Receiver, o.Source, o.Log = n, n, hclog.NewNullLogger()
	var err error
	if n.Network, err = New(o); err != nil {
		t.Fatal(err)
	}
	id := identity.Of(testKey(1))
	n.setPeers([]peer.Address{{ID: id}}, true)
	closed := make(chan struct{})
	hangup := make(chan struct{}, 8)
	go func() { <-hangup; close(closed) }()
	l := &aloneLink{node: n, ended: make(chan *endError, 1)}
	l.control = &aloneStream{in: make(chan []byte, 1024), closed: closed, sent: make(chan proto.Message, 1024), decode: func() proto.Message { return &wire.ControlFrame{} }}
	l.bulk = &aloneStream{in: make(chan []byte, 1024), closed: closed, sent: make(chan proto.Message, 1024), decode: func() proto.Message { return &wire.BulkFrame{} }}
	l.link = n.newLink(n.peers[id], &wire.Hello{Instance: make([]byte, 16)}, false, func() { signal(hangup) })
	if e := n.offer(l.link, peer.Dialer{ID: id}); e != nil {
		t.Fatal(e)
	}
	return l
}

func (l *aloneLink) start() {
	go func() { l.ended <- l.node.serveLink(l.link, l.control, l.bulk) }()
}

func (l *aloneLink) head(h uint64) {
	l.control.in <- encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Head{Head: &wire.Head{Height: h, Value: make([]byte, 32)}}})
}

// stop ends the link and the node.
func (l *aloneLink) stop() {
	l.end(&endError{reason: wire.Goodbye_STOPPING})
	_ = l.node.Close()
}

// TestSilence: a link lives as long as something comes in, and ends when nothing came for the time that is set; it sends a heartbeat each second.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newAloneLink(t)
		defer l.stop()
		l.start()
		for h := range uint64(20) {
			time.Sleep(5 * time.Second)
			l.head(h)
		}
		synctest.Wait()
		if len(l.ended) > 0 || len(l.control.sent) < 95 {
			t.Fatalf("%d ends, %d heartbeats in 100 s", len(l.ended), len(l.control.sent))
		}
		begun := time.Now()
		e := <-l.ended
		if e.reason != wire.Goodbye_SILENT || e.ban || time.Since(begun) < 10*time.Second || time.Since(begun) > 13*time.Second {
			t.Errorf("%v after %s", e, time.Since(begun))
		}
		var last *wire.ControlFrame
		for len(l.control.sent) > 0 {
			last = (<-l.control.sent).(*wire.ControlFrame)
		}
		if last.GetGoodbye().GetReason() != wire.Goodbye_SILENT {
			t.Errorf("the last frame is %v", last)
		}
	})
}

// TestStuckWriter: a peer that speaks and does not read loses its link after the time that is set, on either stream.
func TestStuckWriter(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newAloneLink(t)
			defer l.stop()
			l.control.stuck, l.bulk.stuck = !bulk, bulk
			l.start()
			if bulk {
				l.node.Gossip([][]byte{{1}})
			}
			begun := time.Now()
			var e *endError
			for h := uint64(0); e == nil; h++ {
				select {
				case e = <-l.ended:
				case <-time.After(time.Second):
					l.head(h)
				}
			}
			if e.reason != wire.Goodbye_SLOW || e.ban || time.Since(begun) < 10*time.Second || time.Since(begun) > 14*time.Second {
				t.Errorf("bulk %v: %v after %s", bulk, e, time.Since(begun))
			}
		})
	}
}

// TestABusyCoreIsNoSilence: while the core takes its time for a message the peer is not held to be silent.
func TestABusyCoreIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newAloneLink(t)
		defer l.stop()
		l.node.held = make(chan struct{})
		l.start()
		l.control.in <- encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Consensus{Consensus: &wire.Consensus{Height: 1}}})
		time.Sleep(10 * time.Minute)
		if len(l.ended) > 0 {
			t.Fatal(<-l.ended)
		}
		close(l.node.held)
		if e := <-l.ended; e.reason != wire.Goodbye_SILENT {
			t.Error(e)
		}
	})
}

// FuzzFrames: whatever comes in on either stream, the link goes on or ends with a reason, within its bounds.
func FuzzFrames(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []*wire.ControlFrame{
		{Frame: &wire.ControlFrame_Head{Head: &wire.Head{Height: 5, Value: make([]byte, 32)}}},
		{Frame: &wire.ControlFrame_Consensus{Consensus: &wire.Consensus{Height: 6, Data: []byte("vote")}}},
		{Frame: &wire.ControlFrame_Goodbye{Goodbye: &wire.Goodbye{Reason: 99, Text: "\x1b[2J"}}},
		{Frame: &wire.ControlFrame_Hello{Hello: &wire.Hello{}}},
	} {
		f.Add([]byte(encode(c)), []byte{}, r.Uint64())
	}
	for _, b := range []*wire.BulkFrame{
		{Frame: &wire.BulkFrame_Open{Open: &wire.Open{}}},
		{Frame: &wire.BulkFrame_Transactions{Transactions: &wire.Transactions{Transactions: [][]byte{{1}, {2}}}}},
		{Frame: &wire.BulkFrame_BodyPart{BodyPart: &wire.BodyPart{Height: 1, Data: []byte("data"), Last: true, Value: make([]byte, 32)}}},
		{Frame: &wire.BulkFrame_Request{Request: &wire.Request{Id: 1, What: &wire.Request_Blocks_{Blocks: &wire.Request_Blocks{From: 1<<64 - 2, Count: 9}}}}},
		{Frame: &wire.BulkFrame_Request{Request: &wire.Request{Id: 1, What: &wire.Request_Body{Body: make([]byte, 32)}}}},
		{Frame: &wire.BulkFrame_Answer{Answer: &wire.Answer{Id: 1, Data: []byte{1}, ItemEnd: true}}},
	} {
		f.Add([]byte{}, []byte(encode(b)), r.Uint64())
	}
	f.Fuzz(func(t *testing.T, control, bulk []byte, seed uint64) {
		l := newAloneLink(t)
		defer l.stop()
		l.start()
		r := rand.New(rand.NewPCG(seed, 2))
		for range 1 + r.IntN(3) { // the same frames again, and cut
			for s, data := range map[*aloneStream][]byte{l.control: control, l.bulk: bulk} {
				if len(data) > 0 {
					s.in <- data[:len(data)-r.IntN(2)*r.IntN(len(data))]
				}
			}
		}
		close(l.control.in)
		close(l.bulk.in)
		e := <-l.ended
		if e.ban != (e.reason == wire.Goodbye_MISBEHAVED && !e.theirs) || strings.ContainsAny(e.Error(), "\x1b\n") {
			t.Errorf("%+v", e)
		}
		if used, _ := l.node.bodies.bytes(); used > l.node.o.Limits.Bodies {
			t.Errorf("%d bytes of bodies", used)
		}
	})
}
