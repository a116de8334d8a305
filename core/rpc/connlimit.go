package rpc

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// calm is how long a connection is quiet before it has to make room for a newcomer: one that was opened, or answered, a moment
// ago may have a request on its way.
const calm = time.Second

// connLimiter is a listener that keeps no more connections than the node can bear. A newcomer for whom there is no room waits for
// a moment, until a connection ends or has been quiet for a while: an idle one, or one that still sends its request; the one
// that is quiet for longest goes. One whose request is being worked on never does; when all are such, the newcomer is told that
// the node is busy. So idle and slow clients, in any number, keep nobody out, and many clients at once are all answered.
type connLimiter struct {
	net.Listener
	room     room
	patience time.Duration // of a newcomer
	entered  chan *limitedConn
	failed   chan error
	stop     chan struct{}
	once     sync.Once

	mu      sync.Mutex
	open    int
	quiet   list.List // of *guest, the one that is quiet for longest first
	waiting list.List // of *newcomer, the first first
	parting int       // connections that are being refused
	homes   map[netip.Prefix]*prefix
}

// room is how many connections there may be.
type room struct {
	most, each int // open ones: of all, and of one address
	waiting    int // newcomers that wait; of one address the part that each has of most
	parting    int // connections that are being refused, and may read why
}

func (r room) waitingEach() int { return max(1, min(r.waiting, r.each/4)) }

// prefix is where guests come from.
type prefix struct {
	open, waiting int
	quiet         list.List
}

// newConn is a connection that waits for room.
type newConn struct {
	conn  net.Conn
	from  netip.Prefix
	since time.Time
}

// limitedConn is an open connection.
type limitedConn struct {
	net.Conn
	door  *connLimiter
	from  netip.Prefix
	heads heads

	// The lock of the doorman is held for these.
	gone       bool // it is out of the books
	evicted    bool // it had to go for another
	answered   bool
	since      time.Time     // of being quiet
	at, atHome *list.Element // nil while its request is worked on
}

func newConnLimiter(l net.Listener, r room, patience time.Duration) *connLimiter {
	d := &connLimiter{
		Listener: l, room: r, patience: patience, homes: map[netip.Prefix]*prefix{},
		entered: make(chan *limitedConn), failed: make(chan error, 1), stop: make(chan struct{}),
	}
	go d.listen()
	go d.watch()
	return d
}

// listen takes the connections of the system.
func (d *connLimiter) listen() {
	pause := 5 * time.Millisecond
	for {
		conn, err := d.Listener.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			d.arrive(conn)
			continue
		}
		passing, ok := err.(net.Error)
		if !ok || !passing.Timeout() && !temporary(err) {
			d.failed <- err
			return
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-d.stop:
			d.failed <- net.ErrClosed
			return
		}
	}
}

// watch lets newcomers in when a connection has been quiet for long enough, and refuses those that waited in vain.
func (d *connLimiter) watch() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.mu.Lock()
			in := d.admit(nil)
			d.mu.Unlock()
			d.enter(in)
		case <-d.stop:
			return
		}
	}
}

// Accept implements net.Listener.
func (d *connLimiter) Accept() (net.Conn, error) {
	select {
	case g := <-d.entered:
		return g, nil
	case err := <-d.failed:
		d.failed <- err
		return nil, err
	}
}

// Close implements net.Listener.
func (d *connLimiter) Close() error {
	err := d.Listener.Close()
	d.once.Do(func() { close(d.stop) })
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*newConn).conn.Close()
	}
	d.waiting.Init()
	return err
}

func (d *connLimiter) enter(in []*limitedConn) {
	for _, g := range in {
		select {
		case d.entered <- g:
		case <-d.stop:
			g.Conn.Close()
		}
	}
}

// arrive is for a new connection: it enters, waits, or is refused.
func (d *connLimiter) arrive(conn net.Conn) {
	n := &newConn{conn: conn, from: prefixOf(conn.RemoteAddr()), since: time.Now()}
	d.mu.Lock()
	h := d.home(n.from)
	h.waiting++
	d.waiting.PushBack(n)
	full := d.waiting.Len() > d.room.waiting || h.waiting > d.room.waitingEach()
	var hurry *netip.Prefix
	if full {
		hurry = &n.from // too many wait: the one that is quiet for longest goes, however short that is
	}
	in := d.admit(hurry)
	full = full && (d.waiting.Len() > d.room.waiting || h.waiting > d.room.waitingEach())
	if full { // all are worked on, and as many wait as may
		last := d.waiting.Back()
		for last.Value.(*newConn).from != n.from {
			last = last.Prev()
		}
		d.refuse(last)
	}
	d.mu.Unlock()
	d.enter(in)
}

func (d *connLimiter) home(from netip.Prefix) *prefix {
	h := d.homes[from]
	if h == nil {
		h = &prefix{}
		d.homes[from] = h
	}
	return h
}

// admit lets in waiting connections that find room, in their order. The lock is held.
func (d *connLimiter) admit(hurry *netip.Prefix) (in []*limitedConn) {
	if d.waiting.Len() == 0 {
		return nil
	}
	now := time.Now()
	none := map[netip.Prefix]bool{} // addresses that have no room, so that the others behind are not looked at
	for e := d.waiting.Front(); e != nil; {
		n, next := e.Value.(*newConn), e.Next()
		switch {
		case now.Sub(n.since) >= d.patience:
			d.refuse(e)
		case none[n.from]:
		case d.makeRoom(n.from, now, hurry != nil && *hurry == n.from):
			in = append(in, d.book(n))
			d.waiting.Remove(e)
			hurry = nil // one goes for one
		default:
			none[n.from] = true
		}
		e = next
	}
	return in
}

