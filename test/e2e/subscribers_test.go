package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestSubscribers: a thousand subscribers of all kinds, while transactions run and storage is killed three times. `ordo bench load` compares
// what each was told with the chain, and ends badly when one missed or doubled a block, an event, a receipt, a transaction or a status.
func TestSubscribers(t *testing.T) {
	count, transactions := "1000", "3000"
	if testing.Short() {
		count, transactions = "200", "600"
	}
	n := start(t, "--accounts", "40", "--account-class", "native", "--block-generation-on", "1", "--answer-when", "admitted")
	file := filepath.Join(t.TempDir(), "load.json")
	cmd := exec.CommandContext(within(t, 3*patient), ordo(t), "bench", "load", "--url", n.URL, "--accounts", "40", "--model", "open", "--rate", "200",
		"--transactions", transactions, "--duration", "60s", "--subscribers", count, "--subscribers-only", "--quiet", "--json", file)
	cmd.Env = nodetest.Environment()
	done := make(chan error, 1)
	out := new(nodetest.Output)
	cmd.Stdout, cmd.Stderr = out, out
	go func() { done <- cmd.Run() }()
	var err error
	killed := 0
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		case <-time.After(4 * time.Second): // a fault at any moment is as good as at another
			for _, child := range n.Children() {
				if killed < 3 && strings.Contains(child.Name, "ordo-storage") && syscall.Kill(child.PID, syscall.SIGKILL) == nil {
					killed++
				}
			}
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("storage was killed %d times\n%s", killed, out)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Runs []struct {
			Accepted      int `json:"accepted_on_l2"`
			Subscriptions struct{ Heads, Events, Receipts, Transactions, Wrong int }
		}
	}
	if err := json.Unmarshal(raw, &report); err != nil || len(report.Runs) != 1 {
		t.Fatalf("%s: %v", raw, err)
	}
	if s := report.Runs[0].Subscriptions; killed == 0 || s.Heads == 0 || s.Events == 0 || s.Receipts == 0 || s.Transactions == 0 {
		t.Errorf("storage was killed %d times, the subscribers were told %+v", killed, s)
	}
}

// TestStarknetJSChannel runs the WebSocket surface of starknet.js: every subscription, and the reconnections of its own suite.
func TestStarknetJSChannel(t *testing.T) {
	need.Env(t, "ORDO_E2E_JS")
	n := start(t)
	cmd := exec.CommandContext(within(t, 2*patient), "node", "--experimental-websocket", "js/channel.mjs", n.URL) // the flag is for Node 20
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"reconnections":4`) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
