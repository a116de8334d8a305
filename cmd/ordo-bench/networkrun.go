package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/process"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
)

// Bounds of a measurement.
const (
	warmHeights = 50              // empty ones before those that count
	askers      = 4               // at each node: a block is asked for while the one before gets its root
	stalled     = 2 * time.Minute // without a height
)

// measureNetwork measures one engine with one number of validators, on two networks: blocks of one are limited to a number of transactions.
func measureNetwork(ctx context.Context, o networkOptions, engine string, validators int, say func(string)) (*NetworkRun, error) {
	run := &NetworkRun{Consensus: name(engine), Validators: validators}
	common := []string{"genesis.account_class=" + string(genesis.Native), "genesis.accounts=" + strconv.Itoa(o.accounts), "genesis.initial_balance=1" + strings.Repeat("0", 25)}
	if engine == solo {
		// With a block for each transaction, its default, a development node answers when the transaction is in one. Full blocks do not wait for the second.
		common = append(common, "chain.block_generation_on=1")
	}
	err := o.onNetwork(ctx, engine, validators, common, say, func(n *network) (err error) {
		say("empty heights")
		if run.Empty, err = n.emptyHeights(ctx, o.heights); err != nil {
			return fmt.Errorf("empty heights: %w", err)
		}
		if o.duration > 0 {
			say("load")
			run.Load, err = n.load(ctx, o)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	each := (o.block*o.blocks + o.accounts - 1) / o.accounts
	limited := append(slices.Clip(common), "execution.config.block.max_transactions="+strconv.Itoa(o.block), "pool.nonce_gap="+strconv.Itoa(each+1))
	return run, o.onNetwork(ctx, engine, validators, limited, say, func(n *network) (err error) {
		if run.Full, err = n.fullHeights(ctx, o, max(each, 2), say); err != nil {
			err = fmt.Errorf("full heights: %w", err)
		}
		return err
	})
}

// name is an engine's name without folder and prefix.
func name(engine string) string {
	return strings.TrimPrefix(engine[strings.LastIndexByte(engine, '/')+1:], "ordo-consensus-")
}

// onNetwork runs something on a network that is started for it.
func (o *networkOptions) onNetwork(ctx context.Context, engine string, validators int, set []string, say func(string), work func(*network) error) error {
	dir, remove, err := scratch(o.dir)
	if err != nil {
		return err
	}
	defer remove()
	say("starting")
	n, err := startNetwork(ctx, dir, engine, validators, set)
	if err != nil {
		return err
	}
	return errors.Join(work(n), n.stop())
}

// decidedHeight is a line of ordo_network.
type decidedHeight struct {
	Height       uint64    `json:"height"`
	At           time.Time `json:"at"`
	Transactions int       `json:"transactions"`
}

// standing is how a node stands.
type standing struct {
	Decided uint64          `json:"decided"`
	Pending int             `json:"pending"`
	Heights []decidedHeight `json:"heights"`
}

func stands(ctx context.Context, n client.Node, heights int) (s standing, err error) {
	err = n.Call(ctx, "ordo_network", []any{heights}, &s)
	return s, err
}

// emptyHeights has blocks made without a pause and without transactions.
func (n *network) emptyHeights(ctx context.Context, count int) (h Heights, err error) {
	asking, enough := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer enough()
	failed := make(chan error, len(n.nodes)*askers)
	for _, one := range n.nodes {
		for range askers {
			work.Go(func() {
				for asking.Err() == nil {
					if err := one.Call(asking, "devnet_createBlock", []any{}, nil); err != nil && asking.Err() == nil {
						failed <- err
						return
					}
				}
			})
		}
	}
	begin, err := n.reach(ctx, failed, warmHeights)
	if err != nil {
		return h, err
	}
	before, err := n.used()
	if err != nil {
		return h, err
	}
	end, err := n.reach(ctx, failed, begin+uint64(count))
	if err != nil {
		return h, err
	}
	after, err := n.used()
	if err != nil {
		return h, err
	}
	s, err := stands(ctx, n.nodes[0], int(end-begin)+1)
	if err != nil {
		return h, err
	}
	if s.Decided > end { // it went on; those of the end may not be in the list
		if s, err = stands(ctx, n.nodes[0], int(min(4096, s.Decided+10-begin))); err != nil {
			return h, err
		}
	}
	var times latency.Histogram
	h.Count = intervals(s.Heights, &times, func(a, b decidedHeight) bool { return a.Height >= begin && b.Height <= end && b.Transactions == 0 })
	h.Milliseconds = times.Percentiles()
	h.CPU, h.Processes = after.since(before).share(float64(end-begin) * float64(len(n.nodes)))
	return h, nil
}

// intervals counts the times between heights that follow each other and that are wanted.
func intervals(list []decidedHeight, into *latency.Histogram, wanted func(a, b decidedHeight) bool) (count int) {
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; b.Height == a.Height+1 && wanted(a, b) {
			into.Add(b.At.Sub(a.At))
			count++
		}
	}
	return count
}

// reach waits until node 0 has decided a height.
func (n *network) reach(ctx context.Context, failed <-chan error, height uint64) (now uint64, err error) {
	last, at := uint64(0), time.Now()
	for {
		s, err := stands(ctx, n.nodes[0], 0)
		switch {
		case err != nil:
			return 0, err
		case s.Decided >= height:
			return s.Decided, nil
		case s.Decided != last:
			last, at = s.Decided, time.Now()
		case time.Since(at) > stalled:
			return 0, fmt.Errorf("no block after %d for %s", s.Decided, stalled)
		}
		select {
		case err := <-failed:
			return 0, err
		case <-n.done:
			return 0, fmt.Errorf("the network has ended: %s", n.errors)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fullHeights has blocks made of transactions that wait.
func (n *network) fullHeights(ctx context.Context, o networkOptions, each int, say func(string)) (h Heights, err error) {
	run := defaultLoad()
	run.Accounts, run.AccountClass, run.quiet = o.accounts, string(genesis.Native), true
	if err := run.complete(); err != nil {
		return h, err
	}
	backlog, err := load.NewBacklog(ctx, run.Options, n.nodes[0].URL, each)
	if err != nil {
		return h, err
	}
	var all latency.Histogram
	used, blocks := usage{}, 0.0
	for round := range o.rounds + 1 {
		say(fmt.Sprintf("full heights, round %d of %d", round, o.rounds))
		waiting, err := backlog.Fill(ctx)
		if err != nil {
			return h, err
		}
		if err := n.pending(ctx, waiting); err != nil {
			return h, err
		}
		begin, err := stands(ctx, n.nodes[0], 0)
		if err != nil {
			return h, err
		}
		before, err := n.used()
		if err != nil {
			return h, err
		}
		ready, err := backlog.Release(ctx)
		if err != nil {
			return h, err
		}
		if err := n.pending(ctx, 0); err != nil {
			return h, err
		}
		after, err := n.used()
		if err != nil {
			return h, err
		}
		s, err := stands(ctx, n.nodes[0], 4096)
		if err != nil {
			return h, err
		}
		if round == 0 {
			continue
		}
		var times latency.Histogram
		full := func(a, b decidedHeight) bool {
			return a.Height > begin.Decided && a.Transactions == o.block && b.Transactions == o.block
		}
		h.Count += intervals(s.Heights, &times, full)
		intervals(s.Heights, &all, full)
		h.Rounds = append(h.Rounds, times.Percentiles().P50)
		used.add(after.since(before))
		blocks += float64(ready) / float64(o.block)
	}
	if h.Count == 0 {
		return h, fmt.Errorf("no two blocks of %d transactions followed each other: more --blocks, or a smaller --block", o.block)
	}
	h.Milliseconds = all.Percentiles()
	h.CPU, h.Processes = used.share(blocks * float64(len(n.nodes)))
	return h, nil
}

// pending waits until so many transactions wait at every node.
func (n *network) pending(ctx context.Context, count int) error {
	var last []int
	at := time.Now()
	for {
		var now []int
		for _, one := range n.nodes {
			s, err := stands(ctx, one, 0)
			if err != nil {
				return err
			}
			now = append(now, s.Pending)
		}
		if slices.Min(now) == count && slices.Max(now) == count {
			return nil
		}
		if !slices.Equal(now, last) {
			last, at = now, time.Now()
		}
		if time.Since(at) > stalled {
			return fmt.Errorf("transactions that wait at the nodes: %v, want %d at each, and nothing changed for %s", now, count, stalled)
		}
		select {
		case <-n.done:
			return fmt.Errorf("the network has ended: %s", n.errors)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// load is `ordo bench load` with all clients at node 0.
func (n *network) load(ctx context.Context, o networkOptions) (l NetworkLoad, err error) {
	run := defaultLoad()
	run.Accounts, run.AccountClass, run.Duration, run.Batch, run.Connections, run.quiet = o.accounts, string(genesis.Native), o.duration, 20, 8, true
	before, err := n.used()
	if err != nil {
		return l, err
	}
	report, err := runOn(ctx, run, n.nodes[0].URL, 0)
	if err != nil {
		return l, fmt.Errorf("load: %w", err)
	}
	after, err := n.used()
	if err != nil {
		return l, err
	}
	l = NetworkLoad{Speed: report.Speed, Blocks: report.Blocks, Accepted: report.Accepted, Accept: report.Accept.P99, RSS: make(map[string]float64)}
	l.CPU, _ = after.since(before).share(float64(max(1, report.Accepted)) * float64(len(n.nodes)))
	for _, p := range after {
		l.RSS[p.Name] += p.RSS / float64(len(n.nodes))
		l.Memory += p.RSS / float64(len(n.nodes))
	}
	return l, nil
}

// usage is what processes have used, by their number.
type usage map[int]process.Usage

// used is what all processes of all nodes have used until now.
func (n *network) used() (usage, error) {
	all := usage{}
	for _, pid := range n.pids {
		one, err := process.Now(pid)
		if err != nil {
			return nil, err
		}
		for pid, u := range one {
			all[pid] = u
		}
	}
	return all, nil
}

// since is the processor time after another look.
func (u usage) since(before usage) usage {
	all := usage{}
	for pid, now := range u {
		now.CPU -= before[pid].CPU
		all[pid] = now
	}
	return all
}

func (u usage) add(more usage) {
	for pid, one := range more {
		one.CPU += u[pid].CPU
		u[pid] = one
	}
}

// share is the processor time in milliseconds over a number, of all and by program.
func (u usage) share(over float64) (all float64, by map[string]float64) {
	by = make(map[string]float64)
	for _, one := range u {
		each := 1000 * one.CPU / over
		all += each
		by[one.Name] += each
	}
	return all, by
}
