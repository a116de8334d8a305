// Package connlimit bounds how many connections a listener keeps, so that idle and slow clients keep no other client out.
//
// There is a bound for all clients and one for each address. What a rejected client reads is given to it.
package connlimit

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// calm is how long a connection must be quiet before it is closed for a new one: one that was opened, or answered, a moment ago
// may have a request on its way.
const calm = time.Second

// Listener keeps no more connections than Limits allow. A new connection for which there is no place waits until one ends or has
// been quiet for a while, be it idle or still sending its request; the one that is quiet for longest is closed for it. A
// connection whose request is being worked on is never closed; when all are such, the new one is rejected. So idle and slow
// clients, in any number, keep no other client out, and many clients at once are all answered.
type Listener struct {
	net.Listener
	limits  Limits
	entered chan *Conn
	failed  chan error
	stop    chan struct{}
	once    sync.Once

	mu        sync.Mutex // protects the following, and the books of each Conn
	open      int
	quiet     list.List // of *Conn, the one that is quiet for longest first
	waiting   list.List // of *newConn, the first first
	rejecting int       // connections that are being rejected
	prefixes  map[netip.Prefix]*prefix
}

// Limits are how many connections there may be.
type Limits struct {
	Most, Each int           // open ones: of all, and of one IPv4 address or IPv6 /64
	Waiting    int           // new ones that wait for a place; of one address the part that Each is of Most
	Rejecting  int           // connections that are being rejected, and may read why
	Wait       time.Duration // how long a new one waits
	SendBuffer int           // bytes that the system holds of what a client does not read
	Rejection  []byte        // what a client reads whose connection is rejected
}

func (l Limits) waitingEach() int { return max(1, min(l.Waiting, l.Each/4)) }

// prefix is the account of one IPv4 address or IPv6 /64.
type prefix struct {
	open, waiting int
	quiet         list.List // of *Conn
}

// newConn is a connection that waits for a place.
type newConn struct {
	conn  net.Conn
	from  netip.Prefix
	since time.Time
}

// New limits the connections of a listener, which it closes with its own.
func New(inner net.Listener, limits Limits) *Listener {
	l := &Listener{
		Listener: inner, limits: limits, prefixes: map[netip.Prefix]*prefix{},
		entered: make(chan *Conn), failed: make(chan error, 1), stop: make(chan struct{}),
	}
	go l.listen()
	go l.watch()
	return l
}

// listen accepts the connections of the system.
func (l *Listener) listen() {
	pause := 5 * time.Millisecond
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			l.arrive(conn)
			continue
		}
		passing, ok := err.(net.Error)
		if !ok || !passing.Timeout() && !temporary(err) {
			l.failed <- err
			return
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-l.stop:
			l.failed <- net.ErrClosed
			return
		}
	}
}

// watch opens waiting connections when others have been quiet for long enough, and rejects those that waited in vain.
func (l *Listener) watch() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.mu.Lock()
			in := l.admit(nil)
			l.mu.Unlock()
			l.enter(in)
		case <-l.stop:
			return
		}
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.entered:
		return c, nil
	case err := <-l.failed:
		l.failed <- err
		return nil, err
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.stop) })
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*newConn).conn.Close()
	}
	l.waiting.Init()
	return err
}

func (l *Listener) enter(in []*Conn) {
	for _, c := range in {
		select {
		case l.entered <- c:
		case <-l.stop:
			c.Conn.Close()
		}
	}
}

// arrive opens a new connection, lets it wait, or rejects it.
func (l *Listener) arrive(conn net.Conn) {
	n := &newConn{conn: conn, from: prefixOf(conn.RemoteAddr()), since: time.Now()}
	l.mu.Lock()
	p := l.account(n.from)
	p.waiting++
	l.waiting.PushBack(n)
	full := l.waiting.Len() > l.limits.Waiting || p.waiting > l.limits.waitingEach()
	var hurry *netip.Prefix
	if full {
		hurry = &n.from // too many wait: the one that is quiet for longest is closed, however short that is
	}
	in := l.admit(hurry)
	full = full && (l.waiting.Len() > l.limits.Waiting || p.waiting > l.limits.waitingEach())
	if full { // all are worked on, and as many wait as may
		last := l.waiting.Back()
		for last.Value.(*newConn).from != n.from {
			last = last.Prev()
		}
		l.turnAway(last)
	}
	l.mu.Unlock()
	l.enter(in)
}

