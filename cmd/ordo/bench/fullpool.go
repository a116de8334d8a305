package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"runtime"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ordo-sequencer/ordo/core/pool"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// measurePool takes the pool alone: what admission and a block cost while others wait.
func (r *GrowthReport) measurePool(ctx context.Context, o growthOptions, bar *progressbar.ProgressBar) error {
	for _, n := range o.pool {
		bar.Describe(fmt.Sprintf("pool of %d", n))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := filled{pool: pool.New(pool.Options{}), now: time.Unix(1, 0)}
		for range n {
			if err := f.admit(); err != nil {
				return err
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		// Each round puts as many in as it takes out.
		const block, rounds = 100, 300
		var admit, take time.Duration
		for range rounds {
			begun := time.Now()
			for range block {
				if err := f.admit(); err != nil {
					return err
				}
			}
			admit += time.Since(begun)
			begun = time.Now()
			if got := f.take(block); got != block {
				return fmt.Errorf("the pool gave %d transactions of %d", got, f.pool.Len())
			}
			take += time.Since(begun)
		}
		r.Pool = append(r.Pool, PoolSize{
			Waiting: n, Admit: micros(admit) / block / rounds, Take: micros(take) / block / rounds,
			MB: (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / (1 << 20),
		})
	}
	return nil
}

// filled is a pool that is fed by a thousand accounts in turn.
type filled struct {
	pool   *pool.Pool
	now    time.Time
	n      int
	height uint64
	nonces map[pool.Key]uint64
}

const feeders = 1000

func (f *filled) admit() error {
	sender := felt.FromUint64(uint64(1000 + f.n%feeders)).Append(nil)
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(f.n)))
	next := &ordov1.Transaction{
		Type: ordov1.TransactionType_INVOKE, Hash: hash[:], Sender: sender, Nonce: felt.FromUint64(uint64(f.n / feeders)).Append(nil),
		ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: 1e6, L2GasPrice: big.NewInt(1e9).FillBytes(make([]byte, 16))},
		Calldata:       make([]byte, calldataSize), Signature: make([]byte, 64),
	}
	if _, _, err := f.pool.Add(f.now, next, nil, f.nonces[pool.Key(sender)]); err != nil {
		return err
	}
	var scores []pool.Score
	for _, e := range f.pool.Unscored(1) {
		f.pool.View(e)
		scores = append(scores, pool.Score{Entry: e})
	}
	f.pool.Rank(scores, 1)
	f.n++
	return nil
}

// calldataSize is the length of a transfer's calldata.
const calldataSize = 7 * felt.Size

func (f *filled) take(n int) int {
	taken, _ := f.pool.Take(1, n)
	f.height++
	if f.nonces == nil {
		f.nonces = map[pool.Key]uint64{}
	}
	moved := map[pool.Key]uint64{}
	included := make([]pool.Key, len(taken))
	for i, e := range taken {
		included[i] = e.Hash
		moved[e.Sender] = e.Nonce + 1
		f.nonces[e.Sender] = e.Nonce + 1
	}
	f.pool.Settle(f.height, included, nil, moved)
	return len(taken)
}
