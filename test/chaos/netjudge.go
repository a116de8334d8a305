package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// judge compares the chains of all nodes, holds them against what was promised, ends the network, and has each data folder checked.
func (r *netRound) judge(ctx context.Context) {
	for _, m := range r.net.members {
		if err := r.up(ctx, m, nil); err != nil {
			r.fail("node %d at the end: %v\n%s", m.number, err, r.net.tail(m, 12))
			return
		}
	}
	head, err := r.level(ctx)
	if err != nil {
		r.fail("%v", err)
		return
	}
	v := &verdict{without: map[string]int{}}
	var first []client.Block
	for k, m := range r.net.members {
		blocks, err := walk(ctx, m.Node)
		if err != nil || uint64(len(blocks)) <= head {
			r.fail("reading the chain of node %d: %d blocks, block %d was there: %v", m.number, len(blocks), head, err)
			return
		}
		blocks = blocks[:head+1]
		w := r.watches[k]
		w.mu.Lock()
		seen := w.accepted[:min(len(w.accepted), len(blocks))]
		for _, b := range w.broken {
			r.fail("node %d: %s", m.number, b)
		}
		w.mu.Unlock()
		one := &verdict{without: map[string]int{}}
		one.chain(evidence{first: seen, blocks: blocks})
		if first == nil {
			first = blocks
		}
		one.same(first, blocks)
		r.told(ctx, m.Node, r.ledger.all(), one)
		for _, text := range one.wrong {
			v.fail("node %d: %s", m.number, text)
		}
		r.signatures(ctx, m, v)
	}
	v.transactions(evidence{entries: r.ledger.all(), blocks: first, windows: r.windows, network: true})
	for _, b := range first[1:] {
		r.report.proposers[b.Sequencer]++
	}
	if err := r.net.stop(); err != nil {
		r.fail("at its end: %v\n%s", err, r.net.process.Out)
	}
	for _, m := range r.net.members {
		for _, line := range append(alarms(filepath.Join(r.net.folder(m), "log")), r.alarmsBefore(m)...) {
			v.fail("node %d said: %s", m.number, line)
		}
		r.database(ctx, m, v)
	}
	r.failAll(v.wrong)
	r.report.round(r.round, v, len(first), 0)
	r.report.instances += 1 + r.net.restarts()
	for _, n := range r.born {
		r.report.restarts += n
	}
	r.report.compared += len(first) * len(r.net.members)
}

// alarmsBefore are those of the log before the newest, if it became so large.
func (r *netRound) alarmsBefore(m *member) []string {
	log := filepath.Join(r.net.folder(m), "log.before")
	if _, err := os.Stat(log); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return alarms(log)
}

// level waits until all nodes have what the furthest has.
func (r *netRound) level(ctx context.Context) (head uint64, err error) {
	var heads []uint64
	for _, m := range r.net.members {
		var h uint64
		if err := m.Call(ctx, "starknet_blockNumber", []any{}, &h); err != nil {
			return 0, fmt.Errorf("node %d: %w", m.number, err)
		}
		head = max(head, h)
	}
	for deadline := time.Now().Add(moveLimit); sleep(ctx, 50*time.Millisecond); {
		heads = heads[:0]
		least := head
		for _, m := range r.net.members {
			var h uint64
			_ = m.Call(ctx, "starknet_blockNumber", []any{}, &h)
			heads, least = append(heads, h), min(least, h)
		}
		if least >= head {
			return head, nil
		}
		if time.Now().After(deadline) {
			break
		}
	}
	return head, fmt.Errorf("block %d is not at every node within %s: they are at %d", head, moveLimit, heads)
}

// same: every block of a node is that of another.
func (v *verdict) same(theirs, ours []client.Block) {
	for i, b := range ours {
		if a := theirs[i]; a.Hash != b.Hash || a.Root != b.Root || a.Parent != b.Parent || !slices.Equal(a.Transactions, b.Transactions) {
			v.fail("block %d is %s with root %s, at node 0 it is %s with root %s", i, b.Hash, b.Root, a.Hash, a.Root)
			return
		}
	}
}

// signatures: no validator has signed two messages of one step, whatever was done to it.
func (r *netRound) signatures(ctx context.Context, m *member, v *verdict) {
	var reports []struct {
		Kind, Validator string
	}
	if err := m.Call(ctx, "ordo_evidence", []any{}, &reports); err != nil {
		v.fail("node %d: ordo_evidence: %v", m.number, err)
	}
	for _, one := range reports {
		v.fail("node %d reports a %s of validator %s", m.number, one.Kind, one.Validator)
	}
}

// database has ordo check the data folder of a node that has ended.
func (r *netRound) database(ctx context.Context, m *member, v *verdict) {
	cmd := exec.CommandContext(ctx, r.net.bin, "db", "check", "--data-dir", filepath.Join(r.net.folder(m), "data"))
	cmd.Env = nodetest.Environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		v.fail("node %d: ordo db check: %v\n%s", m.number, err, out)
		return
	}
	r.report.databases++
}
