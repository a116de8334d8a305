package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestScriptedConsensus drives the chain with a consensus that loses rounds, proposes again, rejects a forged proposal and
// decides those of a peer, also some that end below what they list. No transaction is lost or runs twice, and the state is
// that of a chain that went straight.
func TestScriptedConsensus(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "scripted")
	if out, err := exec.Command("go", "build", "-o", plugin, "./scripted").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	n := start(t, "--consensus", plugin, "--log-level", "info")
	const rounds, each = 9, 4
	senders := accounts(0, each)
	target := felt.FromUint64(0xbeef)
	var last []string
	for round := range uint64(rounds) {
		last = last[:0]
		for _, a := range senders {
			last = append(last, n.submit(t, a.Invoke(round, client.Transfer(strk(), target, 1))))
		}
		for _, hash := range last {
			if s := n.accepted(t, hash); s.Execution != "SUCCEEDED" {
				t.Fatalf("round %d: %+v", round, s)
			}
		}
	}
	balance, err := n.Balance(within(t, patient), "latest", strk(), target)
	if err != nil || balance.Int64() != rounds*each {
		t.Errorf("the target holds %v, want %d (%v)", balance, rounds*each, err)
	}
	seen := make(map[string]uint64)
	for height := uint64(1); height <= n.block(t, "latest").Number; height++ {
		for _, hash := range n.block(t, height).Transactions {
			if at, twice := seen[hash]; twice {
				t.Errorf("%s is in blocks %d and %d", hash, at, height)
			}
			seen[hash] = height
		}
	}
	if len(seen) != rounds*each {
		t.Errorf("the chain holds %d transactions, want %d", len(seen), rounds*each)
	}
	for _, event := range []string{"lost a round", "proposed 4 transactions again", "a forged proposal was rejected",
		"decided a peer's proposal", "closed a peer's proposal at 3 of 4"} {
		if len(n.Out.Lines(event)) == 0 {
			t.Errorf("the script never reports %q", event)
		}
	}
	if lines := n.Out.Lines("UNEXPECTED"); len(lines) > 0 {
		t.Error(strings.Join(lines, "\n"))
	}
}
