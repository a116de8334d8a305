package network

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// TestOneHandshakeOfAConnection: a peer with a key that opens stream after stream on one connection, each with a Hello of another chain, is
// read and named in the log once: its handshakes are counted.
func TestOneHandshakeOfAConnection(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, 0, nil)
	n.start()
	n.SetPeers([]peer.Address{{ID: identity.Of(testKey(firstByzantine))}})
	h := byzantineHello(t, firstByzantine, n, func(hello *wire.Hello) { hello.ChainId = "OTHER" })
	for _, name := range []string{"Control", "Bulk"} {
		for i := range 200 {
			s, err := h.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamPath(name), grpc.WaitForReady(false))
			if err != nil {
				break
			}
			hello := n.sayHello(make([]byte, 16))
			hello.ChainId = fmt.Sprintf("OTHER%d", i)
			if s.SendMsg(helloFrame(hello)) != nil || s.RecvMsg(&inbox{frame: &wire.ControlFrame{}}) != nil {
				continue
			}
		}
	}
	// A client of gRPC dials again when its connection is closed; dials are counted, four a second with ten seconds in advance.
	if s := n.Stats(); s.Handshakes == 0 || s.Handshakes > 120 {
		t.Errorf("%d handshakes were refused, the peer tried 401", s.Handshakes)
	}
}

// TestConnectionsOfAKeyAtOnce: however many connections of one key come in at the same moment, no more than its share stay open.
func TestConnectionsOfAKeyAtOnce(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, 0, nil)
	n.start()
	id := identity.Of(testKey(firstByzantine))
	n.SetPeers([]peer.Address{{ID: id}})
	config, err := identity.Config(testKey(firstByzantine), func(ID) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if c, err := tls.Dial("tcp", n.Addr(), config); err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
		})
	}
	all.Wait()
	until(t, "some are open", func() bool {
		n.Network.mu.Lock()
		defer n.Network.mu.Unlock()
		open := n.Network.peers[id].conns
		if open > maxConns {
			t.Errorf("%d connections with one key are open", open)
		}
		return open > 0
	})
}

// TestConnectionLeavesOnce: the end of a connection is booked once, whichever of its end and its key comes first.
func TestConnectionLeavesOnce(t *testing.T) {
	for range 300 {
		a, b := net.Pipe()
		defer b.Close()
		c := &conn{Conn: a, l: &listener{}}
		booked := make(chan int, 4)
		var all sync.WaitGroup
		all.Go(func() {
			if !c.entered(func() { booked <- -1 }) {
				booked <- -1 // as enterConn does
			}
		})
		all.Go(func() { _ = c.Close() })
		all.Go(func() { _ = c.Close() })
		all.Wait()
		if len(booked) != 1 {
			t.Fatalf("booked %d times", len(booked))
		}
	}
}

// TestEmptyBodiesAreBounded: bodies without bytes take memory too. A peer that sends ever more of them keeps its own share.
func TestEmptyBodiesAreBounded(t *testing.T) {
	b := newBodies(Limits{Body: 1000, Bodies: 4000})
	good := Value{1}
	if used, fault := b.part(ID{1}, &wire.BodyPart{Height: 1, Data: []byte("body"), Last: true, Value: good[:]}); !used || fault != nil {
		t.Fatal(used, fault)
	}
	for i := range uint32(10_000) {
		var v Value
		if _, err := rand.Read(v[:]); err != nil {
			t.Fatal(err)
		}
		if _, fault := b.part(ID{2}, &wire.BodyPart{Height: 1 + uint64(i%10), Round: i, Last: true, Value: v[:]}); fault != nil {
			t.Fatal(fault)
		}
	}
	if len(b.whole) > maxWhole+1 || len(b.open) > 0 {
		t.Errorf("%d bodies are held, and %d on their way", len(b.whole), len(b.open))
	}
	if found := b.find(good, ID{1}); found == nil || string(found.Data) != "body" {
		t.Error("the body of another peer is gone")
	}
}

// TestTextOfAPeerInTheLog: what a peer says of itself is one line of printable text, whatever it sends.
func TestTextOfAPeerInTheLog(t *testing.T) {
	for _, text := range []string{"a\nb", "\x1b[31mred", "\u009b31mred", "\u202eturned", "\u2028", "\xff\xfe", strings.Repeat("ü", 4000), strings.Repeat("\xff", 5000), strings.Repeat("a\u0301", 400)} {
		got := clean(text)
		if len(got) > 410 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%.40q becomes %.40q of %d bytes", text, got, len(got))
		}
	}
	if got := clean("ordo comet 0.38.26 – ü"); got != "ordo comet 0.38.26 – ü" {
		t.Errorf("got %q", got)
	}
}

// TestAPeerChangesItsAddress: the address of a peer changes in the file while links of it are made, refused and banned.
func TestAPeerChangesItsAddress(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, 0, nil)
	n.start()
	id := identity.Of(testKey(firstByzantine))
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				n.SetPeers([]peer.Address{{ID: id, Dial: fmt.Sprintf("127.0.0.1:%d", 1+i%2)}})
			}
		}
	})
	for range 5 {
		h := byzantineHello(t, firstByzantine, n, nil)
		_, e := readHello(h.control)
		n.Blame(id, "a test")
		if e != nil && errors.Is(e, context.Canceled) {
			t.Error(e)
		}
		_ = h.conn.Close()
	}
	close(done)
	all.Wait()
}
