package progress

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// screen is a terminal that a test reads; held blocks its writers, as ctrl-S does.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	held chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	if s.held != nil {
		<-s.held
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shown is what a terminal shows after what was written to it, line by line.
func shown(text string) (lines []string) {
	for line := range strings.SplitSeq(text, "\n") {
		parts := strings.Split(line, "\r")
		lines = append(lines, strings.ReplaceAll(parts[len(parts)-1], "\x1b[K", ""))
	}
	return lines
}

func wide() int { return 60 }

// TestSpinner: a wait is shown from half a second on, other output stands in lines of its own, and nothing is left at the end.
func TestSpinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(screen)
		r := onTerminal(s, wide)
		log := r.Through(s)
		r.Step("starting the plugin storage/badger")
		time.Sleep(400 * time.Millisecond)
		if s.String() != "" {
			t.Errorf("a short wait shows %q", s)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := shown(s.String()); len(got) != 1 || !strings.HasSuffix(got[0], " starting the plugin storage/badger 2s") {
			t.Errorf("shown %q", got)
		}
		_, _ = log.Write([]byte("a line of the log\n"))
		if got := shown(s.String()); len(got) != 2 || got[0] != "a line of the log" || got[1] != "" {
			t.Errorf("shown %q", got)
		}
		r.At("blocks", 50, 100)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := shown(s.String()); len(got) != 2 || !strings.HasSuffix(got[1], " blocks [###############...............] 50/100 3s") {
			t.Errorf("shown %q", got)
		}
		r.Close()
		_, _ = log.Write([]byte("the banner\n"))
		if got := shown(s.String()); len(got) != 3 || got[1] != "the banner" || got[2] != "" {
			t.Errorf("shown %q", got)
		}
	})
}

// TestNarrowTerminal: a line never wraps.
func TestNarrowTerminal(t *testing.T) {
	for width := range 12 {
		if line := (wait{what: "a long step", begun: time.Now()}).bar(0, width); len(line) > max(0, width-1) {
			t.Errorf("%q is too long for %d columns", line, width)
		}
	}
}

// TestHeldTerminal: a terminal that takes nothing holds no caller of Step, At and Done.
func TestHeldTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{held: make(chan struct{})}
		r := onTerminal(s, wide)
		r.Step("one")
		time.Sleep(2 * time.Second)
		synctest.Wait() // the spinner is being drawn
		r.At("two", 1, 2)
		r.Done()
		close(s.held)
		r.Close()
		if got := shown(s.String()); got[len(got)-1] != "" {
			t.Errorf("left over: %q", got)
		}
	})
}

// TestPlainLines: elsewhere a long wait is told in a few lines, and a short one not at all.
func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(screen)
		r := Plain("replay", s)
		r.Step("starting")
		time.Sleep(1900 * time.Millisecond)
		r.Close()
		if s.String() != "" {
			t.Errorf("a short wait is told: %q", s)
		}
		r.Step("starting")
		time.Sleep(2500 * time.Millisecond)
		r.Step("blocks")
		for n := range uint64(30) {
			r.At("blocks", n, 30)
			time.Sleep(time.Second)
		}
		r.Close()
		if want := "replay: starting, 2s so far\nreplay: blocks 1 of 30, 4s so far\nreplay: blocks 5 of 30, 8s so far\nreplay: blocks 13 of 30, 16s so far\nreplay: blocks 29 of 30, 32s so far\nreplay: done after 33s\n"; s.String() != want {
			t.Errorf("told\n%swant\n%s", s, want)
		}
	})
}

// TestNoReporter: code that waits need not know whether that is shown.
func TestNoReporter(t *testing.T) {
	var r *Reporter
	r.Step("x")
	r.At("x", 1, 2)
	r.Done()
	r.Close()
	if w := new(screen); r.Through(w) != w {
		t.Error("another writer")
	}
}