// makeRoom finds room for one from this address, if need be by ending a connection. The lock is held.
func (d *connLimiter) makeRoom(from netip.Prefix, now time.Time, hurry bool) bool {
	h := d.homes[from]
	var quiet *list.List
	switch {
	case h.open >= d.room.each:
		quiet = &h.quiet
	case d.open >= d.room.most:
		quiet = &d.quiet
	default:
		return true
	}
	for e := quiet.Front(); e != nil; e = e.Next() {
		g := e.Value.(*limitedConn)
		if now.Sub(g.since) < calm && (!hurry || unread(g.Conn)) {
			if hurry {
				continue // its request is here and not looked at yet
			}
			return false // those behind it are quiet for less
		}
		d.evict(g)
		return true
	}
	return false
}

// book makes a newcomer a guest. The lock is held.
func (d *connLimiter) book(n *newConn) *limitedConn {
	h := d.homes[n.from]
	h.waiting--
	d.open++
	h.open++
	if tcp, ok := n.conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	g := &limitedConn{Conn: n.conn, door: d, from: n.from}
	d.rest(g)
	return g
}

// evict ends a connection for another: its server goroutine sees that, and closes it. The lock is held.
func (d *connLimiter) evict(g *limitedConn) {
	d.leave(g)
	g.evicted = true
	_ = g.Conn.SetReadDeadline(time.Unix(1, 0))
}

// refuse tells a newcomer that the node is busy. The lock is held.
func (d *connLimiter) refuse(e *list.Element) {
	n := e.Value.(*newConn)
	d.waiting.Remove(e)
	h := d.homes[n.from]
	h.waiting--
	d.forget(n.from, h)
	d.part(n.conn)
}

const noRoom = "busy: no connection is free (limits.connections, limits.connections_per_address): try again later"

const refused = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\r\n" +
	`{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"` + noRoom + `"}}`

// part answers what fits any request, and reads for a moment what the client sends: were it left unread, the system would
// reset the connection, and the client never see the answer. The lock is held.
func (d *connLimiter) part(conn net.Conn) {
	if d.parting >= d.room.parting {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = conn.Write([]byte(refused))
		conn.Close()
		return
	}
	d.parting++
	go func() {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write([]byte(refused)); err == nil {
			linger(conn)
		}
		conn.Close()
		d.mu.Lock()
		d.parting--
		d.mu.Unlock()
	}()
}

// linger reads until the client has closed its side, up to what a request may be by a margin.
func linger(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	rest := make([]byte, 4<<10)
	for read := 0; read < 8<<20; {
		n, err := conn.Read(rest)
		if read += n; err != nil {
			return
		}
	}
}

// prefixOf: whoever has an IPv6 network has all its addresses.
func prefixOf(a net.Addr) netip.Prefix {
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
func (d *connLimiter) rest(g *limitedConn) {
	g.since = time.Now()
	g.at = d.quiet.PushBack(g)
	g.atHome = d.homes[g.from].quiet.PushBack(g)
}

// wake: the guest is quiet no more. The lock is held.
func (d *connLimiter) wake(g *limitedConn) {
	if g.at != nil {
		d.quiet.Remove(g.at)
		d.homes[g.from].quiet.Remove(g.atHome)
		g.at, g.atHome = nil, nil
	}
}

// leave takes a guest out of the books. The lock is held.
func (d *connLimiter) leave(g *limitedConn) {
	if g.gone {
		return
	}
	d.wake(g)
	g.gone = true
	d.open--
	h := d.homes[g.from]
	h.open--
	d.forget(g.from, h)
}

func (d *connLimiter) forget(from netip.Prefix, h *prefix) {
	if h.open == 0 && h.waiting == 0 {
		delete(d.homes, from)
	}
}

// Read implements net.Conn.
func (g *limitedConn) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.heads.feed(p[:n])
	return n, err
}

// SetReadDeadline implements net.Conn: one that has to go stays so.
func (g *limitedConn) SetReadDeadline(t time.Time) error {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	if g.evicted {
		return nil
	}
	return g.Conn.SetReadDeadline(t)
}

// Close implements net.Conn. One that had to go before it was answered is told why.
func (g *limitedConn) Close() error {
	d := g.door
	d.mu.Lock()
	d.leave(g)
	if g.evicted && !g.answered {
		g.answered = true
		d.part(g.Conn)
		d.mu.Unlock()
		return nil
	}
	in := d.admit(nil)
	d.mu.Unlock()
	err := g.Conn.Close()
	d.enter(in)
	return err
}

// left: it had to go for another.
func (g *limitedConn) left() bool {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	return g.evicted
}

// wasAnswered: when it has to go from now on, it needs not be told.
func (g *limitedConn) wasAnswered() {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.answered = true
}

// placeOf is the network that a request came from.
func placeOf(ctx context.Context) string {
	if g, ok := ctx.Value(connKey{}).(*limitedConn); ok {
		return g.from.String()
	}
	return ""
}

type connKey struct{}

// remember makes the connection known to its requests.
func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns the connection of a request; nil when there is none, as in a test.
func connOf(ctx context.Context) *limitedConn {
	g, _ := ctx.Value(connKey{}).(*limitedConn)
	return g
}

// atWork marks the connection of a request as worked on, until done is called.
func atWork(ctx context.Context) (done func()) {
	g := connOf(ctx)
	if g == nil {
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
		g.answered = true
		if !g.gone && g.at == nil {
			d.rest(g)
		}
	}
}
