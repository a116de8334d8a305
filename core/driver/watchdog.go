package driver

import (
	"fmt"
	"sync"
	"time"
)

// replyWatchdog is how long a life may be silent about what it owes. Every answer begins the time anew.
type replyWatchdog struct {
	limit time.Duration
	what  string

	mu    sync.Mutex
	owed  int
	left  int // what was owed when the stream ended that it was owed on
	since time.Time
}

func (p *replyWatchdog) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 {
		p.since = time.Now()
	}
	p.owed += n
	p.left = 0
}

func (p *replyWatchdog) received(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed, p.since = max(0, p.owed-n), time.Now()
}

// set says how many answers are owed in all, for those that may come before their question has ended: a root may be here
// before the answer to its Commit is, and counted one by one it would be owed for ever.
func (p *replyWatchdog) set(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 {
		p.since = time.Now()
	}
	p.owed = max(0, n)
}

func (p *replyWatchdog) clear() { p.received(1 << 30) }

// streamEnded ends what is owed with the stream that it was owed on.
func (p *replyWatchdog) streamEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed, p.left, p.since = 0, p.owed, time.Now()
}

// waiting: something is owed, or was when its stream ended.
func (p *replyWatchdog) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed > 0 || p.left > 0
}

// overdue says what is owed for too long, nil when nothing is.
func (p *replyWatchdog) overdue(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 || p.limit == 0 || now.Sub(p.since) < p.limit {
		return nil
	}
	return fmt.Errorf("%s for %s", p.what, p.limit)
}

// watch looks for stages that are silent for too long.
func (d *Driver) watch() {
	pace := max(10*time.Millisecond, min(d.options.BuildStall, d.options.CallLimit, d.options.RootStall)/8)
	look := time.NewTicker(pace)
	defer look.Stop()
	last := time.Now()
	for {
		select {
		case now := <-look.C:
			d.instancesMu.Lock()
			lives := d.instances
			d.instancesMu.Unlock()
			stood := now.Sub(last) > 3*pace // this process itself did not run: nobody is to blame
			last = now
			for _, l := range lives {
				if stood {
					l.pending.received(0)
				}
				if err := l.pending.overdue(now); err != nil {
					d.suspect(l, err)
				}
			}
		case <-d.ctx.Done():
			return
		}
	}
}
