package devnet

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// clockwork is a node whose blocks have the time of the clock and the offset.
type clockwork struct{ offset atomic.Int64 }

func (c *clockwork) TimeOffset() int64           { return c.offset.Load() }
func (c *clockwork) SetTimeOffset(seconds int64) { c.offset.Store(seconds) }

// TestTimeIsSet: the block has the time asked for, also when one with an older time was open; without a block nothing is claimed.
func TestTimeIsSet(t *testing.T) {
	const future = 3_384_617_820
	for _, c := range []struct {
		name, method, params string
		open                 uint64
		want                 string
		blocks               int
	}{
		{"a block", "devnet_setTime", `{"time":3384617820}`, 0, `{"block_timestamp":3384617820,"block_hash":"0xb10d0"}`, 1},
		{"an open block first", "devnet_setTime", `[3384617820]`, 5, `{"block_timestamp":3384617820,"block_hash":"0xb10d1"}`, 2},
		{"no block", "devnet_setTime", `{"time":3384617820,"generate_block":false}`, 0, `{"block_timestamp":3384617820,"block_hash":null}`, 0},
		{"no way back", "devnet_setTime", `{"time":7,"generate_block":false}`, 0, `{"block_timestamp":1700000004,"block_hash":null}`, 0},
		{"more", "devnet_increaseTime", `{"time":100}`, 0, `{"timestamp_increased_by":100,"block_hash":"0xb10d0"}`, 1},
		{"milliseconds", "devnet_setTime", `{"time":1700000000000}`, 0, `1700000000000 is over a hundred years ahead`, 0},
		{"the end of time", "devnet_setTime", `{"time":253402300799}`, 0, `want seconds, at most `, 0},
		{"an overflow", "devnet_setTime", `{"time":18446744073709551615}`, 0, `want seconds, at most `, 0},
		{"an age", "devnet_increaseTime", `{"time":253402300799}`, 0, `is over a hundred years ahead`, 0},
		{"an overflow more", "devnet_increaseTime", `{"time":18446744073709551615}`, 0, `is over a hundred years ahead`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, clock, made := clockWorld(t, c.open)
			if got := call(t, w, c.method, c.params); !strings.Contains(got, c.want) {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if *made != c.blocks {
				t.Errorf("%d blocks were made, want %d", *made, c.blocks)
			}
			if at := time.Now().Unix() + clock.TimeOffset(); c.want[0] == '{' && c.method == "devnet_setTime" && c.params[9] == '3' && (at < future || at > future+5) {
				t.Errorf("the clock of blocks is at %d", at)
			}
		})
	}
}

// TestTimeGoesOn: whatever time is set, and wherever the chain's newest block is, block time runs from there on. It stood still
// until the clock had caught up, which after a far time was for ever.
func TestTimeGoesOn(t *testing.T) {
	const newest = 253_402_300_799 // as a chain can hold that was made before times were bounded
	w, clock, _ := clockWorld(t, 0)
	open := w.chain.Snapshot().Open()
	open.Context.Timestamp = newest
	runs := func(from int64) {
		t.Helper()
		if at := time.Now().Unix() + clock.TimeOffset(); at < from {
			t.Errorf("the clock of blocks is at %d, before %d: it stands still", at, from)
		}
	}
	if got := call(t, w, "devnet_setTime", `{"time":1700000000,"generate_block":false}`); got != `{"block_timestamp":253402300799,"block_hash":null}` {
		t.Error(got)
	}
	runs(newest)
	clock.SetTimeOffset(0) // as after a restart
	if got := call(t, w, "devnet_increaseTime", `[60]`); !strings.Contains(got, `"timestamp_increased_by":60`) {
		t.Error(got)
	}
	runs(newest + 60)
	if got := call(t, w, "devnet_setTime", `{"time":253402400000,"generate_block":false}`); !strings.Contains(got, `"block_timestamp":253402400000`) {
		t.Error(got)
	}
	runs(newest + 99_201)
}

// clockWorld makes blocks with the time of the clock; the first has the time it was opened with, when that is not 0.
func clockWorld(t *testing.T, open uint64) (*world, *clockwork, *int) {
	w, made := newWorld(t), new(int)
	w.options.CreateBlock = func(context.Context) (felt.Felt, error) {
		n := uint64(0x10 + *made)
		header := &ordov1.BlockHeader{Context: blockContext(n), Hash: fe(0xb10c0 + n)}
		header.Context.Timestamp = uint64(time.Now().Unix() + w.clock.TimeOffset())
		if open > 0 && *made == 0 {
			header.Context.Timestamp = open
		}
		w.storage.Append(&ordov1.Block{Header: header})
		*made++
		return felt.FromBytes(header.Hash)
	}
	w.serve(AtOnce(w.chain))
	return w, w.clock, made
}
