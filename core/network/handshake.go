package network

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/peer"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// protocolVersion is that of the protocol between nodes.
const protocolVersion = 1

// maxConns is how many connections one key may have open at the side that listens.
const maxConns = 4

// streamPath is the name of a stream for gRPC.
func streamPath(name string) string { return "/" + wire.Mesh_ServiceDesc.ServiceName + "/" + name }

// sayHello is what this node says of itself on a link.
func (n *Network) sayHello(session []byte) *wire.Hello {
	h := &wire.Hello{Version: protocolVersion, ChainId: n.o.ChainID, Genesis: n.o.Genesis[:], Instance: n.instance[:], Session: session, Software: n.o.Software, Follower: n.o.Follower}
	if n.o.Lazy {
		h.Execution = lazyExecution
	}
	return h
}

// lazyExecution is what a node says whose network executes what is decided.
const lazyExecution = "lazy"

func helloFrame(h *wire.Hello) rawFrame {
	return encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Hello{Hello: h}})
}

func goodbyeFrame(e *endError) rawFrame {
	return encode(&wire.ControlFrame{Frame: &wire.ControlFrame_Goodbye{Goodbye: &wire.Goodbye{Reason: e.reason, Text: e.text}}})
}

// checkHello says why a link with the other side cannot be. here and there name both sides, for the log of either.
func (n *Network) checkHello(h *wire.Hello) *endError {
	differs := func(what string, here, there any) *endError {
		return &endError{reason: wire.Goodbye_MISMATCH, text: fmt.Sprintf("%s: %v at %s, %v at the other side", what, here, n.id.Short(), there)}
	}
	switch {
	case h.GetVersion() != protocolVersion:
		return differs("version of the protocol between nodes", protocolVersion, h.GetVersion())
	case h.ChainId != n.o.ChainID:
		return differs("chain id", n.o.ChainID, clean(h.ChainId))
	case !bytes.Equal(h.Genesis, n.o.Genesis[:]):
		return differs("hash of block 0", fmt.Sprintf("0x%x", n.o.Genesis), fmt.Sprintf("0x%.64x", h.Genesis))
	case h.Execution != n.sayHello(nil).Execution:
		return differs("execution", cmp.Or(n.sayHello(nil).Execution, "eager"), cmp.Or(clean(h.Execution), "eager"))
	case len(h.Instance) != 16 || len(h.Session) != 16:
		return misbehaved("a Hello with an instance of %d bytes and a session of %d, want 16", len(h.Instance), len(h.Session))
	}
	return nil
}

// readHello reads the first frame of control. It is Hello, or Goodbye with the reason why the other side does not want a link.
func readHello(s stream) (*wire.Hello, *endError) {
	frame := &wire.ControlFrame{}
	in := &inbox{frame: frame}
	if err := s.RecvMsg(in); err != nil {
		return nil, brokenStream(err)
	}
	switch {
	case in.garbage != nil:
		return nil, misbehaved("a first frame that is no message of this protocol")
	case frame.GetGoodbye() != nil:
		g := frame.GetGoodbye()
		return nil, &endError{reason: g.Reason, text: clean(g.Text), theirs: true}
	case frame.GetHello() == nil:
		return nil, misbehaved("a first frame that is not Hello")
	}
	return frame.GetHello(), nil
}

// listen takes the address, and serves.
func (n *Network) listen() error {
	raw, err := net.Listen("tcp", n.o.Listen)
	if err != nil {
		return fmt.Errorf("network.listen %s: %w: choose another address", n.o.Listen, err)
	}
	n.listener = &listener{Listener: raw, most: n.o.Limits.Connections, closed: &n.strangers}
	config, err := identity.Config(n.o.Key, n.accepts)
	if err != nil {
		return err
	}
	options := serverOptions(n.o.Limits, newCredentials(config, n.enterConn))
	// A connection without a link costs its descriptor for a while, and no longer.
	options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 2 * n.o.Limits.Handshake}))
	n.server = grpc.NewServer(options...)
	n.server.RegisterService(service(n.serveControl, n.serveBulk), nil)
	n.serving.Go(func() {
		if err := n.server.Serve(n.listener); err != nil && n.ctx.Err() == nil {
			n.o.Log.Error("peers can connect no more", "address", n.o.Listen, "error", err)
		}
	})
	return nil
}