func (l *Listener) account(from netip.Prefix) *prefix {
	p := l.prefixes[from]
	if p == nil {
		p = &prefix{}
		l.prefixes[from] = p
	}
	return p
}

// admit opens waiting connections that find a place, in their order. The lock is held.
func (l *Listener) admit(hurry *netip.Prefix) (in []*Conn) {
	if l.waiting.Len() == 0 {
		return nil
	}
	now := time.Now()
	none := map[netip.Prefix]bool{} // addresses without a place, so that the others behind are not looked at
	for e := l.waiting.Front(); e != nil; {
		n, next := e.Value.(*newConn), e.Next()
		switch {
		case now.Sub(n.since) >= l.limits.Wait:
			l.turnAway(e)
		case none[n.from]:
		case l.makeRoom(n.from, now, hurry != nil && *hurry == n.from):
			in = append(in, l.book(n))
			l.waiting.Remove(e)
			hurry = nil // one is closed for one
		default:
			none[n.from] = true
		}
		e = next
	}
	return in
}

// makeRoom finds a place for a connection from this address, if need be by closing another. The lock is held.
func (l *Listener) makeRoom(from netip.Prefix, now time.Time, hurry bool) bool {
	p := l.prefixes[from]
	var quiet *list.List
	switch {
	case p.open >= l.limits.Each:
		quiet = &p.quiet
	case l.open >= l.limits.Most:
		quiet = &l.quiet
	default:
		return true
	}
	for e := quiet.Front(); e != nil; e = e.Next() {
		c := e.Value.(*Conn)
		if now.Sub(c.since) < calm && (!hurry || unread(c.Conn)) {
			if hurry {
				continue // its request is here and not looked at yet
			}
			return false // those behind it are quiet for less
		}
		l.evict(c)
		return true
	}
	return false
}

// book opens a connection that waited. The lock is held.
func (l *Listener) book(n *newConn) *Conn {
	p := l.prefixes[n.from]
	p.waiting--
	l.open++
	p.open++
	if tcp, ok := n.conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(l.limits.SendBuffer)
	}
	c := &Conn{Conn: n.conn, listener: l, from: n.from}
	l.rest(c)
	return c
}

// evict ends a connection for another: the goroutine of the HTTP server sees that, and closes it. The lock is held.
func (l *Listener) evict(c *Conn) {
	l.leave(c)
	c.evicted = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// turnAway rejects a connection that waits. The lock is held.
func (l *Listener) turnAway(e *list.Element) {
	n := e.Value.(*newConn)
	l.waiting.Remove(e)
	p := l.prefixes[n.from]
	p.waiting--
	l.forget(n.from, p)
	l.reject(n.conn)
}

// reject answers what fits any request, and reads for a moment what the client sends: were it left unread, the system would
// reset the connection, and the client never see the answer. The lock is held.
func (l *Listener) reject(conn net.Conn) {
	if l.rejecting >= l.limits.Rejecting {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = conn.Write(l.limits.Rejection)
		conn.Close()
		return
	}
	l.rejecting++
	go func() {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(l.limits.Rejection); err == nil {
			linger(conn)
		}
		conn.Close()
		l.mu.Lock()
		l.rejecting--
		l.mu.Unlock()
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

// prefixOf is what one client has addresses of: an IPv4 address, or an IPv6 /64.
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

// temporary reports that accepting may succeed later: the system has no file for a connection at this moment, or the client
// left before it was accepted.
func temporary(err error) bool {
	for _, passing := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// unread reports that the client has sent something that is not read yet.
func unread(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n > 0
}
