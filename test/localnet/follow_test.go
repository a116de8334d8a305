// Package localnet tests networks of whole nodes: real processes of bin/ordo, real sockets.
package localnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

const (
	chainID = "SN_SEPOLIA"
	patient = time.Minute // for what takes moments on a free machine
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// ordo starts a process of bin/ordo, which the end of the test stops.
func ordo(t *testing.T, args ...string) *nodetest.Process {
	t.Helper()
	return nodetest.Run(t, exec.Command(filepath.Join(need.Binaries(t), "ordo"), args...), patient)
}

// dev starts a node of development, and waits until it serves.
func dev(t *testing.T, args ...string) *nodetest.Process {
	t.Helper()
	p := ordo(t, append([]string{"dev", "--port", "0", "--accounts", "3"}, args...)...)
	p.Serve(t, patient)
	return p
}

func kill(t *testing.T, p *nodetest.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// reaches waits until a node has a block with a root.
func reaches(t *testing.T, n client.Node, number uint64) client.Block {
	t.Helper()
	ctx := within(t, patient)
	for {
		b, err := n.Block(ctx, "latest")
		if err == nil && b.Number >= number {
			return b
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s never has block %d, but %d: %v", n.URL, number, b.Number, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// same compares every block that one node has with that of another: hash, parent and root.
func same(t *testing.T, a, b client.Node) uint64 {
	t.Helper()
	ctx := within(t, patient)
	newest, err := a.Block(ctx, "latest")
	if err != nil {
		t.Fatal(err)
	}
	for number := range newest.Number + 1 {
		x, err := a.Block(ctx, number)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Block(ctx, number)
		if err != nil {
			t.Fatal(err)
		}
		if x.Hash != y.Hash || x.Root != y.Root || x.Parent != y.Parent || len(x.Transactions) != len(y.Transactions) {
			t.Fatalf("block %d:\n%+v at %s\n%+v at %s", number, x, a.URL, y, b.URL)
		}
	}
	return newest.Number
}

// chain makes blocks with transfers, some of them empty, at one node.
type chain struct {
	node   client.Node
	sender *client.Account
	nonce  uint64
}

func newChain(n client.Node) *chain {
	return &chain{n, client.NewAccount(genesis.Accounts(0, 1)[0], chainID), 0}
}

// send sends a transfer by a node.
func (c *chain) send(t *testing.T, by client.Node) string {
	t.Helper()
	hash, err := by.Submit(within(t, patient), c.sender.Invoke(c.nonce, client.Transfer(genesis.STRKAddress(), felt.FromUint64(900+c.nonce%7), 3)))
	if err != nil {
		t.Fatal(err)
	}
	c.nonce++
	return hash
}

// grow adds blocks, and returns the number of the newest one.
func (c *chain) grow(t *testing.T, blocks int) uint64 {
	t.Helper()
	ctx := within(t, patient)
	for i := range blocks {
		if i%3 != 2 {
			if s, err := c.node.Wait(ctx, c.send(t, c.node), "PRE_CONFIRMED"); err != nil || s.Execution != "SUCCEEDED" {
				t.Fatalf("%+v: %v", s, err)
			}
		}
		if err := c.node.Call(ctx, "devnet_createBlock", []any{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var number uint64
	if err := c.node.Call(ctx, "starknet_blockNumber", []any{}, &number); err != nil {
		t.Fatal(err)
	}
	return reaches(t, c.node, number).Number
}

// TestFollowerOfASoloNode: a follower that comes late has the same chain, serves it, passes writes on, and is not led astray by kills of
// either side.
func TestFollowerOfASoloNode(t *testing.T) {
	t.Parallel()
	data, mine := t.TempDir(), t.TempDir()
	first := dev(t, "--data-dir", data)
	c := newChain(first.Node)
	head := c.grow(t, 50)
	s := newSource(t, first.URL)
	follower := dev(t, "--data-dir", mine, "--network-follow", s.URL)
	reaches(t, follower.Node, head)
	if got := same(t, follower.Node, first.Node); got < 50 {
		t.Errorf("only %d blocks", got)
	}

	hash := c.send(t, follower.Node)
	for _, n := range []client.Node{first.Node, follower.Node} {
		if got, err := n.Wait(within(t, patient), hash, "ACCEPTED_ON_L2"); err != nil || got.Execution != "SUCCEEDED" {
			t.Fatalf("a transaction that was sent to the follower is %+v at %s: %v", got, n.URL, err)
		}
	}

	// What the node rejects and the follower cannot know of has the node's own error.
	dear, cheap := *c.sender, *c.sender
	dear.Tip, cheap.Tip = 100, 1
	transfer := client.Transfer(genesis.STRKAddress(), felt.FromUint64(907), 1)
	if _, err := first.Submit(within(t, patient), dear.Invoke(c.nonce+1, transfer)); err != nil {
		t.Fatal(err)
	}
	_, err := follower.Submit(within(t, patient), cheap.Invoke(c.nonce+1, transfer))
	if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Code != 64 {
		t.Errorf("a replacement that pays less, by the follower: %v", err)
	}
	c.send(t, follower.Node)
	c.nonce++

	kill(t, follower)
	head = c.grow(t, 12)
	follower = dev(t, "--data-dir", mine, "--network-follow", s.URL)
	reaches(t, follower.Node, head)
	same(t, follower.Node, first.Node)

	kill(t, first)
	second := dev(t, "--data-dir", data)
	s.set(second.URL, nil)
	c.node = second.Node
	reaches(t, follower.Node, c.grow(t, 12))
	same(t, follower.Node, second.Node)
	for _, n := range []client.Node{second.Node, follower.Node} {
		balance, err := n.Balance(within(t, patient), "latest", genesis.STRKAddress(), felt.FromUint64(901))
		if err != nil || balance.Uint64() == 0 {
			t.Errorf("balance %s at %s: %v", balance, n.URL, err)
		}
	}
	if warned := follower.Out.Lines("trying again"); len(warned) == 0 {
		t.Error("the follower did not say that its source was away")
	}
}

// answer writes what a node would say of its blocks.
func answer(head, blocks string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		fmt.Fprintf(w, `{"jsonrpc": "2.0", "id": 1, "result": {"head": %s, "blocks": [%s]}}`, head, blocks)
	}
}

// endless writes blocks until the other side has enough.
func endless(w http.ResponseWriter) {
	piece := []byte(strings.Repeat(`{"height": 1},`, 1<<14))
	_, err := io.WriteString(w, `{"jsonrpc": "2.0", "id": 1, "result": {"head": 9, "blocks": [`)
	for err == nil {
		_, err = w.Write(piece)
	}
}

// TestFollowerIsNotLiedTo: whatever the source says of a block, the follower serves none that differs from the chain, and goes on when the
// source is honest again.
func TestFollowerIsNotLiedTo(t *testing.T) {
	t.Parallel()
	node := dev(t)
	chain := newChain(node.Node)
	s := newSource(t, node.URL)
	follower := dev(t, "--network-follow", s.URL)
	head := chain.grow(t, 12) // from here on the hash of a block ten below is in each
	reaches(t, follower.Node, head)
	type blocks = []map[string]any
	for name, lie := range map[string]func(blocks) blocks{
		"a byte of the body":  flipped("body"),
		"a byte of the value": flipped("value"),
		"not base64":          func(b blocks) blocks { b[0]["body"] = "***"; return b },
		"an empty body":       func(b blocks) blocks { b[0]["body"] = ""; return b },
		"an empty value":      func(b blocks) blocks { b[0]["value"] = ""; return b },
		"another height":      func(b blocks) blocks { b[0]["height"] = b[0]["height"].(float64) + 1; return b },
		"an earlier block":    func(b blocks) blocks { b[0]["height"] = b[0]["height"].(float64) - 1; return b },
		"the wrong order":     func(b blocks) blocks { return append(b[1:], b[0]) },
		"no transactions":     proposal(func(p *ordov1.Proposal) { p.Transactions, p.N = nil, 0 }),
		"a transaction twice": proposal(func(p *ordov1.Proposal) { p.Transactions, p.N = append(p.Transactions, p.Transactions...), 2*p.N }),
		"another count":       proposal(func(p *ordov1.Proposal) { p.N += 7 }),
		"another time":        proposal(func(p *ordov1.Proposal) { p.Context.Timestamp++ }),
		"an old time":         proposal(func(p *ordov1.Proposal) { p.Context.Timestamp = 1 }),
		"another sequencer":   proposal(func(p *ordov1.Proposal) { p.Context.Sequencer[31] ^= 1 }),
		"another old hash":    proposal(func(p *ordov1.Proposal) { p.Context.OldBlockHash[5] ^= 1 }),
		"another signature":   proposal(func(p *ordov1.Proposal) { p.Transactions[0].Signature[9] ^= 1 }),
		"a body without head": proposal(func(p *ordov1.Proposal) { p.Context = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			s.set("", nil) // away, so that there are several blocks to lie about
			head = chain.grow(t, 2)
			s.set(node.URL, lie)
			about := s.lies(t, 2)
			if got := same(t, follower.Node, node.Node); got >= about {
				t.Errorf("the follower is at block %d, the lie was about block %d", got, about)
			}
			s.set(node.URL, nil)
			reaches(t, follower.Node, head)
			same(t, follower.Node, node.Node)
		})
	}
	for name, c := range map[string]struct {
		instead func(http.ResponseWriter)
		want    string // in the log of the follower
	}{
		"a head that never comes":    {answer("18446744073709551615", ""), "block 0"},
		"more blocks than asked for": {answer("9", strings.Repeat(`{"height": 1},`, 64)+`{"height": 1}`), "more than 64 blocks"},
		"blocks without an end":      {endless, "larger than 128 MiB"},
		"no JSON":                    {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			s.instead(c.instead)
			head = chain.grow(t, 1)
			s.lies(t, 1)
			ctx := within(t, patient)
			if _, ok := follower.Out.Await(ctx, regexp.MustCompile(regexp.QuoteMeta("from="+s.URL)+".*"+c.want), follower.Done()); !ok {
				t.Errorf("the follower does not say of %s: %s\n%s", s.URL, c.want, follower.Out)
			}
			s.set(node.URL, nil)
			reaches(t, follower.Node, head)
			if behind, _, err := lag(t, follower.Node); err != nil || behind > 1 {
				t.Errorf("the follower has all, and says to be %d blocks behind: %v", behind, err)
			}
			same(t, follower.Node, node.Node)
		})
	}
}
