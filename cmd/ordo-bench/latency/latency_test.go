package latency

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQuantiles compares with a sorted list: never below the true value, and above it by at most a bucket.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h Histogram
		list := make([]time.Duration, 1+r.IntN(500))
		for i := range list {
			list[i] = time.Duration(r.Int64N(1<<uint(r.IntN(40)+1))) * time.Microsecond
			h.Add(list[i])
		}
		slices.Sort(list)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
			rank := int(q * float64(len(list)))
			if float64(rank) < q*float64(len(list)) || rank == 0 {
				rank++
			}
			want, got := list[rank-1], h.Quantile(q)
			if got < want || float64(got) > float64(want)*(1+1.0/64)+float64(time.Microsecond) {
				t.Fatalf("quantile %v of %d: %v, want %v", q, len(list), got, want)
			}
		}
		if p := h.Percentiles(); p.Count != uint64(len(list)) || p.Max != float64(list[len(list)-1])/1e6 {
			t.Fatalf("%+v", p)
		}
	}
}

// TestBuckets: every number is in the bucket whose top is the first that is not below it.
func TestBuckets(t *testing.T) {
	numbers := []uint64{0, 1, 63, 64, 127, 128, 129, 255, 256, 1<<40 - 1, 1 << 40, 1<<63 - 1}
	for _, n := range numbers {
		b := bucket(n)
		if top(b) < n || b > 0 && top(b-1) >= n {
			t.Errorf("%d is in bucket %d, which ends at %d; the one before at %d", n, b, top(b), top(b-1))
		}
	}
	if b := bucket(1<<64 - 1); b >= buckets {
		t.Errorf("the largest number is in bucket %d of %d", b, buckets)
	}
}

func TestEmpty(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Percentiles() != (Percentiles{}) {
		t.Error("an empty histogram has percentiles")
	}
	h.Add(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Error("a negative duration is not zero")
	}
}
