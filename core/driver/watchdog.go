package driver

import (
	"fmt"
	"sync"
	"time"
)

// replyWatchdog counts the replies that an instance owes and tells when none has come for too long. Every reply begins the time anew.
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

// set sets how many replies are owed in all. Roots are counted so: a root may be here before the answer to its Commit is, and
// counted one by one it would be owed for ever.
func (p *replyWatchdog) set(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 {
		p.since = time.Now()
	}
	p.owed = max(0, n)
}

func (p *replyWatchdog) clear() { p.received(1 << 30) }

// streamEnded ends what is owed, because the stream that it was owed on has ended.
func (p *replyWatchdog) streamEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed, p.left, p.since = 0, p.owed, time.Now()
}

// waiting tells whether something is owed, or was when its stream ended.
func (p *replyWatchdog) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed > 0 || p.left > 0
}

// overdue is an error when something is owed for too long.
func (p *replyWatchdog) overdue(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == 0 || p.limit == 0 || now.Sub(p.since) < p.limit {
		return nil
	}
	return fmt.Errorf("%s for %s", p.what, p.limit)
}

// watch looks for stages that owe a reply for too long.
func (d *Driver) watch() {
	pace := max(10*time.Millisecond, min(d.options.BuildStall, d.options.CallLimit, d.options.RootStall)/8)
	look := time.NewTicker(pace)
	defer look.Stop()
	last := time.Now()
	for {
		select {
		case now := <-look.C:
			stood := now.Sub(last) > 3*pace // this process itself did not run: no stage is at fault
			last = now
			for _, i := range d.instances.all() {
				if stood {
					i.pending.received(0)
				}
				if err := i.pending.overdue(now); err != nil {
					i.suspect(err)
				}
			}
		case <-d.ctx.Done():
			return
		}
	}
}
