package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/host"
)

// killTime is how long the end may take once the plugins are killed, beyond the deadline of the shutdown.
const killTime = 2 * time.Second

// plan divides the time of a shutdown: decided blocks reach storage in the first half, the plugins drain until a tenth is
// left, in which what still runs is killed.
type plan struct{ node, plugins time.Time }

func planned(begin time.Time, limit time.Duration) plan {
	return plan{node: begin.Add(limit / 2), plugins: begin.Add(limit - limit/10)}
}

// shutdown is what a shutdown waits for, for the message of one that does not end.
type shutdown struct {
	mu  sync.Mutex
	now []string
}

// wait runs one part of the shutdown under its name.
func (p *shutdown) wait(what string, part func()) {
	p.mu.Lock()
	p.now = append(p.now, what)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, name := range p.now {
			if name == what {
				p.now = append(p.now[:i:i], p.now[i+1:]...)
				break
			}
		}
	}()
	part()
}

func (p *shutdown) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.now, ", ")
}

// within waits for the end of a shutdown that has begun. At the deadline it kills the plugins and goes on without what still
// hangs: the caller ends the process then.
func within(limit time.Duration, over <-chan error, p *shutdown, set *host.Set, log hclog.Logger) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-over:
		return err
	case <-timer.C:
	}
	late := fmt.Errorf("shutdown: not done within %s (supervision.shutdown_timeout): it waited for: %s; the plugins are killed; "+
		"what was acknowledged is in the journal of the data folder and is there at the next start", limit, p)
	log.Error("the shutdown takes too long: killing the plugins", "waits for", p.String(), "limit", limit)
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	if set != nil {
		set.Kill(ctx)
	}
	select {
	case err := <-over:
		return errors.Join(late, err)
	case <-ctx.Done():
		return late
	}
}
