package badger

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Flags of TestRandomProofs. Another number and another seed make another run.
var (
	randomProofs     = flag.Int("proofs", 10000, "random proofs that TestRandomProofs makes")
	randomProofsSeed = flag.Uint64("proofs-seed", 1, "seed of TestRandomProofs")
)

// randomRequest asks for a few keys, half of which were never there. The contract of a slot is asked for too: its leaf has the
// root that the slot is proven against. It tells how many keys it proves.
func randomRequest(r *rand.Rand, height uint64) (q *ordov1.ProofsRequest, keys int) {
	key := func(first, n uint64) []byte {
		k := felt.FromUint64(first + r.Uint64N(n))
		if r.IntN(2) == 0 {
			k = felt.FromUint64(r.Uint64()).Mul(felt.MustHex("0x40000000000000000000000000000"))
		}
		return k.Append(nil)
	}
	q = &ordov1.ProofsRequest{Height: height}
	for range r.IntN(3) {
		q.Classes = append(q.Classes, key(5000, 8)...)
	}
	for range 1 + r.IntN(3) {
		address := key(1, 8)
		q.Contracts = append(q.Contracts, address...)
		if r.IntN(2) == 0 {
			slots := &ordov1.StorageKeys{Contract: address}
			for range 1 + r.IntN(4) {
				slots.Keys = append(slots.Keys, key(0, 20)...)
			}
			keys += len(slots.Keys) / feltSize
			q.Storage = append(q.Storage, slots)
		}
	}
	return q, keys + (len(q.Classes)+len(q.Contracts))/feltSize
}

// TestRandomProofs proves random keys, present and absent, at the tip and at blocks before it, on several random chains: every node
// hashes to the root in the header and every value is the model's.
func TestRandomProofs(t *testing.T) {
	t.Parallel()
	const chains, blocks, kept = 5, 24, 6
	each, tip := *randomProofs/chains/blocks, 0
	count, back := 0, 0
	for chain := range uint64(chains) {
		r := rand.New(rand.NewPCG(*randomProofsSeed, chain))
		c, s := newTestChain(*randomProofsSeed*1000+chain), open(t, t.TempDir(), proofOptions(kept))
		for n := range blocks {
			commitAll(t, s, c.grow())
			waitRoots(t, s, c)
			for want := count + each; count < want; {
				height := n - r.IntN(min(n+1, kept))
				q, keys := randomRequest(r, uint64(height))
				out, err := s.Proofs(t.Context(), q)
				if err == nil && out.OutOfReach {
					err = fmt.Errorf("out of reach: %d to %d", out.Lowest, out.Highest)
				}
				if err == nil {
					err = checkProofs(q, out, c.states[height], c.roots[height])
				}
				if err != nil {
					t.Fatalf("-proofs-seed %d, chain %d, block %d of %d: %v", *randomProofsSeed, chain, height, n, err)
				}
				count += keys
				if height == n {
					tip += keys
				} else {
					back += keys
				}
			}
		}
	}
	if count < *randomProofs-chains*blocks || tip == 0 || back == 0 {
		t.Errorf("%d proofs at the tip, %d before it", tip, back)
	}
	t.Logf("%d proofs at the tip, %d before it, seed %d", tip, back, *randomProofsSeed)
}

// TestKillUnderProofs kills the process while it proves and commits: what it answered before and answers after verifies, and every
// block that was answered for is there and can be proven.
func TestKillUnderProofs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	r := rand.New(rand.NewPCG(2, 2))
	dir, c := shortDir(t), newTestChain(83)
	for range 150 {
		c.grow()
	}
	answered := 0
	var proven atomic.Int64
	for round := range 6 {
		p := startProcess(t, shortDir(t), dir, 1, `{"memtable_mb": 8, "checkpoint_every": 2, "proof_blocks": 8, "sync_writes": false}`)
		client, read := ordov1.NewStorageClient(p.conn), ordov1.NewStorageReadClient(p.read)
		head, err := client.Head(t.Context(), &ordov1.HeadRequest{})
		if err != nil {
			t.Fatal(err)
		}
		stored := 0
		if !head.Empty {
			stored = int(head.Height) + 1
		}
		if stored < answered || stored > answered+1 {
			t.Fatalf("round %d: %d blocks are stored, %d were answered", round, stored, answered)
		}
		answered = stored
		ctx, cancel := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for i := range 3 {
			load.Go(func() { proven.Add(proveUntil(ctx, t, read, c, rand.New(rand.NewPCG(uint64(round), uint64(i))))) })
		}
		killed := time.AfterFunc(time.Duration(50+r.IntN(300))*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		for answered < len(c.blocks) {
			if err := send(t.Context(), client, c.blocks[answered]); err != nil {
				break
			}
			answered++
		}
		_ = p.cmd.Wait() // the timer ends it
		killed.Stop()
		cancel()
		load.Wait()
		p.kill()
	}
	if proven.Load() == 0 {
		t.Error("nothing was proven")
	}
	t.Logf("%d blocks and %d proofs over 6 kills", answered, proven.Load())
	s := open(t, dir, proofOptions(8))
	now, _, _ := s.snapshot()
	if now.blocks < uint64(answered) || now.blocks > uint64(answered+1) {
		t.Fatalf("%d blocks are stored, %d were answered", now.blocks, answered)
	}
	c = c.fork(min(len(c.blocks), int(now.blocks)+3), 1)
	commitAll(t, s, c.blocks[now.blocks:]...)
	waitRoots(t, s, c)
	for h := len(c.blocks) - 8; h < len(c.blocks); h++ {
		q := everything(c.states, uint64(h))
		if err := checkProofs(q, must(s.Proofs(t.Context(), q)), c.states[h], c.roots[h]); err != nil {
			t.Errorf("block %d: %v", h, err)
		}
	}
}

// proveUntil proves keys at the newest block with a root, and before it, until the process is gone.
func proveUntil(ctx context.Context, t *testing.T, read ordov1.StorageReadClient, c *testChain, r *rand.Rand) (proven int64) {
	height := uint64(0)
	for ctx.Err() == nil {
		q, keys := randomRequest(r, height)
		out, err := read.Proofs(ctx, q)
		switch {
		case err != nil:
			return proven
		case out.OutOfReach:
			height = out.Highest - min(out.Highest, r.Uint64N(4))
			continue
		}
		if err := checkProofs(q, out, c.states[height], c.roots[height]); err != nil {
			t.Errorf("block %d: %v", height, err)
			return proven
		}
		proven += int64(keys)
		height++
	}
	return proven
}
