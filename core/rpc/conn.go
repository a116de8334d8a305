package rpc

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/ordo-sequencer/ordo/core/internal/connlimit"
)

const noRoom = "busy: no connection is free (limits.connections, limits.connections_per_address): try again later"

// noConnection is what a client reads whose connection is rejected. It fits any request.
const noConnection = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\r\n" +
	`{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"` + noRoom + `"}}`

// conn is an open connection whose requests are watched for heads that can be read in two ways.
type conn struct {
	*connlimit.Conn
	heads  heads
	socket atomic.Bool // it was upgraded: there are no heads any more

	mu     sync.Mutex // of what is written to a socket
	corked bool
	cork   []byte
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.socket.Load() {
		c.heads.feed(p[:n])
	}
	return n, err
}

// corkSize is how much a corked connection gathers.
const corkSize = 64 << 10

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if !c.socket.Load() {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(c.cork)+len(p) > corkSize {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if len(p) > corkSize {
			return c.Conn.Write(p)
		}
	}
	c.cork = append(c.cork, p...)
	return len(p), nil
}

// flush writes what was gathered. The lock is held.
func (c *conn) flush() error {
	if len(c.cork) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.cork)
	c.cork = c.cork[:0]
	return err
}

// Cork implements socket.Wire: a thousand small notifications are a few writes.
func (c *conn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

// Uncork implements socket.Wire.
func (c *conn) Uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	c.corked, c.cork = false, nil // idle connections hold no buffer
	return err
}

// framedListener makes each connection a conn.
type framedListener struct{ *connlimit.Listener }

// Accept implements net.Listener.
func (l *framedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c.(*connlimit.Conn)}, nil
}

type connKey struct{}

// remember makes the connection known to its requests.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request; nil when there is none, as in a test.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// fromOf is the network that a request came from; zero without a connection.
func fromOf(ctx context.Context) (from netip.Prefix) {
	if c := connOf(ctx); c != nil {
		from = c.From()
	}
	return from
}

// placeOf is fromOf as text; empty without a connection.
func placeOf(ctx context.Context) string {
	if c := connOf(ctx); c != nil {
		return c.From().String()
	}
	return ""
}

// atWork keeps the connection of a request from being closed for another one until done is called.
func atWork(ctx context.Context) (done func()) {
	if c := connOf(ctx); c != nil {
		return c.Work()
	}
	return func() {}
}
