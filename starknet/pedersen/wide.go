package pedersen

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

const (
	// below this many pairs it is faster to hash them one by one
	wideMin = 3
	// pairs in one batch: more would leave the second-level cache, fewer would share an inversion
	wideMax = 256

	// The windows are summed in groups side by side, each group of each pair in a lane of its own, and the groups together
	// at the end. So a batch needs 9 inversions instead of 41, and short batches pay too.
	groups = 6
	steps  = windows / groups
)

// wide is the working memory of one batch: lanes go group by group, in each group pair by pair.
type wide struct {
	digits       [windows][wideMax]uint16
	sums, points [groups * wideMax / avx512.Lanes]avx512.Points
	dx, products [groups * wideMax / avx512.Lanes]avx512.Block
}

// hashWide hashes batches with AVX-512.
func (t *tables) hashWide(k avx512.Kernel, dst, a, b []felt.Felt) {
	w := t.room.Get().(*wide)
	defer t.room.Put(w)
	for len(a) > 0 {
		n := min(len(a), wideMax)
		if rest := len(a) - n; rest > 0 && rest < wideMax/2 {
			n = len(a) / 2 // two equal batches rather than a long and a short one
		}
		w.hash(k, t, dst[:n], a[:n], b[:n])
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}

func (s *wide) hash(k avx512.Kernel, t *tables, dst, a, b []felt.Felt) {
	for i := range a {
		for o, words := range [2][4]uint64{a[i].Words(), b[i].Words()} {
			for w := range perOperand {
				s.digits[o*perOperand+w][i] = digit(&words, w)
			}
		}
	}
	// Lanes that are left over hash whatever digits were there before: any digit has a point.
	blocks := (len(a) + avx512.Lanes - 1) / avx512.Lanes
	gather := func(to []avx512.Points, step int) {
		for g := range groups {
			w := g*steps + step
			avx512.Gather(to[g*blocks:(g+1)*blocks], t.window[w], s.digits[w][:])
		}
	}
	gather(s.sums[:], 0)
	for step := 1; step < steps; step++ {
		gather(s.points[:], step)
		s.add(k, s.sums[:groups*blocks], s.points[:])
	}
	for g := groups; g > 1; {
		half := g / 2
		s.add(k, s.sums[:half*blocks], s.sums[(g-half)*blocks:])
		g -= half
	}
	for i := range dst {
		dst[i] = felt.Felt(s.sums[i/avx512.Lanes].X.Get(i % avx512.Lanes))
	}
}

func (s *wide) add(k avx512.Kernel, p, q []avx512.Points) {
	k.AddAll(p, q[:len(p)], s.dx[:], s.products[:])
}
