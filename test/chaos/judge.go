package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// ask looks at what has been on its way for long: a node that has thrown it out says so, but does not remember it for ever.
func (r *round) ask(ctx context.Context) {
	for sleep(ctx, 500*time.Millisecond) {
		asked := 0
		for _, e := range r.ledger.open() {
			if time.Since(e.acked) < 2*time.Second || asked == 40 {
				continue
			}
			asked++
			if why := r.statusOf(ctx, e); strings.HasPrefix(why, "dropped") {
				r.ledger.drop(e, why)
			}
		}
	}
}

// statusOf is the last word of the node about a transaction: a finality, or an error.
func (r *round) statusOf(ctx context.Context, e *entry) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := r.struck.status(ctx, e.hash)
	if refusal := (*client.Error)(nil); errors.As(err, &refusal) {
		var data string
		if json.Unmarshal(refusal.Data, &data) == nil && strings.HasPrefix(data, "dropped") {
			return data
		}
	}
	if err != nil {
		return err.Error()
	}
	return s.Finality
}

// finish waits until the senders have ended and nothing is on its way.
func (r *round) finish(ctx context.Context) {
	r.struck.note("waiting until nothing is on its way")
	ended := make(chan struct{})
	go func() { r.load.work.Wait(); close(ended) }()
	for begun, done := time.Now(), false; !done; {
		select {
		case <-ended:
			done = true
		case <-time.After(100 * time.Millisecond):
			r.struck.alive()
			if time.Since(begun) > upLimit {
				r.fail("senders get no definite answer from a node that is left alone")
				done = true
			}
		case <-ctx.Done():
			return
		}
	}
	last, moved := -1, time.Now()
	for {
		r.struck.alive()
		open := r.ledger.open()
		_, top, _ := r.struck.standing()
		if len(open) == 0 {
			break
		}
		if len(open) != last {
			last, moved = len(open), time.Now()
		}
		if time.Since(moved) > moveLimit {
			r.fail("%d acknowledged transactions get into no block of a node that is left alone (pre-confirmed is block %d); such as %s: sender %d nonce %d %s: %s",
				len(open), top, open[0].hash, open[0].sender, open[0].nonce, open[0].kind, r.statusOf(ctx, open[0]))
			break
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
	select {
	case err := <-r.load.stuck:
		r.fail("%v", err)
	default:
	}
}

// shown waits until whatever was to be seen as pre-confirmed is accepted.
func (r *nodeRound) shown(ctx context.Context) {
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); sleep(ctx, 50*time.Millisecond) {
		r.watch.mu.Lock()
		newest := uint64(0)
		for number := range r.watch.sights {
			newest = max(newest, number)
		}
		r.watch.mu.Unlock()
		if head, _, _ := r.watch.standing(); head >= newest {
			return
		}
	}
}

// judge checks what is there, stops the node, and has the chain executed again.
func (r *nodeRound) judge(ctx context.Context, o options) {
	blocks, err := walk(ctx, r.node.Node)
	if err != nil {
		r.fail("reading the chain: %v", err)
		r.node.dump()
		return
	}
	r.watch.mu.Lock()
	e := evidence{entries: r.ledger.all(), first: r.watch.accepted, blocks: blocks, sights: r.watch.sights, windows: r.windows}
	for _, b := range r.watch.broken {
		r.fail("%s", b)
	}
	r.watch.mu.Unlock()
	v := check(e)
	r.told(ctx, r.node.Node, e.entries, v)
	r.failAll(v.wrong)
	if err := r.node.stop(); err != nil {
		r.fail("at its end: %v\n%s", err, r.node.lastOutput(12))
	}
	sleep(ctx, 100*time.Millisecond)
	if left := r.node.orphans(); len(left) > 0 {
		r.fail("outlive the node: %s", strings.Join(left, ", "))
	}
	if left := r.node.leftovers(); len(left) > 0 {
		r.fail("left behind in the temp folder: %s", strings.Join(left, ", "))
	}
	for _, line := range alarms(r.node.log.Name()) {
		r.fail("the node said: %s", line)
	}
	roots := 0
	if !r.ephemeral {
		roots = r.replay(ctx, o, blocks[len(blocks)-1])
	}
	r.report.round(r.round, v, len(blocks), roots)
	r.report.instances += r.node.started
	for _, n := range r.born {
		r.report.restarts += n
	}
}

// failAll tells what checks have found, up to a number that can be read.
func (r *round) failAll(wrong []string) {
	for i, w := range wrong {
		if i == 20 {
			r.fail("and %d more", len(wrong)-i)
			break
		}
		r.fail("%s", w)
	}
}

// told looks whether a node tells of transactions and classes what is in its blocks.
func (r *round) told(ctx context.Context, n client.Node, entries []entry, v *verdict) {
	asked := 0
	for _, e := range entries {
		if e.height == 0 {
			continue
		}
		if e.class != "" {
			var class struct{ ABI string }
			if err := n.Call(ctx, "starknet_getClass", map[string]any{"block_id": "latest", "class_hash": e.class}, &class); err != nil || class.ABI == "" {
				v.fail("class %s is declared in block %d, and getClass says: %v", e.class, e.height, err)
			}
		}
		if asked++; asked%8 == 0 || e.class != "" {
			if s, err := n.Status(ctx, e.hash); err != nil || s.Finality != "ACCEPTED_ON_L2" {
				v.fail("%s is in block %d, its status at %s is %s: %v", e.hash, e.height, n.URL, s.Finality, err)
			}
		}
	}
}

// walk reads the whole chain.
func walk(ctx context.Context, n client.Node) ([]client.Block, error) {
	var head uint64
	if err := n.Call(ctx, "starknet_blockNumber", []any{}, &head); err != nil {
		return nil, err
	}
	var blocks []client.Block
	for number := uint64(0); number <= head; number++ {
		b, err := n.Block(ctx, number)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", number, err)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

var replayed = regexp.MustCompile(`^(\d+) blocks with (\d+) transactions`)

// replay executes the chain again from genesis in a fresh node, which compares every root and hash.
func (r *nodeRound) replay(ctx context.Context, o options, head client.Block) (roots int) {
	args := append([]string{"replay", "--data-dir", filepath.Join(r.dir, "data")}, r.genesis()...)
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "ordo"), args...)
	cmd.Env = r.node.environment()
	var errs strings.Builder // and how far it is
	cmd.Stderr = &errs
	out, err := cmd.Output()
	m := replayed.FindSubmatch(out)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		r.fail("ordo replay: %v\n%s%s", err, out, &errs)
		return 0
	case m != nil:
		roots, _ = strconv.Atoi(string(m[1]))
	}
	// Blocks without transactions may have followed while the chain was read.
	if same := strings.Contains(string(out), head.Hash) && strings.Contains(string(out), head.Root); roots < int(head.Number) || roots == int(head.Number) && !same {
		r.fail("ordo replay does not reach block %d %s with root %s:\n%s", head.Number, head.Hash, head.Root, out)
	}
	return roots
}
