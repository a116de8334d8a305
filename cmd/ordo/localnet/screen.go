package localnet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what a localnet prints while it runs.
type screen struct {
	out, errs io.Writer
	json      bool
	live      bool // a terminal: the table stays in its place
	every     time.Duration
	width     func() int

	mu    sync.Mutex
	shown int // lines of the table above the cursor
}

func (o *options) screen(out, errs io.Writer) *screen {
	s := &screen{out: out, errs: errs, json: o.json, every: o.every, width: func() int { return widthOf(os.Stdout) }}
	s.live = !o.json && s.width() > 0
	if s.every <= 0 {
		s.every = 10 * time.Second
		if s.live || s.json {
			s.every = time.Second
		}
	}
	s.every = max(s.every, 100*time.Millisecond)
	return s
}

// widthOf is the width of a terminal; 0: it is none.
func widthOf(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// line prints an object, or its text above the table.
func (s *screen) line(object any, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		_ = json.NewEncoder(s.out).Encode(object)
		return
	}
	fmt.Fprint(s.out, s.up(), text)
	s.shown = 0
}

// up takes the cursor to where the table begins, and clears it.
func (s *screen) up() string {
	if s.shown == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", s.shown)
}

// event shows a change of a node's state.
func (s *screen) event(e Event) {
	s.line(struct {
		Line string `json:"event"`
		Event
	}{"node", e}, e.Text())
}

// status shows how the nodes stand.
func (s *screen) status(now Status) {
	if !s.live {
		s.line(struct {
			Line string `json:"event"`
			Status
		}{"status", now}, now.Lines())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text, width := "", s.width()
	lines := 0
	for line := range strings.Lines(now.Table()) {
		if line = strings.TrimSuffix(line, "\n"); width > 0 && len(line) > width {
			line = line[:width] // a line that wraps would be two
		}
		text += line + "\n"
		lines++
	}
	fmt.Fprint(s.out, s.up(), text)
	s.shown = lines
}

// ready says what there is, once all nodes serve.
func (s *screen) ready(dir string, l *Layout) {
	var b strings.Builder
	urls := []string{}
	fmt.Fprintf(&b, "\nlocalnet in %s: chain %s, %d validators, consensus %s\n", dir, l.ChainID, len(l.validators()), l.Consensus)
	for k, m := range l.Members {
		urls = append(urls, l.URL(k))
		fmt.Fprintf(&b, "  node %d  %s  %s\n", k, l.URL(k), m.Kind)
	}
	fmt.Fprintln(&b, "accounts with funds, and their private keys (devnet_getPredeployedAccounts has all):")
	for i, a := range l.accounts(dir) {
		if i == 10 {
			break
		}
		fmt.Fprintf(&b, "  %s  %s\n", a.Address.PaddedHex(), a.PrivateKey.Hex())
	}
	fmt.Fprintf(&b, "ordo localnet status, kill, pause, partition, ... --dir %s\nlocalnet is ready\n\n", dir)
	s.line(struct {
		Line string   `json:"event"`
		Dir  string   `json:"dir"`
		URLs []string `json:"urls"`
	}{"ready", dir, urls}, b.String())
}

// watch shows how the nodes stand until the context ends.
func (n *Localnet) watch(ctx context.Context, s *screen) {
	timer := time.NewTicker(s.every)
	defer timer.Stop()
	for {
		s.status(n.Status(ctx))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}
