package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// netRound is a round on a network of nodes.
type netRound struct {
	*round
	net     *network
	watches []*observer       // one for each node
	born    map[string]uint64 // restarts of plugins, by node, core and stage
}

// settings are those of all nodes.
func (r *netRound) settings(o options) []string {
	return []string{"genesis.accounts=" + fmt.Sprint(senders), "genesis.initial_balance=1000000000000000000000000", "genesis.account_class=" + r.class,
		"ordering.plugin=" + r.ordering, "supervision.restarts=1000000", "supervision.window=1s", "supervision.health_timeout=" + silence, "node.log_level=" + o.logLevel}
}

// run is a round.
func (r *netRound) run(ctx context.Context, o options, kills int, until time.Time) (err error) {
	if r.net, err = newNetwork(ctx, o, r.dir, r.settings(o)...); err != nil {
		return err
	}
	defer r.net.end()
	r.ledger, r.born = newLedger(), map[string]uint64{}
	r.ledger.network = true
	var nodes []client.Node
	var observe []func(context.Context)
	for _, m := range r.net.members {
		nodes = append(nodes, m.Node)
		w := newObserver(m.Node, r.ledger)
		r.watches = append(r.watches, w)
		observe = append(observe, w.runAccepted)
	}
	if r.load, err = r.newLoad(o, nodes...); err != nil {
		return err
	}
	finish, quit := r.underLoad(ctx, func(context.Context) {}, observe...)
	defer quit()
	r.report.rounds++
	r.strikes(ctx, newPlanner(r.seed, o), kills, until)
	finish()
	if ctx.Err() == nil {
		r.judge(ctx)
	}
	return nil
}

func (r *netRound) note(format string, args ...any) { r.net.note(format, args...) }

// standing is that of the furthest node.
func (r *netRound) standing() (head, top uint64, since time.Time) {
	for _, w := range r.watches {
		h, t, moved := w.standing()
		head, top = max(head, h), max(top, t)
		if moved.After(since) {
			since = moved
		}
	}
	return head, top, since
}

// status is the furthest that any node tells. That no node has a transaction is known when all have said so.
func (r *netRound) status(ctx context.Context, hash string) (best client.Status, err error) {
	order := map[string]int{"": 0, "RECEIVED": 1, "CANDIDATE": 2, "PRE_CONFIRMED": 3, "ACCEPTED_ON_L2": 4}
	var gone, unknown error
	for _, m := range r.net.members {
		s, err := m.Status(ctx, hash)
		var refused *client.Error
		switch {
		case err == nil && order[s.Finality] > order[best.Finality]:
			best = s
		case errors.As(err, &refused) && refused.Code == 29:
			if gone == nil || len(refused.Data) > 0 {
				gone = err
			}
		case err != nil:
			unknown = fmt.Errorf("node %d: %w", m.number, err)
		}
	}
	switch {
	case best.Finality != "":
		return best, nil
	case unknown != nil:
		return best, unknown
	default:
		return best, gone
	}
}

// alive starts nodes again that ended without having been struck.
func (r *netRound) alive() {
	all := processes()
	for _, m := range r.net.members {
		if busy, _ := m.standing(); busy || r.net.core(all, m) != 0 || m.stops > 3 {
			continue
		}
		if busy, _ := m.standing(); busy { // struck since
			continue
		}
		m.stops++
		r.fail("node %d stopped by itself:\n%s", m.number, r.net.tail(m, 12))
		r.net.restart(context.Background(), m, 0)
	}
}

// strikes hits the nodes until the time is over or enough was hit.
func (r *netRound) strikes(ctx context.Context, p *planner, kills int, until time.Time) {
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
			r.fail("no block was accepted within %s under load by a network that was let alone", moveLimit)
			return
		}
	}
}

// strike carries out one strike, with the one that follows it, and waits until all is at work again.
func (r *netRound) strike(ctx context.Context, s strike) (hit int) {
	from := time.Now()
	gone := map[int]bool{}
	hit = r.hit(ctx, s, gone)
	struck := []*member{r.net.members[s.node]}
	if s.again != nil {
		sleep(ctx, s.again.pause)
		if n := r.hit(ctx, *s.again, gone); n > 0 {
			hit += n
			r.report.again++
			struck = append(struck, r.net.members[s.again.node])
		}
	}
	for _, m := range struck {
		if err := r.up(ctx, m, gone); err != nil && ctx.Err() == nil {
			r.fail("after %s: node %d: %v\n%s", s, m.number, err, r.net.tail(m, 12))
			return hit
		}
	}
	if hit > 0 {
		r.report.downtime(s, time.Since(from)-s.down-s.hold)
	}
	r.windows = append(r.windows, window{from: from, to: time.Now(), text: s.String()})
	return hit
}

// hit sends the signals of one strike, and has the node started again if its core has ended. It returns 1 when it reached a process.
func (r *netRound) hit(ctx context.Context, s strike, gone map[int]bool) int {
	m := r.net.members[s.node]
	_, served := m.standing()
	all := processes()
	pid := r.net.core(all, m)
	found := find(all, pid, s.targets)
	if pid == 0 || len(found) == 0 {
		return 0
	}
	below := find(all, pid, stages)
	r.net.note("%s", s)
	signal := syscall.SIGKILL
	if s.stop {
		signal = syscall.SIGSTOP
	}
	ends := s.has(core) && !(s.stop && s.resume)
	if ends { // before the signal: it does not end by itself
		r.net.restart(ctx, m, s.hold+s.down)
	}
	for _, p := range found {
		_ = syscall.Kill(p.PID, signal)
		if p.stage != core && !(s.stop && s.resume) {
			gone[p.PID] = true
		}
	}
	r.report.strike(s, found, served)
	if s.stop && (s.resume || ends) {
		sleep(ctx, s.hold)
		for _, p := range found {
			if now, ok := processes()[p.PID]; !ok || !now.Same(p.Proc) {
				continue
			}
			switch {
			case s.resume:
				_ = syscall.Kill(p.PID, syscall.SIGCONT)
			case p.stage == core:
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
	}
	if ends {
		go r.report.await(fmt.Sprintf("round %d: node %d", r.number, m.number), func() (left []string) {
			for _, p := range below {
				if p.Alive() {
					left = append(left, p.stage)
				}
			}
			return left
		})
	}
	return 1
}

// up waits until a node serves with all plugins at work, none of them one of the gone. One whose start was given up because a plugin was
// struck meanwhile is started again: it served no client.
func (r *netRound) up(ctx context.Context, m *member, gone map[int]bool) error {
	deadline := time.Now().Add(upLimit)
	var last error
	for ctx.Err() == nil {
		if time.Now().After(deadline) {
			return fmt.Errorf("not at work within %s: %w", upLimit, last)
		}
		busy, served := m.standing()
		if !busy && !served && len(gone) > 0 && r.net.core(processes(), m) == 0 {
			r.net.note("node %d gave its start up", m.number)
			r.report.startsGivenUp++
			r.net.restart(ctx, m, 0)
			busy = true
		}
		r.alive()
		list, err := serving(ctx, m.Node)
		if last = err; err == nil && !busy && !slices.ContainsFunc(list, func(p plugin) bool { return gone[p.PID] }) {
			m.mu.Lock()
			m.served = true
			m.mu.Unlock()
			pid := r.net.core(processes(), m)
			for _, p := range list {
				r.born[fmt.Sprintf("%d %d %s", m.number, pid, p.Stage)] = p.Restarts
			}
			return nil
		}
		sleep(ctx, 15*time.Millisecond)
	}
	return ctx.Err()
}
