package node

import (
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"
)

// lagOf is how many blocks are missing up to a head, when the next one is known.
func lagOf(head, next uint64) int64 {
	if head < next {
		return 0
	}
	return int64(min(head-next, math.MaxInt64-1)) + 1
}

// A node says how far it has come when it is more than farBehind blocks behind, at its first block, then after each progressPause.
const (
	farBehind     = 100
	progressPause = 10 * time.Second
)

// lagLog says in the log how far a node that is behind has come.
type lagLog struct {
	log hclog.Logger

	began, told time.Time // zero: it is not behind
	from, last  uint64    // next block when it began, and when the log was told
}

// at is told each block that was executed, by the number of the next one, and the head of the others as they say.
func (p *lagLog) at(now time.Time, next, head uint64) {
	behind := lagOf(head, next)
	switch {
	case p.began.IsZero() && behind > farBehind:
		p.began, p.told, p.from, p.last = now, now, next, next
		p.log.Info("catching up", "number", next, "head", head, "behind", behind)
	case p.began.IsZero():
	case behind == 0:
		p.log.Info("caught up", "number", next-1, "blocks", next-p.from, "took", now.Sub(p.began).Round(time.Millisecond))
		p.began = time.Time{}
	case now.Sub(p.told) >= progressPause:
		rate := float64(next-p.last) / now.Sub(p.told).Seconds()
		left := time.Duration(min(float64(behind)/max(rate, 0.001), 1e9)) * time.Second
		p.log.Info("catching up", "number", next, "head", head, "behind", behind, "rate", fmt.Sprintf("%.0f blocks/s", rate), "left", left)
		p.told, p.last = now, next
	}
}
