package network

import (
	"net"
	"sync"
	"sync/atomic"
)

// listener bounds the connections that have not shown a key yet: for a new one too many, the oldest of the address that has most of
// them is closed. So a stranger that opens connections keeps no peer out for longer than one handshake takes.
type listener struct {
	net.Listener
	most   int
	closed *atomic.Uint64 // connections that were closed so

	mu      sync.Mutex
	waiting []*conn // oldest first
}

// conn is a connection of the listener. It leaves the books when a key was shown, or at its end.
type conn struct {
	net.Conn
	l    *listener
	host string

	mu     sync.Mutex
	closed bool
	left   func() // called at its end; set when a key was shown
}

// Accept implements net.Listener. Errors that pass, such as too many open files, are waited out by gRPC.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		host = raw.RemoteAddr().String()
	}
	c := &conn{Conn: raw, l: l, host: host}
	if victim := l.enter(c); victim != nil {
		l.closed.Add(1)
		_ = victim.Close()
	}
	return c, nil
}

// enter books a connection; the one to close for it is returned.
func (l *listener) enter(c *conn) (victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, c)
	if len(l.waiting) <= l.most {
		return nil
	}
	count := make(map[string]int)
	for _, w := range l.waiting {
		count[w.host]++
		if victim == nil || count[w.host] > count[victim.host] {
			victim = w
		}
	}
	for _, w := range l.waiting { // the oldest of that address
		if w.host == victim.host {
			return w
		}
	}
	return nil
}

// known takes a connection out of the books of strangers.
func (l *listener) known(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == c {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			return
		}
	}
}

// entered tells that a key was shown; left is called at the end of the connection. It is false when that was before: one that takes its place
// among the strangers has closed it.
func (c *conn) entered(left func()) bool {
	c.l.known(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.left = left
	}
	return !c.closed
}

func (c *conn) Close() error {
	c.l.known(c)
	c.mu.Lock()
	left := c.left
	c.closed, c.left = true, nil
	c.mu.Unlock()
	if left != nil {
		left()
	}
	return c.Conn.Close()
}
