package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// window is the time from a strike until everything was at work again.
type window struct {
	from, to time.Time
	single   bool // one process, and nothing else was recovering
	text     string
}

// evidence is what a round leaves behind for the checks.
type evidence struct {
	entries []entry
	first   []client.Block // as they were first seen, by number
	blocks  []client.Block // as the node tells them at the end, by number
	sights  map[uint64]*sight
	windows []window
	network bool // nodes may take what another rejects because it is behind, and two transactions with one nonce, of which one comes into a block
}

// verdict is what the checks count and find wrong.
type verdict struct {
	included        int
	without         map[string]int // acknowledged and in no block, by reason
	orders          int            // blocks whose pre-confirmed order was compared
	ordersOverDeath int            // of those, with the end of one process in their time
	ordersOverMany  int            // and with the ends of several
	rebuilt         int            // that were seen to become shorter and grow again
	ordersNotKept   int            // over the ends of several, where nothing is promised
	wrong           []string
}

func (v *verdict) fail(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// check holds the chain against the promises.
func check(e evidence) *verdict {
	v := &verdict{without: map[string]int{}}
	v.chain(e)
	v.transactions(e)
	v.sequence(e)
	return v
}

// chain: numbers and parents fit, and what was accepted once is as it was.
func (v *verdict) chain(e evidence) {
	for i, b := range e.blocks {
		if b.Number != uint64(i) {
			v.fail("block %d has the number %d", i, b.Number)
		}
		if i > 0 && b.Parent != e.blocks[i-1].Hash {
			v.fail("block %d names the parent %s, block %d is %s", i, b.Parent, i-1, e.blocks[i-1].Hash)
		}
	}
	if len(e.blocks) < len(e.first) {
		v.fail("%d blocks were accepted, %d are there", len(e.first), len(e.blocks))
	}
	for i, b := range e.first[:min(len(e.first), len(e.blocks))] {
		now := e.blocks[i]
		if b.Hash != now.Hash || b.Root != now.Root || !slices.Equal(b.Transactions, now.Transactions) {
			v.fail("block %d was %s with root %s and %d transactions, now it is %s with root %s and %d", i, b.Hash, b.Root, len(b.Transactions), now.Hash, now.Root, len(now.Transactions))
		}
	}
}

// transactions: none lost, none twice, none that no sender signed, nonces in order.
func (v *verdict) transactions(e evidence) {
	known := make(map[string]*entry, len(e.entries))
	for i := range e.entries {
		known[e.entries[i].hash] = &e.entries[i]
	}
	at := make(map[string]uint64)
	next := make(map[int]uint64)
	for _, b := range e.blocks {
		for _, hash := range b.Transactions {
			if before, twice := at[hash]; twice {
				v.fail("%s is in block %d and in block %d", hash, before, b.Number)
				continue
			}
			at[hash] = b.Number
			t := known[hash]
			if t == nil {
				v.fail("block %d has %s, which no sender signed", b.Number, hash)
				continue
			}
			if t.nonce != next[t.sender] {
				v.fail("block %d has nonce %d of sender %d (%s), the next one is %d", b.Number, t.nonce, t.sender, t.kind, next[t.sender])
			}
			next[t.sender] = t.nonce + 1
		}
	}
	for _, t := range e.entries {
		height, in := at[t.hash]
		if in {
			v.included++
		}
		if t.refused != "" && !e.network { // all that is sent is good
			v.fail("rejected at %s%s: %s (sender %d, nonce %d, %s): %s", t.refusedAt.Format("15:04:05.000"), whichStrikes(e.windows, t.refusedAt), t.hash, t.sender, t.nonce, t.kind, t.refused)
		}
		switch {
		case t.acked.IsZero(): // nothing was promised
		case t.replaced != "" && in && !e.network:
			v.fail("%s (sender %d, nonce %d) is in block %d, though %s was acknowledged in its place", t.hash, t.sender, t.nonce, height, t.replaced)
		case in && t.dropped != "":
			v.fail("%s is in block %d, though its status said: %s", t.hash, height, t.dropped)
		case in:
		case t.replaced != "":
			v.without["replaced by one that pays more"]++
		case t.dropped != "":
			v.without[t.dropped]++
		default:
			v.fail("lost: %s (sender %d, nonce %d, %s), acknowledged at %s, is in no block and has no status", t.hash, t.sender, t.nonce, t.kind, t.acked.Format("15:04:05.000"))
		}
	}
}

// sequence: what was shown as pre-confirmed is in the block of that number, in that order.
func (v *verdict) sequence(e evidence) {
	for number, s := range e.sights {
		if number >= uint64(len(e.blocks)) {
			v.fail("block %d was shown as pre-confirmed with %d transactions and never accepted", number, len(s.order))
			continue
		}
		single, many := hits(e.windows, s)
		v.orders++
		switch {
		case many:
			v.ordersOverMany++
		case single:
			v.ordersOverDeath++
		}
		if s.again > 0 {
			v.rebuilt++
		}
		wrong := s.conflict
		final := e.blocks[number].Transactions
		if at := firstDifference(s.order, final); wrong == "" && at < len(s.order) {
			instead := "nothing"
			if at < len(final) {
				instead = final[at]
			}
			wrong = fmt.Sprintf("its place %d had %s, and has %s (%d shown, %d accepted)", at, s.order[at], instead, len(s.order), len(final))
		}
		switch {
		case wrong == "":
		case many:
			v.ordersNotKept++
		default:
			v.fail("block %d, pre-confirmed from %s to %s%s: %s", number, s.first.Format("15:04:05.000"), s.last.Format("15:04:05.000"), during(e.windows, s), wrong)
		}
	}
}

// hits says whether one process ended while the block was to be seen, or several did at the same time.
func hits(windows []window, s *sight) (single, many bool) {
	for _, w := range windows {
		if overlaps(w, s) {
			single = single || w.single
			many = many || !w.single
		}
	}
	return single, many
}

// overlaps: the strike fell, or was not over, between the first sight of the block and its acceptance.
func overlaps(w window, s *sight) bool {
	return w.to.After(s.first) && (s.accepted.IsZero() || w.from.Before(s.accepted))
}

// whichStrikes names those that had fallen shortly before.
func whichStrikes(windows []window, when time.Time) (text string) {
	for _, w := range windows {
		if w.from.Before(when) && w.to.Add(2*time.Second).After(when) {
			text += fmt.Sprintf(" [%s at %s, up at %s]", w.text, w.from.Format("15:04:05.000"), w.to.Format("15:04:05.000"))
		}
	}
	return text
}

func during(windows []window, s *sight) (text string) {
	for _, w := range windows {
		if overlaps(w, s) {
			text += fmt.Sprintf(" [%s at %s]", w.text, w.from.Format("15:04:05.000"))
		}
	}
	return text
}
