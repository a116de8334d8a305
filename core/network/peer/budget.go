package peer

import (
	"fmt"
	"time"
)

// Cost is a kind of cost that a peer causes.
type Cost uint8

// The costs, and the settings that bound them.
const (
	Messages Cost = iota // control frames
	Bytes                // that were not asked for
	Useless              // frames without effect
	Requests             // for bodies and blocks
	Invalid              // transactions that no honest node passes on
	costs
)

var costNames = [costs]struct{ what, key string }{
	{"control messages", "peer_messages"}, {"bytes", "peer_bytes"}, {"frames without effect", "peer_useless"},
	{"requests", "peer_requests"}, {"invalid transactions", "peer_invalid"},
}

// Rates are how much of each cost a second may have.
type Rates [costs]float64

// SpentError says which budget a peer has gone beyond.
type SpentError struct {
	What string
	Key  string
	Rate float64
}

func (e *SpentError) Error() string {
	return fmt.Sprintf("too many %s (network.%s, %g a second)", e.What, e.Key, e.Rate)
}

// Budget is what a peer may cost: of each kind a rate, some seconds of which are there in advance. It is not safe for concurrent use.
type Budget struct {
	rates Rates
	burst float64 // seconds
	left  [costs]float64
	last  time.Time
}

// NewBudget is a full budget.
func NewBudget(rates Rates, burst time.Duration, now time.Time) *Budget {
	b := &Budget{rates: rates, burst: burst.Seconds(), last: now}
	for c, rate := range rates {
		b.left[c] = rate * b.burst
	}
	return b
}

// Charge takes n of a cost. The error is of type *SpentError: the peer has gone beyond its budget.
func (b *Budget) Charge(c Cost, n int, now time.Time) error {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.last = now
		for c, rate := range b.rates {
			b.left[c] = min(b.left[c]+rate*passed, rate*b.burst)
		}
	}
	b.left[c] -= float64(n)
	if b.left[c] < 0 {
		return &SpentError{costNames[c].what, costNames[c].key, b.rates[c]}
	}
	return nil
}
