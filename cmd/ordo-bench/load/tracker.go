package load

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// tracker follows the chain, for all transactions at once: it asks for one small thing every few milliseconds, and for each
// accepted block once.
type tracker struct {
	node  client.Node
	looks *conn // of its own, for the samples
	every time.Duration
	freed func(*account) // a transaction of the account was accepted

	mu       sync.Mutex
	flights  map[felt.Felt]*flight
	line     timeline
	begun    time.Time
	answered latency.Histogram
	visible  latency.Histogram // until PRE_CONFIRMED
	accepted latency.Histogram
	last     time.Time
	lastHash string
	blocks   int
	seconds  []int // accepted in each second of the run
}

// launch is called before a transaction is sent: a block may bring it before the answer.
func (t *tracker) launch(list []flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		t.flights[list[i].hash] = &list[i]
	}
}

// recall takes back what the node rejected.
func (t *tracker) recall(list []flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		delete(t.flights, list[i].hash)
	}
}

func (t *tracker) flying() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flights)
}

// progress is how many were accepted, and when the last was.
func (t *tracker) progress() (n int, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.accepted.Count()), t.last
}

// follow samples until the context ends. height is the last block that is of no interest.
func (t *tracker) follow(ctx context.Context, height uint64) error {
	type seen struct {
		number uint64
		at     time.Time
	}
	blocks := make(chan seen, 1<<16)
	failed := make(chan error, 1)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer close(blocks)
	fetching.Go(func() {
		for b := range blocks {
			if err := t.fetch(ctx, b.number, b.at); err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
		}
	})
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	misses := 0
	for {
		latest, count, err := t.look(ctx)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if misses++; misses == 20 {
				return fmt.Errorf("the node does not answer any more: %w", err)
			}
		default:
			misses = 0
			t.mu.Lock()
			t.line.add(sample{now, latest, count})
			t.mu.Unlock()
			for ; height < latest; height++ {
				blocks <- seen{height + 1, now}
			}
		}
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var lookRequest = []byte(`[{"jsonrpc":"2.0","id":0,"method":"starknet_blockNumber","params":[]},` +
	`{"jsonrpc":"2.0","id":1,"method":"starknet_getBlockTransactionCount","params":["pre_confirmed"]}]`)

// look asks for the height and for how much of the next block there is. A node that has no pre-confirmed block has none of it.
func (t *tracker) look(ctx context.Context) (latest uint64, count int, err error) {
	raw, err := t.looks.post(ctx, lookRequest)
	if err != nil {
		return 0, 0, err
	}
	var list []struct {
		ID     int           `json:"id"`
		Result uint64        `json:"result"`
		Error  *client.Error `json:"error"`
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != 2 {
		return 0, 0, notUnderstood(raw)
	}
	for _, a := range list {
		switch {
		case a.ID == 1:
			count = int(a.Result)
		case a.Error != nil:
			return 0, 0, a.Error
		default:
			latest = a.Result
		}
	}
	return latest, count, nil
}

func (t *tracker) fetch(ctx context.Context, number uint64, at time.Time) error {
	var block struct {
		Transactions []felt.Felt `json:"transactions"`
	}
	var err error
	for try := range 5 {
		if err = t.node.Call(ctx, "starknet_getBlockWithTxHashes", map[string]any{"block_id": map[string]any{"block_number": number}}, &block); err == nil {
			break
		}
		select {
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		return fmt.Errorf("block %d: %w", number, err)
	}
	for _, a := range t.arrive(number, block.Transactions, at) {
		t.freed(a)
	}
	return nil
}

// arrive drops the transactions of an accepted block from what is on its way, and returns whose they were.
func (t *tracker) arrive(number uint64, hashes []felt.Felt, at time.Time) []*account {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := t.line.settle(number, len(hashes), at)
	var list []*account
	for i, hash := range hashes {
		f := t.flights[hash]
		if f == nil {
			continue
		}
		delete(t.flights, hash)
		t.visible.Add(times[i].Sub(f.due))
		t.accepted.Add(at.Sub(f.due))
		t.last, t.lastHash = at, hash.Hex()
		second := int(at.Sub(t.begun) / time.Second)
		for second >= len(t.seconds) {
			t.seconds = append(t.seconds, 0)
		}
		t.seconds[second]++
		list = append(list, f.account)
	}
	if len(list) > 0 {
		t.blocks++
	}
	return list
}
