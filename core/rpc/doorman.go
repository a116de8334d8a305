package rpc

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// doorman is a listener that keeps no more connections than the node can bear. When there is no room for a newcomer, the
// connection that has been quiet for longest goes: an idle one, or one that still sends its request. One whose request is
// being worked on never does; when all are such, the newcomer is told that the node is busy. So idle and slow clients, in
// any number, keep nobody out.
type doorman struct {
	net.Listener
	most, each int

	mu    sync.Mutex
	open  int
	quiet list.List // of *guest, the one that is quiet for longest first
	homes map[netip.Prefix]*home
}

// home is where guests come from.
type home struct {
	open  int
	quiet list.List
}

// guest is an open connection.
type guest struct {
	net.Conn
	door *doorman
	from netip.Prefix
	gone bool

	at, atHome *list.Element // nil while its request is worked on
}

func newDoorman(l net.Listener, most, each int) *doorman {
	return &doorman{Listener: l, most: most, each: each, homes: map[netip.Prefix]*home{}}
}

// Accept implements net.Listener.
func (d *doorman) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g, out := d.enter(conn)
		if out != nil {
			out.Conn.Close() // its server goroutine sees that, and closes the guest
		}
		if g != nil {
			return g, nil
		}
		turnAway(conn)
	}
}

const noRoom = `{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"busy: no connection is free: try again later"}}`

// turnAway answers what fits any request, without reading it.
func turnAway(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\r\n" + noRoom))
	_ = conn.Close()
}

// enter finds room for a connection; nil when there is none. Whoever had to leave for it comes back as out.
func (d *doorman) enter(conn net.Conn) (g, out *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	from := homeOf(conn.RemoteAddr())
	h := d.homes[from]
	if h == nil {
		h = &home{}
	}
	var quiet *list.List
	switch {
	case h.open >= d.each:
		quiet = &h.quiet
	case d.open >= d.most:
		quiet = &d.quiet
	}
	if quiet != nil {
		first := quiet.Front()
		if first == nil {
			return nil, nil
		}
		out = first.Value.(*guest)
		d.leave(out)
	}
	d.homes[from] = h
	g = &guest{Conn: conn, door: d, from: from}
	d.open++
	h.open++
	d.rest(g)
	return g, out
}

// homeOf: whoever has an IPv6 network has all its addresses.
func homeOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// rest: the guest is quiet from now on. The lock is held.
func (d *doorman) rest(g *guest) {
	g.at = d.quiet.PushBack(g)
	g.atHome = d.homes[g.from].quiet.PushBack(g)
}

// wake: the guest is quiet no more. The lock is held.
func (d *doorman) wake(g *guest) {
	if g.at != nil {
		d.quiet.Remove(g.at)
		d.homes[g.from].quiet.Remove(g.atHome)
		g.at, g.atHome = nil, nil
	}
}

// leave takes a guest out of the books. The lock is held.
func (d *doorman) leave(g *guest) {
	if g.gone {
		return
	}
	d.wake(g)
	g.gone = true
	d.open--
	h := d.homes[g.from]
	if h.open--; h.open == 0 {
		delete(d.homes, g.from)
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.door.mu.Lock()
	g.door.leave(g)
	g.door.mu.Unlock()
	return g.Conn.Close()
}

// placeOf is the network that a request came from.
func placeOf(ctx context.Context) string {
	if g, ok := ctx.Value(guestKey{}).(*guest); ok {
		return g.from.String()
	}
	return ""
}

type guestKey struct{}

// remember makes the connection known to its requests.
func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// atWork marks the connection of a request as worked on, until done is called.
func atWork(ctx context.Context) (done func()) {
	g, ok := ctx.Value(guestKey{}).(*guest)
	if !ok {
		return func() {}
	}
	d := g.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if !g.gone {
		d.wake(g)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !g.gone && g.at == nil {
			d.rest(g)
		}
	}
}
