package network

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
)

// TestManyHandshakes: a peer that opens connections and links without end keeps one link, and no more connections than allowed; the honest peer beside
// it is linked all the time.
func TestManyHandshakes(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 2, nil)
	crowd := identity.Of(testKey(firstByzantine))
	nodes[0].SetPeers([]peer.Address{{ID: crowd}, {ID: nodes[1].ID(), Dial: nodes[1].Addr()}})
	config, err := identity.Config(testKey(firstByzantine), func(ID) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	first := newByzantine(t, firstByzantine, nodes[0])
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			conn, err := net.Dial("tcp", nodes[0].Addr())
			if err != nil {
				t.Error(err)
				return
			}
			secured, _, err := newCredentials(config, nil).ClientHandshake(t.Context(), "ordo", conn)
			if err != nil {
				return
			}
			// It says nothing, and is closed.
			_ = secured.SetReadDeadline(time.Now().Add(testTime))
			_, _ = io.Copy(io.Discard, secured)
			_ = secured.Close()
		})
	}
	conns := func() int {
		nodes[0].Network.mu.Lock()
		defer nodes[0].Network.mu.Unlock()
		return nodes[0].peers[crowd].conns
	}
	for range 50 {
		if n := conns(); n > maxConns {
			t.Errorf("%d connections of one key", n)
		}
	}
	until(t, "refused", func() bool { return nodes[0].Stats().Handshakes >= 20 })
	_ = first.conn.Close()
	all.Wait()
	until(t, "without connections of that key", func() bool { return conns() == 0 })
	nodes[0].mu.Lock()
	defer nodes[0].mu.Unlock()
	if nodes[0].up[nodes[1].ID()] != 1 {
		t.Error("the honest peer has no link")
	}
}

// TestHalfALink: a peer that sends Hello and never opens the second stream, or one with another session, has no link.
func TestHalfALink(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, 0, func(o *Options) { o.Limits.Handshake = 300 * time.Millisecond })
	n.start()
	id := identity.Of(testKey(firstByzantine))
	n.SetPeers([]peer.Address{{ID: id}})
	h := byzantineHello(t, firstByzantine, n, nil)
	until(t, "without a link", func() bool { s := stateOf(n, id); return s.State == "idle" && s.Reason != "" })
	if text := h.goodbye(); text != "" {
		t.Errorf("told %q", text)
	}
	if len(n.up) != 0 {
		t.Error("half a link is a link for the core")
	}
}

// faultyProxy passes a connection on, or swallows what is sent.
type faultyProxy struct {
	net.Listener
	to string
	mu sync.Mutex
	ok chan struct{} // closed while bytes are passed on
}

func newProxy(t *testing.T, to string) *faultyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultyProxy{Listener: l, to: to, ok: make(chan struct{})}
	close(p.ok)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					defer way[0].Close()
					defer way[1].Close()
					buffer := make([]byte, 32<<10)
					for {
						n, err := way[0].Read(buffer)
						if err != nil {
							return
						}
						p.mu.Lock()
						ok := p.ok
						p.mu.Unlock()
						<-ok
						if _, err := way[1].Write(buffer[:n]); err != nil {
							return
						}
					}
				}()
			}
		}
	}()
	return p
}

// cut makes the proxy keep everything back; heal lets it through.
func (p *faultyProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ok = make(chan struct{})
}

func (p *faultyProxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ok)
}

// TestPartition: a cut that is shorter than the silence timeout loses nothing; after a longer one both sides have closed the link and make another
// one, which works.
func TestPartition(t *testing.T) {
	t.Parallel()
	a, b := newTestNode(t, 0, nil), newTestNode(t, 1, nil)
	a.start()
	b.start()
	p := newProxy(t, b.Addr())
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case <-p.ok:
		default:
			close(p.ok)
		}
	})
	a.SetPeers([]peer.Address{{ID: b.ID(), Dial: p.Addr().String()}})
	b.SetPeers([]peer.Address{{ID: a.ID()}})
	settle(t, a, b)
	p.cut()
	if err := a.Broadcast(1, []byte("held back")); err != nil {
		t.Fatal(err)
	}
	p.heal()
	b.wait("what was held back", func() bool { return len(b.messages) == 1 })
	p.cut()
	for _, n := range []*testNode{a, b} {
		n.wait("the end of the link", func() bool { return len(n.up) == 0 })
	}
	if s := stateOf(b, a.ID()); !strings.Contains(s.Reason, "network.silence_timeout") {
		t.Errorf("%+v", s)
	}
	p.heal()
	settle(t, a, b)
	if err := b.Send(a.ID(), 1, []byte("after it")); err != nil {
		t.Fatal(err)
	}
	a.wait("what came after it", func() bool { return len(a.messages) == 1 })
}
