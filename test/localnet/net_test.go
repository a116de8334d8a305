package localnet

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// status is what a test reads of ordo localnet status --json.
type status struct {
	Height uint64 `json:"height"`
	Nodes  []struct {
		Kind     string `json:"kind"`
		URL      string `json:"url"`
		PID      int    `json:"pid"`
		State    string `json:"state"`
		Answers  bool   `json:"answers"`
		Height   uint64 `json:"height"`
		Peers    int    `json:"peers"`
		Restarts int    `json:"restarts"`
		Proposer *int   `json:"proposer"`

		Processor float64 `json:"processor_seconds"`
	} `json:"nodes"`
}

// network is an ordo localnet of a test.
type network struct {
	*nodetest.Process
	dir string
}

var ready = regexp.MustCompile(`localnet is ready|"event":"ready"`)

// launch starts ordo localnet in a folder, and waits until all its nodes serve.
func launch(t *testing.T, dir string, args ...string) *network {
	t.Helper()
	n := &network{ordo(t, append([]string{"localnet", "--dir", dir}, args...)...), dir}
	if _, ok := n.Out.Await(within(t, 2*patient), ready, n.Done()); !ok {
		t.Fatalf("the localnet does not start:\n%s", n.Out)
	}
	return n
}

// try runs a control command.
func (n *network) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(within(t, 2*patient), filepath.Join(need.Binaries(t), "ordo"), append([]string{"localnet"}, append(args, "--dir", n.dir)...)...)
	cmd.Env = nodetest.Environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// do runs a control command that must succeed.
func (n *network) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.try(t, args...)
	if err != nil {
		t.Fatalf("localnet %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (n *network) status(t *testing.T) (s status) {
	t.Helper()
	decode(t, n.do(t, "status", "--json"), &s)
	return s
}

// builder is the node that built the newest block.
func (n *network) builder(t *testing.T) int {
	t.Helper()
	for _, one := range n.status(t).Nodes {
		if one.Proposer != nil {
			return *one.Proposer
		}
	}
	t.Fatal("no node says which one built its newest block")
	return 0
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

var listens = regexp.MustCompile(`(?m)^listen = "(.*)"$`)

// meshAddress is where a node listens for peers, by its configuration.
func meshAddress(t *testing.T, config string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	found := listens.FindSubmatch(text)
	if found == nil {
		t.Fatalf("no listen in %s", text)
	}
	return string(found[1])
}

// nodes are the clients of all nodes.
func (n *network) nodes(t *testing.T) (list []client.Node) {
	t.Helper()
	for _, one := range n.status(t).Nodes {
		list = append(list, client.Node{URL: one.URL})
	}
	return list
}

// awaits waits until the status is as it should be.
func (n *network) awaits(t *testing.T, what string, is func(status) bool) {
	t.Helper()
	ctx := within(t, patient)
	for {
		s := n.status(t)
		if is(s) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not so within %s: %s: %+v", patient, what, s)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
