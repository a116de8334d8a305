package localnet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLocalnetOfOne drives a network of one validator and two followers by its commands: kill, restart, pause, resume, cut, and the end of
// the command itself.
func TestLocalnetOfOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "net")
	n := launch(t, dir, "--validators", "1", "--consensus", "solo", "--base-port", "0", "--set", "genesis.accounts=3")
	for _, source := range []string{"peers", "url"} {
		n.do(t, "add", "--follow", source)
	}
	nodes := n.nodes(t)
	if len(nodes) != 3 {
		t.Fatalf("%d nodes", len(nodes))
	}
	c := newChain(nodes[0])
	head := c.grow(t, 12)
	hash := c.send(t, nodes[2]) // it goes the way of the follower
	if _, err := nodes[2].Wait(within(t, patient), hash, "ACCEPTED_ON_L2"); err != nil {
		t.Error(err)
	}
	for _, follower := range nodes[1:] {
		reaches(t, follower, head)
		same(t, follower, nodes[0])
	}

	n.do(t, "kill", "1")
	n.do(t, "pause", "2")
	n.awaits(t, "node 1 is killed, node 2 is paused", func(s status) bool {
		return s.Nodes[1].State == "killed" && s.Nodes[1].PID == 0 && s.Nodes[2].State == "paused" && !s.Nodes[2].Answers
	})
	if out, err := n.try(t, "kill", "1"); err == nil || !strings.Contains(out, "restart 1") {
		t.Errorf("a dead node is killed: %v %s", err, out)
	}
	head = c.grow(t, 3)
	n.do(t, "restart", "1")
	n.do(t, "resume", "2")
	for _, follower := range nodes[1:] {
		reaches(t, follower, head)
	}

	n.do(t, "partition", "0")
	n.awaits(t, "the peer is cut off", func(s status) bool { return s.Nodes[0].Peers == 0 })
	before := same(t, nodes[1], nodes[0])
	head = c.grow(t, 3)
	if got := same(t, nodes[2], nodes[0]); got > before {
		t.Errorf("block %d came through the partition", got)
	}
	n.do(t, "heal")
	n.do(t, "delay", "20ms", "--jitter", "5ms")
	for _, follower := range nodes[1:] {
		reaches(t, follower, head)
		same(t, follower, nodes[0])
	}

	if out, err := n.try(t, "clean"); err == nil || !strings.Contains(out, "runs in") {
		t.Errorf("clean of a localnet that runs: %v %s", err, out)
	}
	second := ordo(t, "localnet", "--dir", dir)
	if err := second.Err(); err == nil || !strings.Contains(second.Out.String(), "runs in") {
		t.Errorf("a second one in the same folder: %v %s", err, second.Out)
	}
	if err := n.Stop(patient); err != nil {
		t.Fatal(err)
	}

	// The same network again, as it was; other flags are refused.
	other := ordo(t, "localnet", "--dir", dir, "--validators", "2")
	if err := other.Err(); err == nil || !strings.Contains(other.Out.String(), "--validators") {
		t.Errorf("another number of validators: %v %s", err, other.Out)
	}
	n = launch(t, dir, "--json", "--every", "200ms")
	again := n.nodes(t)
	for i, node := range again {
		if node.URL != nodes[i].URL {
			t.Errorf("node %d is at %s, it was at %s", i, node.URL, nodes[i].URL)
		}
		reaches(t, node, head)
		same(t, node, again[0])
	}
	var last struct {
		Event string            `json:"event"`
		Nodes []json.RawMessage `json:"nodes"`
	}
	lines := n.Out.Lines(`"event":"status"`)
	if len(lines) == 0 || json.Unmarshal([]byte(lines[len(lines)-1]), &last) != nil || len(last.Nodes) != 3 {
		t.Errorf("the lines of --json: %s", n.Out)
	}

	// No node outlives the command.
	var pids []int
	for _, one := range n.status(t).Nodes {
		pids = append(pids, one.PID)
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patient)
	for _, pid := range pids {
		for running(pid) {
			select {
			case <-ctx.Done():
				t.Fatalf("process %d outlives the localnet", pid)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	n.do(t, "clean")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("clean leaves the folder: %v", err)
	}
}

// running tells whether there is such a process of ordo.
func running(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), "(ordo)") && !strings.Contains(string(stat), ") Z ")
}

// TestLocalnetSaysWhatIsWrong: before anything runs.
func TestLocalnetSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	busy := launch(t, filepath.Join(t.TempDir(), "busy"), "--validators", "1", "--consensus", "solo", "--base-port", "0")
	port := busy.nodes(t)[0].URL
	port = port[strings.LastIndexByte(port, ':')+1:]
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a protocol that decides alone": {[]string{"--validators", "4", "--consensus", "solo"}, "--validators 1"},
		"no such plugin":                {[]string{"--consensus", "sol"}, "did you mean solo"},
		"a plugin of another stage":     {[]string{"--consensus", "fifo"}, "ordering"},
		"no validators":                 {[]string{"--validators", "0", "--consensus", "solo"}, "--validators 0"},
		"no such setting":               {[]string{"--validators", "1", "--consensus", "solo", "--set", "rpc.prot=1"}, "rpc.prot"},
		"a port in use":                 {[]string{"--validators", "1", "--consensus", "solo", "--base-port", port}, ":" + port},
		"a node that does not start":    {[]string{"--validators", "1", "--consensus", "solo", "--base-port", "0", "--set", "ordering.plugin=/nowhere"}, "node 0 has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ordo(t, append([]string{"localnet", "--dir", filepath.Join(t.TempDir(), "net")}, c.args...)...)
			if err := p.Err(); err == nil || !strings.Contains(p.Out.String(), c.want) {
				t.Errorf("%v, want %q:\n%s", err, c.want, p.Out)
			}
		})
	}
}
