package localnet

import (
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
// that stays so when one is killed, one is cut off, and followers come late.
func TestLocalnetOfFour(t *testing.T) {
	need.Binaries(t, "plugins/ordo-consensus-comet")
	start := time.Now()
	phase := func(what string) { t.Logf("%s after %s", what, time.Since(start).Round(100*time.Millisecond)) }
	n := launch(t, t.TempDir(), "--validators", "4", "--consensus", "comet", "--base-port", "0")
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
	for n.status(t).Height < 30 {
		s.round(t, nodes)
	}
	head := n.status(t).Height
	for _, node := range nodes {
		reaches(t, node, head)
		same(t, node, nodes[0])
	}
	if by := proposers(t, nodes[0], head); len(by) < 3 {
		t.Errorf("blocks by proposer: %v", by)
	}

	phase("30 blocks")
	n.do(t, "kill", "3")
	for range 3 {
		s.round(t, nodes[:3])
	}
	phase("3 rounds without node 3")
	n.do(t, "restart", "3")
	for range 3 {
		s.round(t, nodes)
	}

	phase("3 rounds with node 3 again")
	n.do(t, "partition", "0,1,2|3")
	n.awaits(t, "node 3 is alone", func(s status) bool { return s.Nodes[3].Peers == 0 })
	alone := n.status(t).Nodes[3].Height
	for range 3 {
		s.round(t, nodes[:3])
	}
	if now := n.status(t); now.Nodes[3].Height > alone+1 || now.Height <= alone {
		t.Errorf("during the partition node 3 is at block %d, it was at %d, the others are at %d", now.Nodes[3].Height, alone, now.Height)
	}
	phase("3 rounds in a partition")
	n.do(t, "heal")
	n.awaits(t, "node 3 is there again", func(s status) bool { return s.Nodes[3].Height >= s.Height })
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
