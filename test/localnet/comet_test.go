package localnet

import (
	"strconv"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
)

// senders send a transfer each by one of the nodes in turn, and every transaction must be in a block at every node.
type senders struct {
	accounts []*client.Account
	nonces   []uint64
}

func newSenders(count int, chain string) *senders {
	s := &senders{nonces: make([]uint64, count)}
	for _, a := range genesis.Accounts(0, count) {
		s.accounts = append(s.accounts, client.NewAccount(a, chain))
	}
	return s
}

// round sends one transfer of each account, by the nodes in turn, and waits until it is in a block of the node that took it.
func (s *senders) round(t *testing.T, nodes []client.Node) {
	t.Helper()
	ctx := within(t, patient)
	hashes := make([]string, len(s.accounts))
	for i, a := range s.accounts {
		hash, err := nodes[i%len(nodes)].Submit(ctx, a.Invoke(s.nonces[i], client.Transfer(genesis.STRKAddress(), felt.FromUint64(uint64(700+i)), 1)))
		if err != nil {
			t.Fatalf("%s: %v", nodes[i%len(nodes)].URL, err)
		}
		s.nonces[i]++
		hashes[i] = hash
	}
	for i, hash := range hashes {
		got, err := nodes[i%len(nodes)].Wait(ctx, hash, "ACCEPTED_ON_L2")
		if err != nil || got.Execution != "SUCCEEDED" {
			t.Fatalf("%s by %s: %+v, %v", hash, nodes[i%len(nodes)].URL, got, err)
		}
	}
}

// proposers counts the blocks of each sequencer.
func proposers(t *testing.T, n client.Node, to uint64) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for number := uint64(1); number <= to; number++ {
		var b struct {
			Sequencer string `json:"sequencer_address"`
		}
		if err := n.Call(within(t, patient), "starknet_getBlockWithTxHashes", []any{map[string]any{"block_number": number}}, &b); err != nil {
			t.Fatal(err)
		}
		all[b.Sequencer]++
	}
	return all
}

// TestLocalnetOfFour: transactions that are sent to each of four validators end up in blocks of several, all nodes have the same chain, and
// that stays so when one is killed, one is cut off, and followers come late. Of raft one validator builds all blocks, and it is that one.
// TestNetworkUnderFaults does the same with comet, and more.
func TestLocalnetOfFour(t *testing.T) {
	t.Run("malachite", func(t *testing.T) { ofFour(t, "malachite", 30, 3) })
	t.Run("raft", func(t *testing.T) { ofFour(t, "raft", 10, 1) })
}

// without is the nodes but one, and the text of a partition that cuts it off.
func without(nodes []client.Node, victim int) (others []client.Node, cut string) {
	list := ""
	for i, node := range nodes {
		if i != victim {
			others = append(others, node)
			list += "," + strconv.Itoa(i)
		}
	}
	return others, list[1:] + "|" + strconv.Itoa(victim)
}

func ofFour(t *testing.T, consensus string, blocks uint64, builders int) {
	need.Binaries(t, "plugins/ordo-consensus-"+consensus)
	start := time.Now()
	phase := func(what string) { t.Logf("%s after %s", what, time.Since(start).Round(100*time.Millisecond)) }
	n := launch(t, t.TempDir(), "--validators", "4", "--consensus", consensus, "--base-port", "0")
	n.awaits(t, "all are linked", func(s status) bool {
		for _, one := range s.Nodes {
			if one.Peers != 3 {
				return false
			}
		}
		return true
	})
	nodes := n.nodes(t)
	phase("linked")
	s := newSenders(8, chainID)
	for n.status(t).Height < blocks {
		s.round(t, nodes)
	}
	head := n.status(t).Height
	for _, node := range nodes {
		reaches(t, node, head)
		same(t, node, nodes[0])
	}
	if by := proposers(t, nodes[0], head); len(by) < builders {
		t.Errorf("blocks by proposer: %v", by)
	}

	phase("the first blocks")
	victim := 3
	if builders == 1 {
		victim = n.builder(t)
	}
	others, _ := without(nodes, victim)
	n.do(t, "kill", strconv.Itoa(victim))
	for range 3 {
		s.round(t, others)
	}
	phase("3 rounds without a node")
	n.do(t, "restart", strconv.Itoa(victim))
	for range 3 {
		s.round(t, nodes)
	}

	phase("3 rounds with it again")
	if builders == 1 {
		victim = n.builder(t)
	}
	others, cut := without(nodes, victim)
	n.do(t, "partition", cut)
	n.awaits(t, "a node is alone", func(s status) bool { return s.Nodes[victim].Peers == 0 })
	alone := n.status(t).Nodes[victim].Height
	for range 3 {
		s.round(t, others)
	}
	if now := n.status(t); now.Nodes[victim].Height > alone+1 || now.Height <= alone {
		t.Errorf("during the partition node %d is at block %d, it was at %d, the others are at %d", victim, now.Nodes[victim].Height, alone, now.Height)
	}
	phase("3 rounds in a partition")
	n.do(t, "heal")
	n.awaits(t, "the node is there again", func(s status) bool { return s.Nodes[victim].Height >= s.Height })
	s.round(t, nodes)

	phase("healed")
	n.do(t, "add", "--follow", "peers")
	n.do(t, "add", "--follow", "url")
	nodes = n.nodes(t)
	s.round(t, nodes)
	head = n.status(t).Height
	for _, node := range nodes {
		reaches(t, node, head)
		same(t, node, nodes[0])
	}
	phase("followers are there")
	for i, a := range s.accounts {
		for _, node := range nodes {
			if got, err := node.Nonce(within(t, patient), "latest", a.Address); err != nil || got != s.nonces[i] {
				t.Errorf("nonce %d of account %d at %s, %d transactions were acknowledged: %v", got, i, node.URL, s.nonces[i], err)
			}
		}
	}
}
