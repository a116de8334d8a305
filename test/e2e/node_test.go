// Package e2e runs bin/ordo as an operator would: real processes, real sockets, unmodified clients.
package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

const (
	chainID = "SN_SEPOLIA"
	patient = 90 * time.Second // for what takes milliseconds on a free machine
)

func ordo(t *testing.T) string { return filepath.Join(need.Binaries(t), "ordo") }

// node is a running `ordo`.
type node struct{ *nodetest.Process }

// start runs `ordo dev` on a free port, with any further arguments, and waits until it serves.
func start(t *testing.T, args ...string) *node {
	t.Helper()
	return run(t, append([]string{"dev", "--port", "0"}, args...)...)
}

func run(t *testing.T, args ...string) *node {
	t.Helper()
	return served(t, launch(t, args...))
}

// served waits until a node says where it listens.
func served(t *testing.T, n *node) *node {
	t.Helper()
	n.Serve(t, patient)
	return n
}

// launch starts the process; the end of the test stops it, and a failed test shows what it printed.
func launch(t *testing.T, args ...string) *node {
	t.Helper()
	return launchWith(t, func(*exec.Cmd) {}, args...)
}

// launchWith is launch with something else about the process changed.
func launchWith(t *testing.T, change func(*exec.Cmd), args ...string) *node {
	t.Helper()
	cmd := exec.Command(ordo(t), args...)
	cmd.Env = nodetest.Environment()
	change(cmd)
	return &node{nodetest.Run(t, cmd, patient)}
}

// stop asks the node to end, and fails the test when it does not end well. A second call does nothing.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if err := n.Stop(patient); err != nil {
		t.Error(err)
	}
}

// kill ends the core without warning.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// accounts are the first predeployed accounts of a seed.
func accounts(seed uint32, n int) []*client.Account {
	list := make([]*client.Account, n)
	for i, a := range genesis.Accounts(seed, n) {
		list[i] = client.NewAccount(a, chainID)
	}
	return list
}

// submit sends a transaction that must be taken.
func (n *node) submit(t *testing.T, tx *client.Tx) string {
	t.Helper()
	hash, err := n.Submit(within(t, patient), tx)
	if err != nil {
		t.Fatalf("submit %s: %v", tx.Type, err)
	}
	if hash != tx.ID() {
		t.Fatalf("the node hashes to %s, the client to %s", hash, tx.ID())
	}
	return hash
}

// accepted waits for a transaction's block to have a root.
func (n *node) accepted(t *testing.T, hash string) client.Status {
	t.Helper()
	s, err := n.Wait(within(t, patient), hash, "ACCEPTED_ON_L2")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if err := n.Call(within(t, patient), method, params, result); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

func (n *node) block(t *testing.T, id any) client.Block {
	t.Helper()
	b, err := n.Block(within(t, patient), id)
	if err != nil {
		t.Fatalf("block %v: %v", id, err)
	}
	return b
}

// rooted waits until the root of the newest decided block is known, and returns that block.
func (n *node) rooted(t *testing.T, number uint64) client.Block {
	t.Helper()
	ctx := within(t, patient)
	for {
		if b, err := n.Block(ctx, "latest"); err == nil && b.Number >= number {
			return b
		}
		select {
		case <-ctx.Done():
			t.Fatalf("block %d never got a root", number)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func strk() felt.Felt { return genesis.STRKAddress() }
