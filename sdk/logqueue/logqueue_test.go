package logqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// gate is a file whose reader can stall, or be gone.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed when it takes anything
	gone error
	got  bytes.Buffer
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil {
		return 0, g.gone
	}
	return g.got.Write(p)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.String()
}

func (g *gate) breaks(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = err
}

// TestStalled: a reader that stalls holds no writer up; errors have room when nothing else has; when it reads again, one
// line counts what is missing.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := New(g, Options{Bytes: 4000, Lines: 100})
		log := hclog.New(&hclog.LoggerOptions{Name: "x", Level: hclog.Trace, Output: q, DisableTime: true})
		log.Info("first")
		synctest.Wait() // it is being written
		for i := range 1000 {
			log.Info("line", "n", i)
		}
		for i := range 20 {
			log.Error("important", "n", i)
		}
		if err := q.Flush(done()); err == nil {
			t.Error("a flush ended although nothing is read")
		}
		close(g.open)
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
		text := g.String()
		written := strings.Count(text, "x: line")
		if written != 75 || strings.Count(text, "important") != 20 || !strings.HasPrefix(text, "[INFO]  x: first\n[INFO]  x: line: n=0\n") {
			t.Errorf("%d lines of 75, %d errors of 20:\n%s", written, strings.Count(text, "important"), text)
		}
		if want := fmt.Sprintf("%d lines (", 1000-written); strings.Count(text, "dropped") != 1 || !strings.Contains(text, want) {
			t.Errorf("want one line about %s...:\n%s", want, text)
		}
		<-q.done
	})
}

func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestBytes: the bytes that wait are bounded too, those that are being written included.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := New(g, Options{Bytes: 1000})
		for range 100 {
			_, _ = q.Write(bytes.Repeat([]byte{'a'}, 99))
			synctest.Wait()
		}
		q.mu.Lock()
		held := len(q.waiting) + q.inFlight
		q.mu.Unlock()
		if held > 750 || held < 600 {
			t.Errorf("%d bytes wait, of 750 at most", held)
		}
		close(g.open)
		_ = q.Close(context.Background())
		<-q.done
	})
}

// TestGone: errors of the file cost lines and no more, and are told of when it takes lines again.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		close(g.open)
		q := New(g, Options{})
		for _, err := range []error{syscall.EPIPE, syscall.EIO, syscall.ENOSPC} {
			g.breaks(err)
			if n, err := q.Write([]byte("lost\n")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			if err := q.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		g.breaks(nil)
		_, _ = q.Write([]byte("kept\n"))
		_ = q.Close(context.Background())
		if want := "3 lines (15 bytes) were dropped here: they could not be written in time\nkept\n"; g.String() != want {
			t.Errorf("%q", g.String())
		}
		_, _ = q.Write([]byte("late\n")) // must not panic
		<-q.done
	})
}

// TestNonBlocking: EAGAIN is a file that is busy, not one that is broken.
func TestNonBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		close(g.open)
		g.breaks(fmt.Errorf("write: %w", syscall.EAGAIN))
		q := New(g, Options{})
		_, _ = q.Write([]byte("a\n"))
		time.Sleep(time.Second)
		g.breaks(nil)
		_ = q.Close(context.Background())
		if g.String() != "a\n" {
			t.Errorf("%q", g.String())
		}
		<-q.done
	})
}

// TestRealPipe: a pipe that is full, and then one without a reader.
func TestRealPipe(t *testing.T) {
	SurviveBrokenPipes()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	q := New(w, Options{})
	for range 100_000 {
		_, _ = q.Write([]byte("a line that is not read\n"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := q.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush: %v", err)
	}
	r.Close()
	if err := q.Close(context.Background()); err != nil {
		t.Error(err)
	}
	<-q.done
}
