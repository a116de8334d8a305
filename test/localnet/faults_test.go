package localnet

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// teaching builds the teaching Tendermint.
func teaching(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tendermint")
	if out, err := exec.CommandContext(within(t, 2*patient), "go", "build", "-o", path, "../../examples/consensus-tendermint").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestMessageFaults: a hosted protocol goes on while its messages are lost, late, doubled, overtaken and damaged, and what was recorded of it
// is played again to the same actions, by another plugin not.
func TestMessageFaults(t *testing.T) {
	need.Binaries(t, "plugins/ordo-execution-blockifier")
	n := launch(t, filepath.Join(t.TempDir(), "net"), "--validators", "2", "--consensus", teaching(t), "--base-port", "0", "--record",
		"--set", "genesis.accounts=3")
	for args, want := range map[string]string{
		"": "name a fault", "--clear --drop 0.5": "no other flag",
	} {
		if out, err := n.try(t, append([]string{"fault"}, strings.Fields(args)...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("fault %s: %v, want %q: %s", args, err, want, out)
		}
	}
	n.do(t, "fault", "--drop", "0.1", "--delay", "1ms..30ms", "--duplicate", "0.1", "--reorder", "--corrupt", "0.02", "--seed", "7")
	said := n.do(t, "fault", "--regions", "us-east,us-west", "--between", "0,1")
	status := n.do(t, "status")
	for _, want := range []string{"drop 0.1", "delay 1ms..30ms", "seed 7", "us-east,us-west"} {
		if !strings.Contains(said, want) || !strings.Contains(status, want) {
			t.Errorf("no %q in %s, or in %s", want, said, status)
		}
	}
	nodes := n.nodes(t)
	head := newChain(nodes[0]).grow(t, 4)
	n.do(t, "kill", "1")
	n.do(t, "restart", "1")
	if said := n.do(t, "fault", "--clear"); !strings.Contains(said, "none") {
		t.Errorf("--clear: %s", said)
	}
	reaches(t, nodes[1], head+2)
	same(t, nodes[1], nodes[0])
	if err := n.Stop(patient); err != nil {
		t.Fatal(err)
	}

	out := n.do(t, "replay")
	if files := strings.Count(out, "as recorded"); files != 3 || !strings.Contains(out, "node n1") {
		t.Errorf("%d of 3 files are played to the same actions: %s", files, out)
	}
	cmd := exec.CommandContext(within(t, patient), filepath.Join(need.Binaries(t), "ordo"), "localnet", "replay", "--dir", n.dir, "--consensus", "solo")
	cmd.Env = nodetest.Environment()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "first difference is at node n0, height 1, event 1") {
		t.Errorf("another plugin: %v: %s", err, out)
	}
}
