package load

import "time"

// timeline tells when the transactions of a block became visible as pre-confirmed. Asking for the hashes of the open block
// every few milliseconds would cost the node more than the load does; asking how many it has costs next to nothing. So
// samples of that number are kept, and when the block is there with its list, the first sample that counts a transaction
// gives its time.
type timeline struct {
	samples []sample
}

// sample is what the node said at one moment.
type sample struct {
	at     time.Time
	latest uint64 // number of the last accepted block
	count  int    // transactions in the open block
}

func (t *timeline) add(s sample) {
	if n := len(t.samples); n > 0 && t.samples[n-1].latest == s.latest && t.samples[n-1].count == s.count {
		return
	}
	t.samples = append(t.samples, s)
}

// settle returns the times of the n transactions of an accepted block; blocks come in their order. Those that no sample
// caught were there when the next block began, at the latest when this one was accepted.
func (t *timeline) settle(number uint64, n int, accepted time.Time) []time.Time {
	times := make([]time.Time, 0, n)
	before, used, whole := 0, 0, accepted
	for _, s := range t.samples {
		// A sample is of a later block when that one has fewer transactions than this one had already, or more than this one
		// ever gets, or when this one was accepted before.
		if s.latest >= number || s.count < before || s.count > n {
			if s.at.Before(whole) {
				whole = s.at
			}
			break
		}
		before, used = s.count, used+1
		for len(times) < s.count {
			times = append(times, s.at)
		}
	}
	t.samples = append(t.samples[:0], t.samples[used:]...)
	for len(times) < n {
		times = append(times, whole)
	}
	return times
}
