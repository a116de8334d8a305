package localnet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// blocksBehind is how far behind a follower is: ORDO_FOLLOW_BLOCKS, or few.
func blocksBehind(t *testing.T, few int) int {
	text := os.Getenv("ORDO_FOLLOW_BLOCKS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("ORDO_FOLLOW_BLOCKS: %v", err)
	}
	return n
}

// lengthen adds many blocks, of which one in ten has transfers.
func (c *chain) lengthen(t *testing.T, blocks int) (head uint64) {
	t.Helper()
	ctx := within(t, time.Duration(1+blocks/100)*patient)
	for i := range blocks {
		if i%10 == 0 {
			c.send(t, c.node)
			c.send(t, c.node)
		}
		if err := c.node.Call(ctx, "devnet_createBlock", []any{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.node.Call(ctx, "starknet_blockNumber", []any{}, &head); err != nil {
		t.Fatal(err)
	}
	return head
}

// lag is how far a node says to be behind.
func lag(t *testing.T, n client.Node) (lag, decided uint64, err error) {
	t.Helper()
	var info struct{ Lag, Decided uint64 }
	err = n.Call(within(t, patient), "ordo_network", []any{}, &info)
	return info.Lag, info.Decided, err
}

// TestFollowerFarBehind: a follower that is far behind a node under load catches up over kills of itself, serves no block that is not the
// node's meanwhile, and says how far it is. ORDO_FOLLOW_BLOCKS=10000 is the long form, `make follow`.
func TestFollowerFarBehind(t *testing.T) {
	t.Parallel()
	blocks := blocksBehind(t, 160)
	first := dev(t, "--block-generation-on", "demand")
	c := newChain(first.Node)
	began := time.Now()
	head := c.lengthen(t, blocks)
	t.Logf("%d blocks after %s", head, time.Since(began).Round(time.Millisecond))
	data := t.TempDir()
	start := func() *nodetest.Process { return dev(t, "--data-dir", data, "--network-follow", first.URL) }
	began = time.Now()
	follower := start()
	before, kills := follower, 0
	for limit := within(t, time.Duration(2+blocks/300)*patient); ; {
		behind, decided, err := lag(t, follower.Node)
		if err != nil {
			t.Fatal(err)
		}
		b, err := follower.Block(within(t, patient), "latest")
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := first.Block(within(t, patient), b.Number); err != nil || theirs.Hash != b.Hash || theirs.Root != b.Root {
			t.Fatalf("the follower serves %+v, the node %+v: %v", b, theirs, err)
		}
		if behind == 0 && b.Number >= head {
			break
		}
		if at := head * uint64(kills+1) / 4; kills < 3 && decided > at && decided < head {
			kill(t, follower)
			follower = start()
			kills++
		}
		if behind > 10 { // the node goes on meanwhile
			head = c.lengthen(t, 1)
		}
		select {
		case <-limit.Done():
			t.Fatalf("the follower is %d blocks behind at block %d", behind, decided)
		case <-time.After(20 * time.Millisecond):
		}
	}
	took := time.Since(began)
	t.Logf("caught up with %d blocks after %s and %d kills: %.0f blocks a second", head, took.Round(time.Millisecond), kills, float64(head)/took.Seconds())
	if kills == 0 {
		t.Error("the follower was never killed")
	}
	if told := before.Out.Lines("catching up"); len(told) == 0 {
		t.Errorf("the follower does not say how far it is:\n%s", before.Out)
	}
	reaches(t, follower.Node, head)
	same(t, follower.Node, first.Node)
}

// TestFollowerTakesNoBlockWithoutCertificate: whatever a source says in the place of a certificate, the follower takes no block without the
// signatures of the validators, names the source, and goes on when it is honest.
func TestFollowerTakesNoBlockWithoutCertificate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "net")
	n := launch(t, dir, "--validators", "1", "--consensus", "comet", "--base-port", "0", "--set", "genesis.accounts=3")
	node := n.nodes(t)[0]
	s := newSource(t, node.URL)
	config := filepath.Join(t.TempDir(), "follower.toml")
	text := fmt.Sprintf("[rpc]\nport = 0\n[genesis]\naccounts = 3\n[node]\nlog_level = \"info\"\ndata_dir = %q\n[network]\nfile = %q\nfollow = %q\n[consensus]\nplugin = \"comet\"\n",
		filepath.Join(t.TempDir(), "data"), filepath.Join(dir, "network.toml"), s.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	follower := ordo(t, "run", "--config", config)
	follower.Serve(t, patient)
	from := client.NewAccount(genesis.Accounts(0, 1)[0], chainID)
	var nonce uint64
	grow := func() (head uint64) {
		for range 3 {
			hash, err := node.Submit(within(t, patient), from.Invoke(nonce, client.Transfer(genesis.STRKAddress(), felt.FromUint64(700), 1)))
			if err != nil {
				t.Fatal(err)
			}
			nonce++
			if got, err := node.Wait(within(t, patient), hash, "ACCEPTED_ON_L2"); err != nil || got.Execution != "SUCCEEDED" {
				t.Fatalf("%+v: %v", got, err)
			}
		}
		if err := node.Call(within(t, patient), "starknet_blockNumber", []any{}, &head); err != nil {
			t.Fatal(err)
		}
		return head
	}
	reaches(t, follower.Node, grow())
	var old any
	for _, c := range []struct {
		name string
		lie  func([]map[string]any) []map[string]any
	}{
		{"none", func(b []map[string]any) []map[string]any {
			old = b[0]["certificate"]
			b[0]["certificate"] = ""
			return b
		}},
		{"a byte of it", flipped("certificate")},
		{"that of another block", func(b []map[string]any) []map[string]any { b[0]["certificate"] = old; return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.set(node.URL, c.lie)
			head := grow()
			about := s.lies(t, 1)
			if got := same(t, follower.Node, node); got >= about {
				t.Errorf("the follower is at block %d, the lie was about block %d", got, about)
			}
			s.set(node.URL, nil)
			reaches(t, follower.Node, head)
		})
	}
	if named := follower.Out.Lines("from=" + s.URL); len(named) == 0 {
		t.Errorf("the source is not named:\n%s", follower.Out)
	}
}

// TestFollowerKeepsUp measures a follower of a node that runs many transactions a second: ORDO_FOLLOW_RATE, `make follow`. It judges no time: what
// is told depends on the machine. The follower must have the same chain at the end.
func TestFollowerKeepsUp(t *testing.T) {
	rate := os.Getenv("ORDO_FOLLOW_RATE")
	if rate == "" {
		t.Skip("a measurement: make follow, or ORDO_FOLLOW_RATE=1000")
	}
	bin := need.Binaries(t, "ordo-bench")
	for _, source := range []string{"url", "peers"} {
		t.Run(source, func(t *testing.T) {
			n := launch(t, filepath.Join(t.TempDir(), "net"), "--validators", "1", "--consensus", "solo", "--base-port", "0",
				"--set", "genesis.accounts=20", "--set", "genesis.account_class=native", "--set", "chain.block_generation_on=1")
			n.do(t, "add", "--follow", source)
			nodes := n.nodes(t)
			before := n.status(t)
			load := exec.CommandContext(within(t, 3*patient), filepath.Join(bin, "ordo-bench"), "load", "--url", nodes[0].URL, "--model", "open", "--rate", rate,
				"--accounts", "20", "--batch", "20", "--connections", "4", "--duration", "30s", "--account-class", "native")
			load.Env = nodetest.Environment()
			var out strings.Builder
			load.Stdout, load.Stderr = &out, &out
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- load.Wait() }()
			var lags []uint64
			for running := true; running; {
				select {
				case err := <-ended:
					if err != nil {
						t.Errorf("ordo-bench load: %v", err)
					}
					running = false
				case <-time.After(100 * time.Millisecond):
					a, errA := nodes[0].Block(t.Context(), "latest")
					b, errB := nodes[1].Block(t.Context(), "latest")
					if errA == nil && errB == nil && a.Number >= b.Number {
						lags = append(lags, a.Number-b.Number)
					}
				}
			}
			began := time.Now()
			head := reaches(t, nodes[0], 1).Number
			reaches(t, nodes[1], head)
			took := time.Since(began)
			same(t, nodes[1], nodes[0])
			slices.Sort(lags)
			after := n.status(t)
			t.Logf("%s\nfollower by %s: behind in blocks of 1 s at the p50 %d, p99 %d, most %d, of %d looks; at the last block %s after the load; processor time of node %.1f s, follower %.1f s",
				&out, source, lags[len(lags)/2], lags[len(lags)*99/100], lags[len(lags)-1], len(lags), took.Round(time.Millisecond),
				after.Nodes[0].Processor-before.Nodes[0].Processor, after.Nodes[1].Processor-before.Nodes[1].Processor)
		})
	}
}
