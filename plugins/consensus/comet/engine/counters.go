package engine

import "sync/atomic"

// counters are what an operator sees of an engine.
type counters struct {
	height, peers, walBytes, bells, rejoins, reports, rejected, empty atomic.Uint64

	newest atomic.Pointer[newRound]
}

// newRound is the newest round that CometBFT has told of.
type newRound struct {
	height int64
	round  uint32
}

// roundOf is the round of a height as far as CometBFT has told: its calls do not say it. It is for people only.
func (c *counters) roundOf(height int64) uint32 {
	if r := c.newest.Load(); r != nil && r.height == height {
		return r.round
	}
	return 0
}

// values are the counters by name.
func (c *counters) values() map[string]uint64 {
	var round uint64
	if r := c.newest.Load(); r != nil {
		round = uint64(r.round)
	}
	return map[string]uint64{
		"height":             c.height.Load(), // of CometBFT: it counts blocks without payload too
		"round":              round,
		"peers":              c.peers.Load(),
		"wal.bytes":          c.walBytes.Load(),
		"bells":              c.bells.Load(),
		"rejoins":            c.rejoins.Load(),
		"reports":            c.reports.Load(),
		"proposals.rejected": c.rejected.Load(),
		"blocks.empty":       c.empty.Load(),
	}
}
