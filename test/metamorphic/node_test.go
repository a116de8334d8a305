package metamorphic

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/test/nodetest"
)

const patient = 5 * time.Minute // for what takes seconds on a free machine

// node is a running `ordo`.
type node struct {
	*nodetest.Process
	plugins []string // as children says, when it served
}

// run starts a node with a configuration and waits until it serves.
func run(t *testing.T, bin, settings string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ordo.toml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &node{Process: nodetest.Run(t, exec.Command(filepath.Join(bin, "ordo"), "run", "--config", file), patient)}
	t.Cleanup(func() {
		n.stop(t)
		if t.Failed() {
			t.Log(settings)
		}
	})
	n.Serve(t, patient)
	n.plugins = n.children()
	return n
}

// stop ends the node, and fails the test when one of its processes ended before or when it does not end well.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if n.Ended() {
		return
	}
	if now := n.children(); n.plugins != nil && !slices.Equal(now, n.plugins) {
		t.Errorf("the processes of the node were %v and are %v: one has ended", n.plugins, now)
	}
	if err := n.Stop(patient); err != nil {
		t.Error(err)
	}
}

// children are number and name of each child process, in order.
func (n *node) children() (list []string) {
	for _, c := range n.Children() {
		list = append(list, fmt.Sprintf("%d %s", c.PID, c.Name))
	}
	slices.Sort(list)
	return list
}

// within gives a call time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	return ctx
}

func (n *node) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if err := n.Call(within(t), method, params, result); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}
