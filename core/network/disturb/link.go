package disturb

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/identity"
)

// Link is the way of the messages from one node to another. It is not safe for concurrent use.
type Link struct {
	rules []liveRule
	last  time.Duration // when the newest message that keeps its order arrives
}

type liveRule struct {
	Rule
	random *rand.Rand
}

// NewLink is the way to a receiver; quiet when no rule is for it.
func NewLink(p Plan, from, to identity.ID) *Link {
	l := &Link{}
	for _, r := range p.Rules {
		if len(r.To) > 0 && !slices.Contains(r.To, to) {
			continue
		}
		h := fnv.New64a()
		h.Write(from[:])
		h.Write(to[:])
		l.rules = append(l.rules, liveRule{r, rand.New(rand.NewPCG(r.Seed, h.Sum64()))})
	}
	return l
}

// Quiet says whether no rule is for this link.
func (l *Link) Quiet() bool { return len(l.rules) == 0 }

// Delivery is a message that arrives, so long after a moment that the caller knows.
type Delivery struct {
	At      time.Duration
	Message []byte
}

// defaultReorder is how much later a message comes at most that may come out of order, by a rule without a delay.
const defaultReorder = 50 * time.Millisecond

// Send says what becomes of a message that is sent at a time: nothing, or one delivery, or more. Each rule draws the same numbers for each
// message, whatever the message meets, so that the next ones do not depend on it.
func (l *Link) Send(now time.Duration, message []byte) (all []Delivery) {
	copies, lost, ordered := 1, false, true
	delay, behind := time.Duration(0), time.Duration(0)
	for i := range l.rules {
		r := &l.rules[i]
		drop, twice, corrupt, wait, again, bit := r.random.Float64(), r.random.Float64(), r.random.Float64(), r.random.Float64(), r.random.Float64(), r.random.Uint64()
		span := r.Delay
		if r.Reorder && span == (Span{}) {
			span.High = defaultReorder
		}
		lost = lost || drop < r.Drop
		delay += span.at(wait)
		ordered = ordered && !r.Reorder
		if twice < r.Duplicate {
			copies++
			behind = max(behind, span.at(again))
		}
		if corrupt < r.Corrupt && len(message) > 0 {
			message = bytes.Clone(message)
			bit %= uint64(len(message)) * 8
			message[bit/8] ^= 1 << (bit % 8)
		}
	}
	if lost {
		return nil
	}
	at := now + delay
	if ordered {
		at = max(at, l.last)
		l.last = at
	}
	all = append(all, Delivery{at, message})
	for range copies - 1 {
		all = append(all, Delivery{at + behind, message})
	}
	return all
}

func (s Span) at(part float64) time.Duration {
	return s.Low + time.Duration(part*float64(s.High-s.Low))
}
