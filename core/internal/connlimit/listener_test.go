package connlimit

import (
	"io"
	"net"
	"testing"
	"time"
)

const rejection = "busy"

// limited listens with a place for so many connections; others wait for one.
func limited(t *testing.T, places int, wait time.Duration) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, Limits{Most: places, Each: places, Waiting: 8, Rejecting: 8, Wait: wait, SendBuffer: 4 << 10, Rejection: []byte(rejection)})
	t.Cleanup(func() { l.Close() })
	return l
}

func connect(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t *testing.T, l *Listener) *Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*Conn)
}

// TestTheQuietestConnectionIsClosed for a new one, its client reads why, and one whose request is worked on stays.
func TestTheQuietestConnectionIsClosed(t *testing.T) {
	l := limited(t, 2, 5*time.Second)
	connect(t, l)
	working := accept(t, l)
	done := working.Work()
	idle := connect(t, l)
	quiet := accept(t, l)
	connect(t, l)
	accept(t, l) // comes when the other was quiet for long enough
	if !quiet.Evicted() || working.Evicted() {
		t.Errorf("evicted: the quiet one %v, the one at work %v", quiet.Evicted(), working.Evicted())
	}
	if _, err := quiet.Read(make([]byte, 1)); err == nil {
		t.Error("the server can still read from the evicted connection")
	}
	quiet.Close()
	if text, _ := io.ReadAll(idle); string(text) != rejection {
		t.Errorf("its client reads %q", text)
	}
	done()
}

// TestAnAnsweredClientReadsNoRejection when its connection is evicted: it has what it asked for.
func TestAnAnsweredClientReadsNoRejection(t *testing.T) {
	l := limited(t, 1, 5*time.Second)
	idle := connect(t, l)
	quiet := accept(t, l)
	quiet.Work()() // a request came and was answered
	connect(t, l)
	accept(t, l)
	quiet.Close()
	if text, _ := io.ReadAll(idle); len(text) > 0 || !quiet.Evicted() {
		t.Errorf("its client reads %q", text)
	}
}

// TestAConnectionIsRejected when all places are worked on for as long as a new one may wait.
func TestAConnectionIsRejected(t *testing.T) {
	l := limited(t, 1, 20*time.Millisecond)
	connect(t, l)
	done := accept(t, l).Work()
	defer done()
	if text, _ := io.ReadAll(connect(t, l)); string(text) != rejection {
		t.Errorf("its client reads %q", text)
	}
}
