package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// listed asks for one stage of `ordo plugin list --json`, by an address without its scheme.
func (n *node) listed(t *testing.T, stage string) rpc.PluginInfo {
	t.Helper()
	out, err := exec.Command(ordo(t), "plugin", "list", "--json", "--url", strings.TrimPrefix(n.URL, "http://")).Output()
	if err != nil {
		t.Fatalf("ordo plugin list: %v", err)
	}
	var list []rpc.PluginInfo
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Stage == stage {
			return p
		}
	}
	t.Fatalf("no %s in %s", stage, out)
	return rpc.PluginInfo{}
}

// TestHeldOrdering: with the flags for a debugger an ordering plugin that is held is late in the list and is never killed, blocks
// go on by arrival, and it ranks again when it is let go.
func TestHeldOrdering(t *testing.T) {
	n := start(t, "--ordering", "fee", "--plugin-health-timeout", "0", "--plugin-call-timeout", "0")
	held := n.listed(t, "ordering")
	if held.State != "up" || held.PID == 0 || held.Path == "" {
		t.Fatalf("%+v", held)
	}
	if err := syscall.Kill(held.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a := accounts(0, 1)[0]
	sent := uint64(0)
	send := func() { // waits for its block: a batch of its own
		n.accepted(t, n.submit(t, a.Invoke(sent, client.Transfer(strk(), felt.FromUint64(7), 1))))
		sent++
	}
	// Three batches without ranks are enough to have it killed without the flags; late calls are counted.
	deadline := time.Now().Add(patient)
	for n.listed(t, "ordering").Late < 5 {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", n.listed(t, "ordering"))
		}
		send()
	}
	if now := n.listed(t, "ordering"); now.PID != held.PID || now.Restarts != 0 || now.State != "late" || now.Problem == "" {
		t.Errorf("held: %+v", now)
	}
	if err := syscall.Kill(held.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for n.listed(t, "ordering").State != "up" {
		if time.Now().After(deadline) {
			t.Fatalf("let go: %+v", n.listed(t, "ordering"))
		}
		send()
	}
	if now := n.listed(t, "ordering"); now.PID != held.PID || now.Restarts != 0 {
		t.Errorf("let go: %+v", now)
	}
}
