package rpc

import (
	"context"
	"time"

	"github.com/ordo-sequencer/ordo/core/rpc/input"
)

// Clock moves the time of blocks against the clock, in seconds; *node.Node is one.
type Clock interface {
	TimeOffset() int64
	SetTimeOffset(seconds int64)
}

const (
	// maxTime is the year 9999: no time that a client means lies beyond.
	maxTime = 253402300799
	// freshSecond is how much of a second may be over when a block is to get that very second as its time.
	freshSecond = 500 * time.Millisecond
)

// setTime makes the given time that of the next block. Block time never goes back, so the answer tells the block's own.
func (s *Server) setTime(ctx context.Context, p *input.Object) (any, error) {
	to, generate := timeParam(p), true
	if p.Has("generate_block") {
		v, err := input.Bool(p.Raw("generate_block"))
		p.Fail("generate_block", err)
		generate = v
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	var answer struct {
		Timestamp uint64   `json:"block_timestamp"`
		Hash      *hexFelt `json:"block_hash"` // of the block that was made
	}
	if generate {
		if err := beginSecond(ctx); err != nil {
			return nil, err
		}
	}
	s.Devnet.Clock.SetTimeOffset(int64(to) - time.Now().Unix())
	if !generate {
		answer.Timestamp = to
		if latest := s.Chain.View().Latest(); latest != nil {
			answer.Timestamp = max(to, latest.Context.Timestamp)
		}
		return answer, nil
	}
	hash, timestamp, err := s.blockSince(ctx, to)
	answer.Hash, answer.Timestamp = (*hexFelt)(&hash), timestamp
	return answer, err
}

func (s *Server) increaseTime(ctx context.Context, p *input.Object) (any, error) {
	by := timeParam(p)
	if err := p.Err(); err != nil {
		return nil, err
	}
	clock := s.Devnet.Clock
	offset := clock.TimeOffset() + int64(by)
	if time.Now().Unix()+offset > maxTime {
		return nil, input.In("time", input.Errorf("%d seconds more lead beyond the year 9999", by))
	}
	clock.SetTimeOffset(offset)
	hash, _, err := s.blockSince(ctx, uint64(max(0, time.Now().Unix()+offset)))
	return struct {
		By   uint64  `json:"timestamp_increased_by"`
		Hash hexFelt `json:"block_hash"`
	}{by, hash}, err
}

func timeParam(p *input.Object) uint64 {
	n := p.Number("time")
	if n > maxTime {
		p.Fail("time", input.Errorf("%d is beyond the year 9999: want seconds", n))
	}
	return n
}

// blockSince closes blocks until one has at least this time: the one that is open keeps the time it was opened with.
func (s *Server) blockSince(ctx context.Context, at uint64) (hash []byte, timestamp uint64, err error) {
	for range 2 {
		if hash, err = s.makeBlock(ctx); err != nil {
			return nil, 0, err
		}
		ref, err := s.resolve(ctx, s.Chain.View(), blockID{hash: hash})
		if err != nil {
			return nil, 0, err
		}
		if timestamp = ref.context().Timestamp; timestamp >= at {
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
