package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
)

// echo answers with what it gets, and closes its side when the other one does.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	return l
}

func listen(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := Listen("127.0.0.1:0", target, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // of a test that hangs
	return c
}

// TestBytesPassUnchanged: in both directions, many at once, and the end of one side passes too.
func TestBytesPassUnchanged(t *testing.T) {
	for _, f := range []faults.Fault{{}, {Delay: time.Millisecond, Jitter: 2 * time.Millisecond}, {Rate: 64 << 20}} {
		p := listen(t, echo(t).Addr().String())
		p.Set(f, f)
		sent := make([]byte, 3<<20)
		for i := range sent {
			sent[i] = byte(i * i >> 7)
		}
		c := dial(t, p)
		go func() {
			_, _ = c.Write(sent)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%+v: %d of %d bytes came back, equal %v: %v", f, len(got), len(sent), bytes.Equal(got, sent), err)
		}
	}
}

// TestACutClosesAndRefuses: connections that there are end, new ones end at once, and after the cut there are new ones again.
func TestACutClosesAndRefuses(t *testing.T) {
	for _, cut := range []func(*Proxy){
		func(p *Proxy) { p.Set(faults.Fault{Cut: true}, faults.Fault{Cut: true}) },
		func(p *Proxy) { p.Set(faults.Fault{}, faults.Fault{Cut: true}) }, // TCP needs both directions
	} {
		p := listen(t, echo(t).Addr().String())
		speak := func(c net.Conn) error {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 5))
			return err
		}
		c := dial(t, p)
		if err := speak(c); err != nil {
			t.Fatal(err)
		}
		cut(p)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives the cut")
		}
		if c, err := net.Dial("tcp", p.Addr()); err == nil { // it may be closed before it was open
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			if speak(c) == nil {
				t.Error("a new connection during the cut")
			}
			_ = c.Close()
		}
		if p.Refused() == 0 {
			t.Error("nothing is counted")
		}
		p.Set(faults.Fault{}, faults.Fault{})
		if err := speak(dial(t, p)); err != nil {
			t.Errorf("after the cut: %v", err)
		}
	}
}

// TestNoTargetIsNoConnection: a node that is away looks like a node that is away.
func TestNoTargetIsNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := l.Addr().String()
	_ = l.Close()
	c, err := net.Dial("tcp", listen(t, target).Addr())
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

// TestConnectionsAreBounded: one more than the bound is closed, and the others stay.
func TestConnectionsAreBounded(t *testing.T) {
	p := listen(t, echo(t).Addr().String())
	var all []net.Conn
	for range maxConns {
		c := dial(t, p)
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if extra, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = extra.SetDeadline(time.Now().Add(time.Minute))
		if _, err := extra.Read(make([]byte, 1)); err == nil {
			t.Error("a connection beyond the bound is served")
		}
		_ = extra.Close()
	}
	for _, c := range all {
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnAddressInUseIsNamed says which node's proxy it was.
func TestAnAddressInUseIsNamed(t *testing.T) {
	l := echo(t)
	if _, err := Listen(l.Addr().String(), "127.0.0.1:7", 0); err == nil || !strings.Contains(err.Error(), "127.0.0.1:7") {
		t.Error(err)
	}
}

// TestScheduleKeepsOrderAndRate: delay, rate and jitter add up, nothing overtakes, and the same seed jitters the same way.
func TestScheduleKeepsOrderAndRate(t *testing.T) {
	start := time.Unix(1000, 0)
	after := func(at time.Time) time.Duration { return at.Sub(start) }
	s := schedule{}
	f := faults.Fault{Delay: 100 * time.Millisecond, Rate: 1000}
	if got := after(s.arrival(start, 100, f)); got != 200*time.Millisecond {
		t.Errorf("100 bytes at 1000 a second, 100 ms away: %s", got)
	}
	if got := after(s.arrival(start, 100, f)); got != 300*time.Millisecond {
		t.Errorf("100 more at once: %s", got)
	}
	if got := after(s.arrival(start.Add(time.Second), 100, f)); got != 1200*time.Millisecond {
		t.Errorf("after a pause: %s", got)
	}
	if got := after(s.arrival(start.Add(1100*time.Millisecond), 1, faults.Fault{})); got != 1200*time.Millisecond {
		t.Errorf("a byte that overtakes: %s", got)
	}
	run := func(seed uint64) (all []time.Duration) {
		s := schedule{rand: rand.New(rand.NewPCG(seed, 0))}
		last := time.Duration(0)
		for i := range 100 {
			at := after(s.arrival(start.Add(time.Duration(i)*time.Millisecond), 10, faults.Fault{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond}))
			if sent := time.Duration(i) * time.Millisecond; at < last || at < sent+5*time.Millisecond || at > sent+25*time.Millisecond && at != last {
				t.Fatalf("piece %d arrives after %s, the one before after %s", i, at, last)
			}
			last = at
			all = append(all, at)
		}
		return all
	}
	a, b, c := run(1), run(1), run(2)
	same := func(x, y []time.Duration) bool {
		for i := range x {
			if x[i] != y[i] {
				return false
			}
		}
		return true
	}
	if !same(a, b) || same(a, c) {
		t.Error("jitter does not follow its seed")
	}
}

// TestBytesArriveWhenTheyShould runs a pipe in virtual time: a change of the delay holds for what comes after it.
func TestBytesArriveWhenTheyShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, in := net.Pipe()
		out, server := net.Pipe()
		var fault atomic.Pointer[faults.Fault]
		fault.Store(&faults.Fault{Delay: 250 * time.Millisecond})
		p := &pipe{from: in, to: out, fault: &fault, rand: rand.New(rand.NewPCG(0, 0))}
		over := make(chan bool)
		go func() { over <- p.run(t.Context()) }()
		start := time.Now()
		expect := func(text string, want time.Duration) {
			t.Helper()
			got := make([]byte, len(text))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != text || time.Since(start) != want {
				t.Errorf("%q after %s, want %q after %s: %v", got, time.Since(start), text, want, err)
			}
		}
		if _, err := client.Write([]byte("one")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it was read, with the delay of now
		fault.Store(&faults.Fault{Delay: time.Second})
		expect("one", 250*time.Millisecond)
		if _, err := client.Write([]byte("two")); err != nil {
			t.Fatal(err)
		}
		expect("two", 1250*time.Millisecond)
		_ = in.Close()
		if <-over {
			t.Error("an error of the connection is no end of the sender")
		}
		_, _, _ = client.Close(), out.Close(), server.Close()
	})
}
