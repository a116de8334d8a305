package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// strikes hits the node until the time is over or enough was hit.
func (r *nodeRound) strikes(ctx context.Context, o options, kills int, until time.Time) {
	if r.ephemeral {
		o.targets = slices.DeleteFunc(slices.Clone(o.targets), func(t string) bool { return t == core })
	}
	p := newPlanner(r.seed, o)
	sleep(ctx, time.Second) // for the load to begin
	for done := 0; done < kills && time.Now().Before(until) && ctx.Err() == nil && len(r.wrong) < 5; {
		s := p.next()
		if !sleep(ctx, s.pause) {
			return
		}
		done += r.strike(ctx, s)
		select {
		case err := <-r.load.stuck:
			r.fail("%v", err)
			return
		default:
		}
		if !moves(ctx, r) {
			r.fail("no block was accepted within %s under load by a node that was let alone", moveLimit)
			r.revive(ctx)
			return
		}
	}
}

// strike carries out one strike, with the one that follows it, and waits until all is at work again.
func (r *nodeRound) strike(ctx context.Context, s strike) (hit int) {
	from := time.Now()
	gone := map[int]bool{}
	n := r.hit(ctx, s, gone)
	single := n == 1
	if n > 0 {
		hit++
	}
	if s.again != nil {
		single = false
		sleep(ctx, s.again.pause)
		if r.hit(ctx, *s.again, gone) > 0 {
			hit++
			r.report.again++
		}
	}
	took, err := r.up(ctx, gone)
	if ctx.Err() != nil {
		return hit
	}
	if err != nil {
		r.fail("after %s: %v", s, err)
		r.revive(ctx)
	} else if hit > 0 {
		r.report.downtime(s, took.Sub(from))
	}
	r.windows = append(r.windows, window{from: from, to: time.Now(), single: single, text: s.String()})
	return hit
}

// hit sends the signals of one strike, and starts the core again if it has ended. It returns how many processes it reached.
func (r *nodeRound) hit(ctx context.Context, s strike, gone map[int]bool) int {
	found := r.node.find(s.targets)
	if len(found) == 0 {
		return 0
	}
	i := r.node.current()
	r.node.look()
	r.node.note("%s", s)
	signal := syscall.SIGKILL
	if s.stop {
		signal = syscall.SIGSTOP
	}
	for _, p := range found {
		if p.stage == core && !s.stop {
			i.asked = true
		}
		_ = syscall.Kill(p.PID, signal)
		if p.stage != core && !(s.stop && s.resume) {
			gone[p.PID] = true
		}
	}
	r.report.strike(s, found, r.served[i.number])
	if s.stop && (s.resume || s.has(core)) {
		sleep(ctx, s.hold)
		for _, p := range found {
			if now, ok := processes()[p.PID]; !ok || !now.Same(p.Proc) {
				continue
			}
			switch {
			case s.resume:
				_ = syscall.Kill(p.PID, syscall.SIGCONT)
			case p.stage == core:
				i.asked = true
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
	}
	if i.asked {
		<-i.Done()
		if err := r.relaunch(); err != nil {
			r.fail("%v", err)
		}
	}
	return len(found)
}

func (r *nodeRound) relaunch() error {
	old := r.node.current()
	if _, err := r.node.launch(); err != nil {
		return err
	}
	go r.report.await(fmt.Sprintf("round %d: instance %d", r.number, old.number), r.node.orphans) // beside the next instance, which is at work at once as under a service manager
	return nil
}

// up waits until the node serves and all plugins are at work, none of them one of the gone. A core that ended because a
// plugin was struck while it started is started again: it served no client.
func (r *nodeRound) up(ctx context.Context, gone map[int]bool) (time.Time, error) {
	deadline := time.Now().Add(upLimit)
	var last error
	for ctx.Err() == nil {
		i := r.node.current()
		if i.Ended() && !i.asked && len(gone) > 0 && !r.served[i.number] {
			r.node.note("instance %d gave its start up: %v", i.number, i.Err())
			r.report.startsGivenUp++
			if err := r.relaunch(); err != nil {
				return time.Time{}, err
			}
		}
		r.alive()
		if time.Now().After(deadline) || r.stops > 3 {
			return time.Time{}, fmt.Errorf("not at work within %s: %w", upLimit, last)
		}
		var list []plugin
		if list, last = serving(ctx, r.node.Node); last == nil {
			for _, p := range list {
				if gone[p.PID] {
					last = fmt.Errorf("%s is still the old process", p.Stage)
				}
			}
			if last == nil {
				r.served[i.number], r.stops = true, 0
				for _, p := range list {
					r.born[fmt.Sprintf("%d %s", i.number, p.Stage)] = p.Restarts
				}
				return time.Now(), nil
			}
		}
		sleep(ctx, 15*time.Millisecond)
	}
	return time.Time{}, ctx.Err()
}

// alive starts a node again that ended without having been struck.
func (r *nodeRound) alive() {
	i := r.node.current()
	if !i.Ended() || i.asked {
		return
	}
	r.node.note("instance %d ended by itself: %v", i.number, i.Err())
	if r.stops++; r.stops > 3 {
		i.asked = true // no use
		return
	}
	r.fail("the node stopped by itself (%v):\n%s", i.Err(), r.node.why())
	if err := r.relaunch(); err != nil {
		i.asked = true
		r.fail("%v", err)
	}
}

// revive ends a node that hangs and starts it again: whatever is wrong, nothing may be lost.
func (r *nodeRound) revive(ctx context.Context) {
	r.node.dump()
	if err := r.relaunch(); err != nil {
		r.fail("%v", err)
		return
	}
	if _, err := r.up(ctx, nil); err != nil {
		r.fail("after a restart: %v", err)
	}
}