// accepts is asked in the handshake of TLS whether a key may come in.
func (n *Network) accepts(id ID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[id]
	switch {
	case p == nil:
		n.handshakes.Add(1)
		return identity.ErrUnknown
	case p.conns >= maxConns:
		n.handshakes.Add(1)
		return fmt.Errorf("%d connections with this key are open", p.conns)
	case p.offers.Charge(peer.Requests, 1, time.Now()) != nil:
		n.handshakes.Add(1)
		return errors.New("too many handshakes")
	}
	return nil
}

// enterConn counts a connection whose key is known.
func (n *Network) enterConn(secured net.Conn, id ID) (net.Conn, error) {
	n.mu.Lock()
	p := n.peers[id]
	switch {
	case p == nil:
		n.mu.Unlock()
		return nil, identity.ErrUnknown
	case p.conns >= maxConns: // others have come in since the key was accepted
		n.mu.Unlock()
		n.handshakes.Add(1)
		return nil, fmt.Errorf("%d connections with this key are open", maxConns)
	}
	p.conns++
	n.mu.Unlock()
	left := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		p.conns--
	}
	t, ok := secured.(interface{ NetConn() net.Conn })
	var c *conn
	if ok {
		c, ok = t.NetConn().(*conn)
	}
	if !ok {
		left()
		return nil, fmt.Errorf("a connection of type %T", secured)
	}
	if !c.entered(left) {
		left()
		return nil, net.ErrClosed
	}
	return secured, nil
}

// serveControl is the side that listens: handshake, then the link until its end.
func (n *Network) serveControl(s stream) error {
	auth, ok := authOf(s.Context())
	n.mu.Lock()
	p := n.peers[auth.id]
	closed := n.closed
	if ok && !closed {
		n.tasks.Add(1)
	}
	n.mu.Unlock()
	if !ok || closed {
		return nil
	}
	defer n.tasks.Done()
	hangup := func() { _ = auth.conn.Close() }
	if auth.opened.control.Swap(true) { // a handshake is counted once for a connection
		hangup()
		return nil
	}
	late := time.AfterFunc(n.o.Limits.Handshake, hangup)
	defer late.Stop()
	stopped := context.AfterFunc(n.ctx, hangup)
	hello, e := readHello(s)
	stopped()
	if e == nil {
		e = n.checkHello(hello)
	}
	if e == nil && p == nil {
		e = &endError{reason: wire.Goodbye_UNKNOWN}
	}
	var l *link
	if e == nil {
		l = n.newLink(p, hello, false, hangup)
		l.remote = auth.conn.RemoteAddr().String()
		e = n.offer(l, peer.Dialer{ID: auth.id, Instance: l.instance()})
	}
	if e != nil {
		if l != nil {
			l.end(e)
		}
		n.refused(p, auth, e)
		_ = s.SendMsg(goodbyeFrame(e))
		return nil // and the connection is closed by the other side, or when it was idle for a while
	}
	if err := s.SendMsg(helloFrame(n.sayHello(hello.Session))); err != nil {
		l.end(brokenStream(err))
	}
	select {
	case bulk := <-l.bulk:
		late.Stop()
		n.serveLink(l, s, bulk)
	case <-l.ctx.Done():
		n.unserved(l)
	case <-s.Context().Done():
		l.end(&endError{text: "the connection was closed before its second stream was open"})
		n.unserved(l)
	}
	return nil
}

// unserved ends a link that never got its second stream.
func (n *Network) unserved(l *link) {
	close(l.closed)
	close(l.ended)
	l.hangup()
	n.drop(l, l.cause())
}

// refused says in the log that a handshake came to nothing.
func (n *Network) refused(p *known, auth linkAuth, e *endError) {
	if e.reason == wire.Goodbye_DUPLICATE { // both sides dialed at the same time
		return
	}
	n.handshakes.Add(1)
	if e.ban && p != nil {
		n.ban(p, e.text)
		return
	}
	n.mu.Lock()
	again := p != nil && p.refusal == e.text
	if p != nil {
		p.refusal = e.text
	}
	n.mu.Unlock()
	if e.reason != wire.Goodbye_BANNED && !again {
		n.o.Log.Warn("peer is refused", "peer", auth.id.Short(), "address", auth.conn.RemoteAddr().String(), "reason", e.Error())
	}
}

