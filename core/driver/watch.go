package driver

import (
	"fmt"
	"sync"
	"time"
)

// patience is how long a life may be silent about what it owes. Every answer begins the time anew.
type patience struct {
	limit time.Duration
	what  string

	mu    sync.Mutex
	owed  int
	left  int // what was owed when the stream ended that it was owed on
	since time.Time
}

func (p *patience) more(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 {
		p.since = time.Now()
	}
	p.owed += n
	p.left = 0
}

func (p *patience) less(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed, p.since = max(0, p.owed-n), time.Now()
}

// owe says how many answers are owed in all, for those that may come before their question has ended: a root may be here
// before the answer to its Commit is, and counted one by one it would be owed for ever.
func (p *patience) owe(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 {
		p.since = time.Now()
	}
	p.owed = max(0, n)
}

func (p *patience) none() { p.less(1 << 30) }

// cut ends what is owed with the stream that it was owed on.
func (p *patience) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed, p.left, p.since = 0, p.owed, time.Now()
}

// busy: something is owed, or was when its stream ended.
func (p *patience) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed > 0 || p.left > 0
}

// over says what is owed for too long, nil when nothing is.
func (p *patience) over(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 || p.limit == 0 || now.Sub(p.since) < p.limit {
		return nil
	}
	return fmt.Errorf("%s for %s", p.what, p.limit)
}

// watch looks for stages that are silent for too long.
func (n *Driver) watch() {
	pace := max(10*time.Millisecond, min(n.options.BuildStall, n.options.CallLimit, n.options.RootStall)/8)
	look := time.NewTicker(pace)
	defer look.Stop()
	last := time.Now()
	for {
		select {
		case now := <-look.C:
			n.livesMu.Lock()
			lives := n.lives
			n.livesMu.Unlock()
			stood := now.Sub(last) > 3*pace // this process itself did not run: nobody is to blame
			last = now
			for _, l := range lives {
				if stood {
					l.owes.less(0)
				}
				if err := l.owes.over(now); err != nil {
					n.broken(l, err)
				}
			}
		case <-n.ctx.Done():
			return
		}
	}
}
