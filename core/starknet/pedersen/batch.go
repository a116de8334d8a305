package pedersen

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/branchless"
)

const (
	// below this many pairs the shared inversion does not pay and pairs are hashed one by one
	batchMin = 16
	// more lanes than this gain nothing and leave the cache
	batchMax = 512
	// vector multiplications work on this many elements at a time; a remainder is slow, so lanes are filled up to it
	block = 8
)

// HashPairs sets dst[i] to the hash of (a[i], b[i]). dst may be a or b. It panics when the lengths differ.
// It runs on one core; callers with more cores split the slices.
func HashPairs(dst, a, b []felt.Felt) {
	if len(a) != len(b) || len(dst) != len(a) {
		panic("pedersen: HashPairs: slices of different lengths")
	}
	if len(a) < batchMin {
		for i := range a {
			dst[i] = Hash(a[i], b[i])
		}
		return
	}
	s := newScratch(min(len(a), batchMax))
	for len(a) > 0 {
		n := min(len(a), batchMax)
		if rest := len(a) - n; rest > 0 && rest < batchMin {
			n -= batchMin // leave enough for a last batch
		}
		s.hash(dst[:n], a[:n], b[:n])
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}

// scratch is the working memory of one batch: one entry per lane in acc and words, one per active lane elsewhere.
type scratch struct {
	t      *tables
	words  [2][][4]uint64
	x, y   []fp.Element // the sums
	active []int32      // lanes with a non-empty window in this step
	dx, dy fp.Vector    // differences, later slopes
	sx     fp.Vector    // sums of the abscissas
	tree   fp.Vector    // products on the way to the shared inversion
}

func newScratch(n int) *scratch {
	n = (n + block - 1) / block * block
	v := make(fp.Vector, 7*n+4*block)
	cut := func(k int) fp.Vector { part := v[:k:k]; v = v[k:]; return part }
	return &scratch{
		t:      load(),
		words:  [2][][4]uint64{make([][4]uint64, n), make([][4]uint64, n)},
		x:      cut(n),
		y:      cut(n),
		active: make([]int32, 0, n),
		dx:     cut(n), dy: cut(n), sx: cut(n),
		tree: v,
	}
}

func (s *scratch) hash(dst, a, b []felt.Felt) {
	for i := range a {
		s.words[0][i], s.words[1][i] = a[i].Words(), b[i].Words()
		p := &s.t.a.top[topDigit(&s.words[0][i])]
		s.x[i], s.y[i] = p.x, p.y
	}
	for o, op := range [2]*operand{&s.t.a, &s.t.b} {
		words := s.words[o][:len(a)]
		for w := range windows {
			table := &op.low[w]
			s.active = s.active[:0]
			for i := range words {
				if d := lowDigit(&words[i], w); d != 0 {
					s.gather(i, &table[d])
				}
			}
			s.add()
		}
	}
	s.active = s.active[:0]
	for i := range a {
		if d := topDigit(&s.words[1][i]); d != 0 {
			s.gather(i, &s.t.b.top[d])
		}
	}
	s.add()
	for i := range dst {
		dst[i] = felt.Felt(s.x[i])
	}
}

// gather makes lane i active in this step, to add p.
func (s *scratch) gather(i int, p *point) {
	k := len(s.active)
	s.active = append(s.active, int32(i))
	branchless.Sub(&s.dx[k], &p.x, &s.x[i])
	branchless.Sub(&s.dy[k], &p.y, &s.y[i])
	branchless.Add(&s.sx[k], &p.x, &s.x[i])
}

// add adds the gathered point to every active lane.
func (s *scratch) add() {
	n := len(s.active)
	if n == 0 {
		return
	}
	full := (n + block - 1) / block * block
	dx, dy, sx := s.dx[:full], s.dy[:full], s.sx[:full]
	for i := n; i < full; i++ {
		dx[i].SetOne() // anything that has an inverse
	}
	invert(dx, s.tree)
	dy.Mul(dy, dx) // slope
	dx.Mul(dy, dy)
	for k, i := range s.active {
		x := &s.x[i]
		branchless.Sub(&dx[k], &dx[k], &sx[k]) // the new abscissa
		branchless.Sub(&sx[k], x, &dx[k])
		*x = dx[k]
	}
	dy.Mul(dy, sx)
	for k, i := range s.active {
		branchless.Sub(&s.y[i], &dy[k], &s.y[i])
	}
}

// invert replaces every element (none is 0) by its inverse; there is a multiple of block of them. It multiplies halves
// together until one block of products is left, inverts their product, and walks back; so nearly all of its 3n
// multiplications are wide vector operations. tree needs len(v)+2*block elements of room.
func invert(v, tree fp.Vector) {
	if len(v) == block {
		invertFew(v)
		return
	}
	half := len(v) / block / 2 * block
	rest := v[2*half:] // a block or nothing: it goes up alone
	up := tree[:half+len(rest)]
	part := up[:half]
	part.Mul(v[:half], v[half:2*half])
	copy(up[half:], rest)
	invert(up, tree[len(up):])
	// 1/x = y/(xy) and 1/y = x/(xy): swap the halves, then multiply both by the inverses of the products.
	for i := range half {
		v[i], v[half+i] = v[half+i], v[i]
	}
	lo, hi := v[:half], v[half:2*half]
	lo.Mul(lo, part)
	hi.Mul(hi, part)
	copy(rest, up[half:])
}

func invertFew(v fp.Vector) {
	var before [block]fp.Element
	acc := fp.One()
	for i := range v {
		before[i] = acc
		acc.Mul(&acc, &v[i])
	}
	acc.Inverse(&acc)
	for i := len(v) - 1; i >= 0; i-- {
		before[i].Mul(&before[i], &acc)
		acc.Mul(&acc, &v[i])
		v[i] = before[i]
	}
}
