package connlimit

import (
	"container/list"
	"net"
	"net/netip"
	"time"
)

// Conn is an open connection of a Listener.
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix

	// The lock of the listener protects the following.
	gone         bool // it is out of the books
	evicted      bool // it was closed for another
	answered     bool
	since        time.Time     // of being quiet
	at, atPrefix *list.Element // nil while its request is worked on
}

// From is the network that the client has its address of.
func (c *Conn) From() netip.Prefix { return c.from }

// SetReadDeadline implements net.Conn. The deadline of an evicted connection stays in the past.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.evicted {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// Close implements net.Conn. A client whose connection is evicted before it was answered reads the rejection.
func (c *Conn) Close() error {
	l := c.listener
	l.mu.Lock()
	l.leave(c)
	if c.evicted && !c.answered {
		c.answered = true
		l.reject(c.Conn)
		l.mu.Unlock()
		return nil
	}
	in := l.admit(nil)
	l.mu.Unlock()
	err := c.Conn.Close()
	l.enter(in)
	return err
}

// Evicted reports that the connection was closed for another.
func (c *Conn) Evicted() bool {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	return c.evicted
}

// Answered notes that the client has an answer, so that an eviction sends no rejection.
func (c *Conn) Answered() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.answered = true
}

// Work marks the connection as worked on, and so never evicted, until done is called.
func (c *Conn) Work() (done func()) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.gone {
		l.wake(c)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.answered = true
		if !c.gone && c.at == nil {
			l.rest(c)
		}
	}
}

// rest enters a connection among the quiet ones. The lock is held.
func (l *Listener) rest(c *Conn) {
	c.since = time.Now()
	c.at = l.quiet.PushBack(c)
	c.atPrefix = l.prefixes[c.from].quiet.PushBack(c)
}

// wake takes a connection from the quiet ones. The lock is held.
func (l *Listener) wake(c *Conn) {
	if c.at != nil {
		l.quiet.Remove(c.at)
		l.prefixes[c.from].quiet.Remove(c.atPrefix)
		c.at, c.atPrefix = nil, nil
	}
}

// leave takes a connection out of the books. The lock is held.
func (l *Listener) leave(c *Conn) {
	if c.gone {
		return
	}
	l.wake(c)
	c.gone = true
	l.open--
	p := l.prefixes[c.from]
	p.open--
	l.forget(c.from, p)
}

func (l *Listener) forget(from netip.Prefix, p *prefix) {
	if p.open == 0 && p.waiting == 0 {
		delete(l.prefixes, from)
	}
}
