package host

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets whose width grows with the value: eight to each power of two, so a quantile is
// off by at most an eighth. Adding is one atomic increment.
type histogram struct {
	buckets [buckets]atomic.Uint64
}

const (
	subBits = 3
	buckets = (64 - subBits + 1) << subBits
)

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)))].Add(1)
}

// quantiles returns the upper bounds of the buckets in which the quantiles lie; zero when nothing was counted.
func (h *histogram) quantiles(qs ...float64) []time.Duration {
	var counts [buckets]uint64
	var total uint64
	for i := range h.buckets {
		counts[i] = h.buckets[i].Load()
		total += counts[i]
	}
	out := make([]time.Duration, len(qs))
	if total == 0 {
		return out
	}
	for i, q := range qs {
		rank := min(uint64(q*float64(total))+1, total)
		var sum uint64
		for b, n := range counts {
			if sum += n; sum >= rank {
				out[i] = time.Duration(upperBound(b))
				break
			}
		}
	}
	return out
}

func bucketOf(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift&(1<<subBits-1))
}

func upperBound(bucket int) uint64 {
	if bucket < 1<<subBits {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return (uint64(bucket&(1<<subBits-1)|1<<subBits)+1)<<shift - 1
}
