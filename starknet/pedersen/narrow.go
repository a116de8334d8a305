package pedersen

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

const (
	// below this many pairs the shared inversion does not pay and pairs are hashed one by one
	narrowMin = 16
	// more lanes than this gain nothing and leave the cache
	narrowMax = 512
)

// hashNarrow hashes batches on any machine. It multiplies number by number: gnark-crypto's multiplication of vectors
// answers wrong numbers for some operands (docs/adr/0006), and ours is faster than its loop of scalar ones.
func (t *tables) hashNarrow(dst, a, b []felt.Felt) {
	s := newNarrow(min(len(a), narrowMax))
	for len(a) > 0 {
		n := min(len(a), narrowMax)
		if rest := len(a) - n; rest > 0 && rest < narrowMin {
			n -= narrowMin // leave enough for a last batch
		}
		s.hash(t, dst[:n], a[:n], b[:n])
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}

// narrow is the working memory of one batch, one entry per lane.
type narrow struct {
	words  [2][][4]uint64
	x, y   []fp.Element // the sums, reduced
	dx, dy []fp.Element // differences, reduced; then the inverses of dx, below 2p
	sx     []fp.Element // sums of the abscissas, reduced
	tree   []fp.Element // products on the way to the shared inversion, below 2p
}

func newNarrow(n int) *narrow {
	v := make([]fp.Element, 5*n+treeRoom(n))
	cut := func(k int) []fp.Element { part := v[:k:k]; v = v[k:]; return part }
	return &narrow{
		words: [2][][4]uint64{make([][4]uint64, n), make([][4]uint64, n)},
		x:     cut(n), y: cut(n), dx: cut(n), dy: cut(n), sx: cut(n),
		tree: v,
	}
}

func (s *narrow) hash(t *tables, dst, a, b []felt.Felt) {
	for i := range a {
		s.words[0][i], s.words[1][i] = a[i].Words(), b[i].Words()
		p := &t.window[0][digit(&s.words[0][i], 0)]
		s.x[i], s.y[i] = p.X, p.Y
	}
	for w := 1; w < windows; w++ {
		words, table := s.words[w/perOperand][:len(a)], t.window[w]
		for i := range words {
			s.gather(i, &table[digit(&words[i], w%perOperand)])
		}
		s.add(len(a))
	}
	for i := range dst {
		dst[i] = felt.Felt(s.x[i])
	}
}

// gather takes p as what lane i adds next.
func (s *narrow) gather(i int, p *point) {
	branchless.Sub(&s.dx[i], &p.X, &s.x[i])
	branchless.Sub(&s.dy[i], &p.Y, &s.y[i])
	branchless.Add(&s.sx[i], &p.X, &s.x[i])
}

// add adds the gathered points to the first n lanes. What branchless.Mul makes is below 2p; it is reduced where a sum or a
// difference takes it.
func (s *narrow) add(n int) {
	invert(s.dx[:n], s.tree)
	for i := range n {
		var slope, x, y fp.Element
		branchless.Mul(&slope, &s.dy[i], &s.dx[i])
		branchless.Square(&x, &slope)
		branchless.Reduce(&x)
		branchless.Sub(&x, &x, &s.sx[i])
		branchless.Sub(&y, &s.x[i], &x)
		branchless.Mul(&y, &y, &slope)
		branchless.Reduce(&y)
		branchless.Sub(&s.y[i], &y, &s.y[i])
		s.x[i] = x
	}
}

// invert replaces every element by its inverse; none is 0. They may be up to 4p, and become less than 2p. It multiplies
// pairs together until one product is left, inverts that, and walks back; so nearly all of its 3n multiplications are
// independent of each other, and the processor overlaps them. tree needs treeRoom(len(v)) elements of room.
func invert(v, tree []fp.Element) {
	if len(v) == 1 {
		branchless.Reduce(&v[0])
		v[0].Inverse(&v[0])
		return
	}
	half := len(v) / 2
	rest := v[2*half:] // one element or none: it goes up alone
	up := tree[:half+len(rest)]
	lo, hi := v[:half], v[half:2*half]
	for i := range half {
		branchless.Mul(&up[i], &lo[i], &hi[i])
	}
	copy(up[half:], rest)
	invert(up, tree[len(up):])
	for i := range half {
		// 1/x = y/(xy) and 1/y = x/(xy)
		x := lo[i]
		branchless.Mul(&lo[i], &hi[i], &up[i])
		branchless.Mul(&hi[i], &x, &up[i])
	}
	copy(rest, up[half:])
}

// treeRoom is how many products invert keeps of n elements.
func treeRoom(n int) (room int) {
	for n > 1 {
		n = (n + 1) / 2
		room += n
	}
	return room
}
