package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestFiveProcesses: the core and one process for each stage, and `ordo plugin list` knows them.
func TestFiveProcesses(t *testing.T) {
	n := start(t)
	n.accepted(t, n.submit(t, accounts(0, 1)[0].Invoke(0, client.Transfer(strk(), felt.FromUint64(7), 1))))
	var names []string
	for _, p := range n.Children() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	want := []string{"ordo-consensus-solo", "ordo-execution-blockifier", "ordo-ordering-fifo", "ordo-storage-badger"}
	if !slices.Equal(names, want) {
		t.Errorf("child processes are %v, want %v", names, want)
	}
	out, err := exec.Command(ordo(t), "plugin", "list", "--url", n.URL).CombinedOutput()
	if err != nil {
		t.Fatalf("ordo plugin list: %v\n%s", err, out)
	}
	for _, word := range []string{"fifo", "blockifier", "badger", "solo"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("ordo plugin list does not name %s:\n%s", word, out)
		}
	}
}

// TestOrdering: ten waiting transfers, by each policy's own rule. The policies of examples/ are built and run
// like any operator's own.
func TestOrdering(t *testing.T) {
	folder := t.TempDir()
	youngest := filepath.Join(folder, "youngest")
	if out, err := exec.Command("go", "build", "-o", youngest, "../../examples/ordering-go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	smallest, err := filepath.Abs("../../examples/ordering-python/plugin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, plugin string
		before       func(a, b waiting) int
	}{
		{"fifo", "fifo", func(a, b waiting) int { return a.arrival - b.arrival }},
		{"fee", "fee", func(a, b waiting) int { return int(b.tip) - int(a.tip) }},
		{"example in Go", youngest, func(a, b waiting) int { return b.arrival - a.arrival }},
		{"example in Python", smallest, func(a, b waiting) int { return a.calls - b.calls }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.plugin == smallest {
				if out, err := exec.Command("../../examples/ordering-python/setup.sh").CombinedOutput(); err != nil {
					t.Fatalf("setup.sh: %v\n%s", err, out)
				}
			}
			checkOrder(t, c.plugin, c.before)
		})
	}
}

// waiting is a transfer in the pool.
type waiting struct {
	arrival int
	tip     uint64
	calls   int
	hash    string
}

// checkOrder lets ten transfers of ten accounts wait, and compares the block with the rule.
func checkOrder(t *testing.T, plugin string, before func(a, b waiting) int) {
	t.Helper()
	n := start(t, "--ordering", plugin, "--block-generation-on", "demand")
	tips := []uint64{50, 10, 90, 0, 70, 30, 100, 20, 80, 60}
	calls := []int{3, 8, 1, 10, 5, 2, 9, 4, 7, 6}
	var all []waiting
	for i, a := range accounts(0, len(tips)) {
		a.Tip = tips[i]
		list := slices.Repeat([]client.Call{client.Transfer(strk(), felt.FromUint64(99), 1)}, calls[i])
		all = append(all, waiting{i, tips[i], calls[i], n.submit(t, a.Invoke(0, list...))})
	}
	for _, w := range all {
		if s, err := n.Status(within(t, patient), w.hash); err != nil || s.Finality == "ACCEPTED_ON_L2" {
			t.Fatalf("before the block: %+v, %v", s, err)
		}
	}
	n.call(t, "devnet_createBlock", map[string]any{}, nil)
	slices.SortFunc(all, before)
	var want []string
	for _, w := range all {
		if s := n.accepted(t, w.hash); s.Execution != "SUCCEEDED" {
			t.Fatalf("%+v", s)
		}
		want = append(want, w.hash)
	}
	if got := n.block(t, uint64(1)).Transactions; !slices.Equal(got, want) {
		t.Errorf("--ordering %s: block 1 holds\n%s\nwant\n%s", plugin, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNonceGap: a transaction that came too early waits, and goes in as soon as the missing one is there.
func TestNonceGap(t *testing.T) {
	n := start(t)
	all := accounts(0, 3)
	for i, order := range [][]uint64{{2, 1, 3}, {1, 2, 3}} {
		transfer := func(nonce uint64) string {
			return n.submit(t, all[i].Invoke(nonce, client.Transfer(strk(), felt.FromUint64(99), 1)))
		}
		var hashes []string
		for _, nonce := range order {
			hashes = append(hashes, transfer(nonce))
		}
		// Blocks are made meanwhile, of what has no gap.
		n.accepted(t, n.submit(t, all[2].Invoke(uint64(i), client.Transfer(strk(), felt.FromUint64(98), 1))))
		for _, hash := range hashes {
			if s, err := n.Status(within(t, patient), hash); err != nil || s.Finality != "RECEIVED" {
				t.Fatalf("with a gap: %+v, %v", s, err)
			}
		}
		for _, hash := range append(hashes, transfer(0)) {
			if s := n.accepted(t, hash); s.Execution != "SUCCEEDED" {
				t.Errorf("%+v", s)
			}
		}
	}
}
