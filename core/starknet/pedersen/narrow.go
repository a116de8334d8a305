package pedersen

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/branchless"
)

const (
	// below this many pairs the shared inversion does not pay and pairs are hashed one by one
	narrowMin = 16
	// more lanes than this gain nothing and leave the cache
	narrowMax = 512
	// vector multiplications work on this many elements at a time; a remainder is slow, so lanes are filled up to it
	block = 8
)

// hashNarrow hashes batches on any machine, in gnark-crypto's field.
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
	x, y   []fp.Element // the sums
	dx, dy fp.Vector    // differences, later slopes
	sx     fp.Vector    // sums of the abscissas
	tree   fp.Vector    // products on the way to the shared inversion
}

func newNarrow(n int) *narrow {
	full := (n + block - 1) / block * block
	v := make(fp.Vector, 7*full+4*block)
	cut := func(k int) fp.Vector { part := v[:k:k]; v = v[k:]; return part }
	return &narrow{
		words: [2][][4]uint64{make([][4]uint64, n), make([][4]uint64, n)},
		x:     cut(full), y: cut(full), dx: cut(full), dy: cut(full), sx: cut(full),
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

// add adds the gathered points to the first n lanes.
func (s *narrow) add(n int) {
	full := (n + block - 1) / block * block
	dx, dy, sx := s.dx[:full], s.dy[:full], s.sx[:full]
	for i := n; i < full; i++ {
		dx[i].SetOne() // anything that has an inverse
	}
	invert(dx, s.tree)
	dy.Mul(dy, dx) // slope
	dx.Mul(dy, dy)
	for i := range n {
		x := &s.x[i]
		branchless.Sub(&dx[i], &dx[i], &sx[i]) // the new abscissa
		branchless.Sub(&sx[i], x, &dx[i])
		*x = dx[i]
	}
	dy.Mul(dy, sx)
	for i := range n {
		branchless.Sub(&s.y[i], &dy[i], &s.y[i])
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