// serveBulk is the second stream of a link: it finds its link by the session.
func (n *Network) serveBulk(s stream) error {
	auth, ok := authOf(s.Context())
	if !ok {
		return nil
	}
	if auth.opened.bulk.Swap(true) {
		_ = auth.conn.Close()
		return nil
	}
	late := time.AfterFunc(n.o.Limits.Handshake, func() { _ = auth.conn.Close() })
	defer late.Stop()
	frame := &wire.BulkFrame{}
	in := &inbox{frame: frame}
	if s.RecvMsg(in) != nil || in.garbage != nil || frame.GetOpen() == nil {
		return nil
	}
	for _, l := range n.linksOf(auth.id) {
		if l.dialed || l.remote != auth.conn.RemoteAddr().String() || !bytes.Equal(l.hello.Session, frame.GetOpen().Session) {
			continue
		}
		select {
		case l.bulk <- s:
			late.Stop()
			<-l.ended
		default: // it has one
		}
		return nil
	}
	return nil
}

// dial makes a link to a peer, and returns when it has ended. An error is why there was none.
func (n *Network) dial(p *known, address string) error {
	n.dialing.Add(1)
	done := sync.OnceFunc(func() { n.dialing.Add(-1) })
	defer done()
	id := p.id
	config, err := identity.Config(n.o.Key, func(other ID) error {
		if other != id {
			return fmt.Errorf("another key is there: %s", other)
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, dialOptions(n.o.Limits, newCredentials(config, nil))...)
	if err != nil {
		return err
	}
	hangup := func() { cancel(); _ = conn.Close() }
	defer hangup()
	late := time.AfterFunc(n.o.Limits.Handshake, hangup)
	defer late.Stop()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	control, err := conn.NewStream(ctx, desc, streamPath("Control"))
	if err != nil {
		return n.dialError(ctx, err)
	}
	session := make([]byte, 16)
	if _, err := rand.Read(session); err != nil {
		return err
	}
	if err := control.SendMsg(helloFrame(n.sayHello(session))); err != nil {
		return n.dialError(ctx, control.RecvMsg(&inbox{frame: &wire.ControlFrame{}}))
	}
	hello, e := readHello(control)
	if e == nil {
		e = n.checkHello(hello)
	}
	if e == nil && !bytes.Equal(hello.Session, session) {
		e = misbehaved("a Hello of another session")
	}
	if e != nil {
		if e.ban {
			n.ban(p, e.text)
		} else if !e.theirs {
			_ = control.SendMsg(goodbyeFrame(e))
		}
		return n.dialError(ctx, e)
	}
	bulk, err := conn.NewStream(ctx, desc, streamPath("Bulk"))
	if err == nil {
		err = bulk.SendMsg(encode(&wire.BulkFrame{Frame: &wire.BulkFrame_Open{Open: &wire.Open{Session: session}}}))
	}
	if err != nil {
		return n.dialError(ctx, err)
	}
	l := n.newLink(p, hello, true, hangup)
	l.remote = address
	if e := n.offer(l, peer.Dialer{ID: n.id, Instance: n.instance}); e != nil {
		l.end(e)
		_ = control.SendMsg(goodbyeFrame(e))
		return e
	}
	late.Stop()
	done()
	n.serveLink(l, control, bulk)
	return nil
}

// dialError says what kept an attempt from becoming a link.
func (n *Network) dialError(ctx context.Context, err error) error {
	if n.ctx.Err() != nil {
		return errStopped
	}
	if ctx.Err() != nil {
		return fmt.Errorf("no handshake within %s (network.handshake_timeout)", n.o.Limits.Handshake)
	}
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(clean(s.Message()))
	}
	return err
}

// instance is that of the peer's process.
func (l *link) instance() [16]byte { return [16]byte(l.hello.Instance) }
