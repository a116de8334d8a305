// Package proxy puts faults on TCP connections: it listens in place of a node, and passes bytes on late, slowly, or not at all.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
)

// Bounds of one proxy.
const (
	maxConns    = 64
	dialTimeout = 5 * time.Second
)

// Proxy stands for a node at an address of its own.
type Proxy struct {
	target   string
	listener net.Listener
	seed     uint64

	there, back atomic.Pointer[faults.Fault] // of bytes to the target, and from it

	mu      sync.Mutex
	conns   map[*link]struct{}
	serial  uint64
	closed  bool
	work    sync.WaitGroup
	refused atomic.Uint64
}

// link is one connection and its other half.
type link struct {
	client, server net.Conn
	cancel         context.CancelFunc
}

// close ends both. Without abort, what was written still arrives.
func (l *link) close(abort bool) {
	l.cancel()
	for _, c := range []net.Conn{l.client, l.server} {
		if c == nil {
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok && abort {
			_ = tcp.SetLinger(0) // the other side notices at once
		}
		_ = c.Close()
	}
}

// Listen takes an address and passes its connections on to the target. The seed makes jitter repeat.
func Listen(address, target string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: l, seed: seed, conns: make(map[*link]struct{})}
	p.Set(faults.Fault{}, faults.Fault{})
	p.work.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Refused is how many connections came while the way was cut.
func (p *Proxy) Refused() uint64 { return p.refused.Load() }

// Set changes the faults: of bytes on their way to the target, and back. A cut closes the connections that there are.
func (p *Proxy) Set(there, back faults.Fault) {
	p.there.Store(&there)
	p.back.Store(&back)
	if p.cut() {
		p.drop()
	}
}

func (p *Proxy) cut() bool { return p.there.Load().Cut || p.back.Load().Cut }

// drop closes all connections.
func (p *Proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		l.close(true)
	}
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.drop()
	p.work.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors, perhaps: later there are some
			time.Sleep(10 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		l := &link{client: c, cancel: cancel}
		p.mu.Lock()
		full := len(p.conns) >= maxConns || p.closed
		if !full {
			p.conns[l] = struct{}{}
		}
		p.serial++
		serial := p.serial
		p.mu.Unlock()
		if full || p.cut() { // asked after it is in the list: a cut that comes now finds it there
			p.refused.Add(1)
			p.forget(l, true)
			continue
		}
		p.work.Go(func() {
			p.forget(l, !p.carry(ctx, l, serial))
		})
	}
}

func (p *Proxy) forget(l *link, abort bool) {
	p.mu.Lock()
	delete(p.conns, l)
	l.close(abort)
	p.mu.Unlock()
}

// carry passes bytes on in both directions until both sides have closed theirs, or there is an error.
func (p *Proxy) carry(ctx context.Context, l *link, serial uint64) (closed bool) {
	d := net.Dialer{Timeout: dialTimeout}
	server, err := d.DialContext(ctx, "tcp", p.target)
	if err != nil {
		return false
	}
	p.mu.Lock()
	l.server = server
	p.mu.Unlock()
	if ctx.Err() != nil || p.cut() {
		return false
	}
	var both sync.WaitGroup
	var failed atomic.Bool
	for direction, way := range []*pipe{
		{from: l.client, to: server, fault: &p.there},
		{from: server, to: l.client, fault: &p.back},
	} {
		way.rand = rand.New(rand.NewPCG(p.seed, 2*serial+uint64(direction)))
		both.Go(func() {
			if !way.run(ctx) { // the other direction is of no use any more
				failed.Store(true)
				p.mu.Lock()
				l.close(true)
				p.mu.Unlock()
			}
		})
	}
	both.Wait()
	return !failed.Load()
}
