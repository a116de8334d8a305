// Package latency counts durations in bounded memory and computes their percentiles.
package latency

import (
	"math/bits"
	"sync"
	"time"
)

const (
	unit    = time.Microsecond
	fine    = 6 // bits that are kept of a duration: buckets are at most 1/64 wide
	buckets = (65 - fine) << fine
)

// Histogram has buckets that grow with what they hold: exact to 1 us below 128 us, to 1.6 % above. The zero value is ready;
// safe for concurrent use.
type Histogram struct {
	mu     sync.Mutex
	counts []uint32
	n      uint64
	sum    time.Duration
	max    time.Duration
}

// Add counts one duration; negative ones count as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = make([]uint32, buckets)
	}
	h.counts[bucket(uint64(d/unit))]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

func bucket(n uint64) int {
	shift := max(0, bits.Len64(n)-fine-1)
	return shift<<fine + int(n>>shift)
}

// top is the largest number in a bucket.
func top(bucket int) uint64 {
	if bucket < 2<<fine {
		return uint64(bucket)
	}
	shift := bucket>>fine - 1
	return (uint64(bucket-shift<<fine)+1)<<shift - 1
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// Quantile is the duration that the share q of all does not exceed; 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quantile(q)
}

func (h *Histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.n)), uint64(0)
	if float64(rank) < q*float64(h.n) || rank == 0 {
		rank++
	}
	for i, c := range h.counts {
		if seen += uint64(c); seen >= rank {
			return min(time.Duration(top(i))*unit, h.max)
		}
	}
	return h.max
}

// Percentiles are in milliseconds.
type Percentiles struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// Percentiles of all that was added.
func (h *Histogram) Percentiles() Percentiles {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == 0 {
		return Percentiles{}
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Percentiles{
		Count: h.n, Mean: ms(h.sum / time.Duration(h.n)), P50: ms(h.quantile(0.5)), P90: ms(h.quantile(0.9)),
		P99: ms(h.quantile(0.99)), P999: ms(h.quantile(0.999)), Max: ms(h.max),
	}
}
