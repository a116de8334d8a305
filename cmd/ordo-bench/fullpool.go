package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"runtime"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const (
	feeders    = 1000 // accounts that fill a pool in turn
	poolBlock  = 100  // transactions of a round
	poolRounds = 400
)

// measurePool takes the pool alone: what admission and a block cost while others wait. All pools are filled first, then
// each round goes through all of them, so that what else the machine does weighs on all alike; what counts is the time of
// the thread, not of the clock. A transaction is made before its admission is measured: a node gets it from its decoder.
func (r *GrowthReport) measurePool(ctx context.Context, o growthOptions, bar *progressbar.ProgressBar) error {
	var pools []*filled
	for _, n := range o.pool {
		for _, accounts := range []int{feeders, n} {
			bar.Describe(fmt.Sprintf("pool of %d: filling", n))
			f, err := fillPool(ctx, n, accounts)
			if err != nil {
				return err
			}
			pools = append(pools, f)
		}
	}
	bar.Describe("pool: rounds")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for round := range poolRounds {
		_ = bar.Set(round)
		for _, f := range pools {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := f.round(); err != nil {
				return err
			}
		}
	}
	const all = poolBlock * poolRounds
	for i, n := range o.pool {
		few, own := pools[2*i], pools[2*i+1]
		r.Pool = append(r.Pool, PoolSize{
			Waiting: n, MB: few.mb,
			Admit: micros(few.admission) / all, Take: micros(few.taking) / all,
			AdmitOwn: micros(own.admission) / all, TakeOwn: micros(own.taking) / all,
		})
	}
	return nil
}

// filled is a pool that is fed by some accounts in turn.
type filled struct {
	pool     *mempool.Pool
	accounts int
	now      time.Time
	n        int
	height   uint64
	nonces   map[mempool.Key]uint64 // of accounts, at the tip
	mb       float64                // that its transactions take

	admission, taking time.Duration
}

func fillPool(ctx context.Context, n, accounts int) (*filled, error) {
	f := &filled{pool: mempool.New(mempool.Options{}), accounts: accounts, now: time.Unix(1, 0), nonces: map[mempool.Key]uint64{}}
	before := heapInUse()
	for range n {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := f.admit(f.next(), 0); err != nil {
			return nil, err
		}
	}
	f.mb = heapInUse() - before
	return f, nil
}

func heapInUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// round puts as many in as it takes out.
func (f *filled) round() error {
	var fresh [poolBlock]*ordov1.Transaction
	var nonces [poolBlock]uint64 // of the senders: the verdict of execution tells them
	for i := range fresh {
		fresh[i] = f.next()
		nonces[i] = f.nonces[mempool.Key(fresh[i].Sender)]
	}
	begun := threadTime()
	for i, tx := range fresh {
		if err := f.admit(tx, nonces[i]); err != nil {
			return err
		}
	}
	admitted := threadTime()
	moved := f.take(poolBlock)
	f.admission, f.taking = f.admission+admitted-begun, f.taking+threadTime()-admitted
	if left := f.n - int(f.height)*poolBlock; f.pool.Len() != left {
		return fmt.Errorf("the pool holds %d transactions, %d were not taken", f.pool.Len(), left)
	}
	maps.Copy(f.nonces, moved)
	return nil
}

// next makes the transaction that comes next.
func (f *filled) next() *ordov1.Transaction {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(f.n)))
	tx := &ordov1.Transaction{
		Type: ordov1.TransactionType_INVOKE, Hash: hash[:], Sender: felt.FromUint64(uint64(1000 + f.n%f.accounts)).Append(nil),
		Nonce:          felt.FromUint64(uint64(f.n / f.accounts)).Append(nil),
		ResourceBounds: &ordov1.ResourceBounds{L2GasAmount: 1e6, L2GasPrice: big.NewInt(1e9).FillBytes(make([]byte, 16))},
		Calldata:       make([]byte, calldataSize), Signature: make([]byte, 64),
	}
	f.n++
	return tx
}

// calldataSize is the length of a transfer's calldata.
const calldataSize = 7 * felt.Size

// admit is what the core does for a transaction that comes in.
func (f *filled) admit(tx *ordov1.Transaction, nonce uint64) error {
	if _, _, err := f.pool.Add(f.now, tx, nil, nonce); err != nil {
		return err
	}
	var scores []mempool.Score
	for _, e := range f.pool.Unscored(1) {
		f.pool.View(e)
		scores = append(scores, mempool.Score{Entry: e})
	}
	f.pool.Rank(scores, 1)
	return nil
}

// take puts a block of n into the chain, and tells the nonces that it moves.
func (f *filled) take(n int) map[mempool.Key]uint64 {
	taken, _ := f.pool.Take(1, n)
	f.height++
	moved := make(map[mempool.Key]uint64, len(taken))
	included := make([]mempool.Key, len(taken))
	for i, e := range taken {
		included[i] = e.Hash
		moved[e.Sender] = e.Nonce + 1
	}
	f.pool.CommitBlock(f.height, included, nil, moved)
	return moved
}
