package e2e

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/client"
)

// TestFiveProcesses is item 2: the core and one process for each stage, and `ordo plugin list` knows them.
func TestFiveProcesses(t *testing.T) {
	n := start(t)
	n.accepted(t, n.submit(t, accounts(0, 1)[0].Invoke(0, client.Transfer(strk(), felt.FromUint64(7), 1))))
	var names []string
	for _, p := range n.children() {
		names = append(names, p.name)
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

// TestOrdering is item 2: ten waiting transfers, by each policy's own rule.
func TestOrdering(t *testing.T) {
	tips := []uint64{50, 10, 90, 0, 70, 30, 100, 20, 80, 60}
	byTip := func(a, b int) int { return int(tips[b]) - int(tips[a]) }
	for _, c := range []struct {
		plugin string
		order  func(a, b int) int
	}{
		{"fifo", func(a, b int) int { return a - b }},
		{"fee", byTip},
	} {
		t.Run(c.plugin, func(t *testing.T) { checkOrder(t, c.plugin, tips, c.order) })
	}
}

// checkOrder sends one transfer from each account, in order of accounts, and compares the block with the rule. The rule
// compares indices of tips.
func checkOrder(t *testing.T, plugin string, tips []uint64, order func(a, b int) int) {
	t.Helper()
	n := start(t, "--ordering", plugin, "--block-generation-on", "demand")
	var sent []string
	for i, a := range accounts(0, len(tips)) {
		a.Tip = tips[i]
		sent = append(sent, n.submit(t, a.Invoke(0, client.Transfer(strk(), felt.FromUint64(99), 1))))
	}
	n.call(t, "devnet_createBlock", map[string]any{}, nil)
	for _, hash := range sent {
		n.accepted(t, hash)
	}
	index := make([]int, len(tips))
	for i := range index {
		index[i] = i
	}
	slices.SortStableFunc(index, order)
	var want []string
	for _, i := range index {
		want = append(want, sent[i])
	}
	if got := n.block(t, uint64(1)).Transactions; !slices.Equal(got, want) {
		t.Errorf("--ordering %s: block 1 holds\n%s\nwant\n%s", plugin, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNonceGap: a transaction that came too early waits, and goes in as soon as the missing one is there.
func TestNonceGap(t *testing.T) {
	n := start(t)
	a := accounts(0, 1)[0]
	order := []uint64{2, 1, 3, 0}
	rand.Shuffle(2, func(i, j int) { order[i], order[j] = order[j], order[i] })
	hashes := make(map[uint64]string)
	for _, nonce := range order {
		if nonce == 0 {
			time.Sleep(200 * time.Millisecond)
			for _, hash := range hashes {
				if s, err := n.Status(within(t, patient), hash); err != nil || s.Finality != "RECEIVED" {
					t.Fatalf("with a gap: %+v, %v", s, err)
				}
			}
		}
		hashes[nonce] = n.submit(t, a.Invoke(nonce, client.Transfer(strk(), felt.FromUint64(99), 1)))
	}
	for _, hash := range hashes {
		if s := n.accepted(t, hash); s.Execution != "SUCCEEDED" {
			t.Errorf("%+v", s)
		}
	}
}
