package devnet

import (
	"context"
	"time"

	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Clock moves the time of blocks against the clock of the machine, in seconds; *driver.Driver is one.
type Clock interface {
	TimeOffset() int64
	SetTimeOffset(seconds int64)
}

const (
	// maxAhead is how far, in seconds, one request may take the time of blocks: a hundred years beyond the clock and the newest
	// block, whichever is later. Block time never goes back, so milliseconds in place of seconds would spoil the chain.
	maxAhead = 100 * 31_557_600
	// freshSecond is how much of a second may be over when a block is to get that very second as its time.
	freshSecond = 500 * time.Millisecond
)

// setTime makes the given time that of the next block. Block time never goes back: for a time before the newest block's it goes
// on from there, and the answer tells the block's own.
func (d *Devnet) setTime(ctx context.Context, p *rpc.Params) (any, error) {
	to, generate := p.Number("time"), true
	if p.Has("generate_block") {
		generate = p.Bool("generate_block")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := d.reachable(to); err != nil {
		return nil, err
	}
	var answer struct {
		Timestamp uint64     `json:"block_timestamp"`
		Hash      *felt.Felt `json:"block_hash"` // of the block that was made
	}
	if generate {
		if err := beginSecond(ctx); err != nil {
			return nil, err
		}
	}
	d.moving.Lock()
	at := max(to, d.newestTime())
	d.Clock.SetTimeOffset(int64(at) - time.Now().Unix())
	d.moving.Unlock()
	if !generate {
		answer.Timestamp = at
		return answer, nil
	}
	hash, timestamp, err := d.blockSince(ctx, to)
	answer.Hash, answer.Timestamp = &hash, timestamp
	return answer, err
}

func (d *Devnet) increaseTime(ctx context.Context, p *rpc.Params) (any, error) {
	by := p.Number("time")
	if err := p.Err(); err != nil {
		return nil, err
	}
	to, err := d.advance(by)
	if err != nil {
		return nil, err
	}
	hash, _, err := d.blockSince(ctx, to)
	return struct {
		By   uint64    `json:"timestamp_increased_by"`
		Hash felt.Felt `json:"block_hash"`
	}{by, hash}, err
}

// advance moves block time on from where it is, and returns where it is then.
func (d *Devnet) advance(by uint64) (to uint64, err error) {
	d.moving.Lock()
	defer d.moving.Unlock()
	now, clock := time.Now().Unix(), d.Clock
	to = max(uint64(max(0, now+clock.TimeOffset())), d.newestTime())
	if by > maxAhead {
		return 0, tooFar(by, maxAhead)
	}
	to += by
	if err := d.reachable(to); err != nil {
		return 0, err
	}
	clock.SetTimeOffset(int64(to) - now)
	return to, nil
}

// reachable checks that a time is not too far ahead: a chain that was led to the end of time would stay there.
func (d *Devnet) reachable(to uint64) error {
	if most := max(uint64(time.Now().Unix()), d.newestTime()) + maxAhead; to > most {
		return tooFar(to, most)
	}
	return nil
}

func tooFar(n, most uint64) error {
	return rpc.InvalidParam("time", "%d is over a hundred years ahead, and block time never goes back: want seconds, at most %d", n, most)
}

// newestTime is the time of the newest block, be it open: no later one has a smaller time.
func (d *Devnet) newestTime() (t uint64) {
	view := d.Chain.Snapshot()
	if latest := view.Latest(); latest != nil {
		t = latest.Context.Timestamp
	}
	if blocks := view.Blocks(); len(blocks) > 0 {
		t = max(t, blocks[len(blocks)-1].Context.Timestamp)
	}
	return t
}

// blockSince closes blocks until one has at least this time: the one that is open keeps the time it was opened with.
func (d *Devnet) blockSince(ctx context.Context, at uint64) (hash felt.Felt, timestamp uint64, err error) {
	for range 2 {
		if hash, err = d.makeBlock(ctx); err != nil {
			return hash, 0, err
		}
		block, err := d.server.Block(ctx, rpc.BlockID{Hash: hash.Append(nil)})
		if err != nil {
			return hash, 0, err
		}
		if timestamp = block.Context().Timestamp; timestamp >= at {
			break
		}
	}
	return hash, timestamp, nil
}

// beginSecond waits for the next second when most of this one is over.
func beginSecond(ctx context.Context) error {
	over := time.Duration(time.Now().Nanosecond())
	if over < freshSecond {
		return nil
	}
	select {
	case <-time.After(time.Second - over):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
