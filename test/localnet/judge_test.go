package localnet

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"crypto/sha256"

	"github.com/ordo-sequencer/ordo/client"
)

// judge holds the chains of the honest nodes against each other and against what was acknowledged.
type judge struct {
	checked uint64            // up to here the blocks were compared
	found   map[string]uint64 // transactions, with the number of their block
}

func newJudge() *judge { return &judge{found: make(map[string]uint64)} }

// safety compares the blocks from a height on at all nodes, up to the newest that all have, and returns its number.
func (j *judge) safety(ctx context.Context, from uint64, nodes []client.Node) (uint64, error) {
	newest := ^uint64(0)
	for _, n := range nodes {
		b, err := n.Block(ctx, "latest")
		if err != nil {
			return 0, fmt.Errorf("%s: %w", n.URL, err)
		}
		newest = min(newest, b.Number)
	}
	for number := from; number <= newest; number++ {
		first, err := nodes[0].Block(ctx, number)
		if err != nil {
			return 0, fmt.Errorf("%s, block %d: %w", nodes[0].URL, number, err)
		}
		for _, n := range nodes[1:] {
			b, err := n.Block(ctx, number)
			if err != nil {
				return 0, fmt.Errorf("%s, block %d: %w", n.URL, number, err)
			}
			if b.Hash != first.Hash || b.Root != first.Root || b.Parent != first.Parent || len(b.Transactions) != len(first.Transactions) {
				return 0, fmt.Errorf("block %d differs:\n%+v at %s\n%+v at %s", number, first, nodes[0].URL, b, n.URL)
			}
		}
		for _, hash := range first.Transactions {
			if in, twice := j.found[hash]; twice && in != number {
				return 0, fmt.Errorf("transaction %s is in block %d and in block %d", hash, in, number)
			}
			j.found[hash] = number
		}
	}
	j.checked = max(j.checked, newest)
	return newest, nil
}

// lost names acknowledged transactions that are in no block and that no node knows.
func (j *judge) lost(ctx context.Context, acked []string, nodes []client.Node) (lost []string) {
	for _, hash := range acked {
		if _, ok := j.found[hash]; ok {
			continue
		}
		known := false
		for _, n := range nodes {
			if s, err := n.Status(ctx, hash); err == nil && s.Finality != "" && s.Finality != "REJECTED" {
				known = true
				break
			}
		}
		if !known {
			lost = append(lost, hash)
		}
	}
	return lost
}

// pending waits until all acknowledged transactions are in blocks, and returns how many are not when the time is over.
func (j *judge) pending(ctx context.Context, acked []string, nodes []client.Node) (int, error) {
	for {
		if _, err := j.safety(ctx, j.checked, nodes); err != nil {
			return 0, err
		}
		missing := 0
		for _, hash := range acked {
			if _, ok := j.found[hash]; !ok {
				missing++
			}
		}
		if missing == 0 {
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return missing, nil
		case <-time.After(2 * pause):
		}
	}
}

// body is the SHA-256 of the body of a decided block.
func body(ctx context.Context, n client.Node, height uint64) (string, error) {
	var answer struct {
		Blocks []struct {
			Height uint64 `json:"height"`
			Body   string `json:"body"`
		} `json:"blocks"`
	}
	if err := n.Call(ctx, "ordo_decidedBlocks", map[string]any{"from": height}, &answer); err != nil {
		return "", err
	}
	if len(answer.Blocks) == 0 || answer.Blocks[0].Height != height {
		return "", fmt.Errorf("%s has no block %d", n.URL, height)
	}
	raw, err := base64.StdEncoding.DecodeString(answer.Blocks[0].Body)
	return fmt.Sprintf("%x", sha256.Sum256(raw)), err
}

// proposer is the address that a block paid, and the number of its transactions.
func proposer(ctx context.Context, n client.Node, number uint64) (address string, transactions int, err error) {
	var b struct {
		Sequencer    string   `json:"sequencer_address"`
		Transactions []string `json:"transactions"`
	}
	err = n.Call(ctx, "starknet_getBlockWithTxHashes", []any{map[string]any{"block_number": number}}, &b)
	return b.Sequencer, len(b.Transactions), err
}
