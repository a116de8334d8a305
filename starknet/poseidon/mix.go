package poseidon

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

// mix multiplies the lanes by ((3,1,1),(1,-1,1),(1,1,-2)) and adds k to the last: with t the sum of the lanes, they become
// t+2a, t-2b and t-3c+k. The lanes may be up to twice the prime and come out reduced; k is reduced. Words hold up to 31
// times the prime, so nothing is reduced before the end; multiples of the prime are added to keep differences positive.
func mix(a, b, c, k *fp.Element) {
	const four, six = 4 * branchless.Top, 6 * branchless.Top // top words of 4p and 6p; the low words are 4 and 6
	var carry uint64
	t0, carry := bits.Add64(a[0], b[0], 0)
	t1, carry := bits.Add64(a[1], b[1], carry)
	t2, carry := bits.Add64(a[2], b[2], carry)
	t3, _ := bits.Add64(a[3], b[3], carry)
	t0, carry = bits.Add64(t0, c[0], 0)
	t1, carry = bits.Add64(t1, c[1], carry)
	t2, carry = bits.Add64(t2, c[2], carry)
	t3, _ = bits.Add64(t3, c[3], carry)

	// c: t + 6p + k - 3c, below 13p
	d0, carry := bits.Add64(t0, k[0], 0)
	d1, carry := bits.Add64(t1, k[1], carry)
	d2, carry := bits.Add64(t2, k[2], carry)
	d3, _ := bits.Add64(t3, k[3], carry)
	d0, carry = bits.Add64(d0, 6, 0)
	d1, carry = bits.Add64(d1, 0, carry)
	d2, carry = bits.Add64(d2, 0, carry)
	d3, _ = bits.Add64(d3, six, carry)
	e0, e1, e2, e3 := double(c)
	e0, carry = bits.Add64(e0, c[0], 0)
	e1, carry = bits.Add64(e1, c[1], carry)
	e2, carry = bits.Add64(e2, c[2], carry)
	e3, _ = bits.Add64(e3, c[3], carry)
	d0, carry = bits.Sub64(d0, e0, 0)
	d1, carry = bits.Sub64(d1, e1, carry)
	d2, carry = bits.Sub64(d2, e2, carry)
	d3, _ = bits.Sub64(d3, e3, carry)
	branchless.Fold(c, d0, d1, d2, d3)

	// b: t + 4p - 2b, below 10p
	d0, carry = bits.Add64(t0, 4, 0)
	d1, carry = bits.Add64(t1, 0, carry)
	d2, carry = bits.Add64(t2, 0, carry)
	d3, _ = bits.Add64(t3, four, carry)
	e0, e1, e2, e3 = double(b)
	d0, carry = bits.Sub64(d0, e0, 0)
	d1, carry = bits.Sub64(d1, e1, carry)
	d2, carry = bits.Sub64(d2, e2, carry)
	d3, _ = bits.Sub64(d3, e3, carry)
	branchless.Fold(b, d0, d1, d2, d3)

	// a: t + 2a, below 10p
	e0, e1, e2, e3 = double(a)
	d0, carry = bits.Add64(t0, e0, 0)
	d1, carry = bits.Add64(t1, e1, carry)
	d2, carry = bits.Add64(t2, e2, carry)
	d3, _ = bits.Add64(t3, e3, carry)
	branchless.Fold(a, d0, d1, d2, d3)
}

// mixPartial is mix in the partial rounds, where a and b are not cubed and b needs not be known: it holds w, half of a+b, in
// its place. With v = 2a+c the lanes become v+2w and 2(w-c)+k, and the next w is v. c may be up to 2p, a up to 3p, and it
// is left so; w and k are reduced.
func mixPartial(a, w, c, k *fp.Element) {
	const four = 4 * branchless.Top
	e0, e1, e2, e3 := double(a)
	v0, carry := bits.Add64(e0, c[0], 0)
	v1, carry := bits.Add64(e1, c[1], carry)
	v2, carry := bits.Add64(e2, c[2], carry)
	v3, _ := bits.Add64(e3, c[3], carry) // below 8p

	// 2w + 4p + k - 2c, below 7p
	f0, f1, f2, f3 := double(w)
	d0, carry := bits.Add64(f0, k[0], 0)
	d1, carry := bits.Add64(f1, k[1], carry)
	d2, carry := bits.Add64(f2, k[2], carry)
	d3, _ := bits.Add64(f3, k[3], carry)
	d0, carry = bits.Add64(d0, 4, 0)
	d1, carry = bits.Add64(d1, 0, carry)
	d2, carry = bits.Add64(d2, 0, carry)
	d3, _ = bits.Add64(d3, four, carry)
	e0, e1, e2, e3 = double(c)
	d0, carry = bits.Sub64(d0, e0, 0)
	d1, carry = bits.Sub64(d1, e1, carry)
	d2, carry = bits.Sub64(d2, e2, carry)
	d3, _ = bits.Sub64(d3, e3, carry)
	branchless.Fold(c, d0, d1, d2, d3)

	branchless.Fold(w, v0, v1, v2, v3)
	a[0], carry = bits.Add64(f0, w[0], 0)
	a[1], carry = bits.Add64(f1, w[1], carry)
	a[2], carry = bits.Add64(f2, w[2], carry)
	a[3], _ = bits.Add64(f3, w[3], carry)
}

// unmix finds b = 2w-a again, and reduces a.
func unmix(a, b, w *fp.Element) {
	branchless.Fold(a, a[0], a[1], a[2], a[3])
	branchless.Add(b, w, w)
	branchless.Sub(b, b, a)
}

// half halves a reduced number.
func half(x *fp.Element) {
	odd := x[0] & 1
	t0, c := bits.Add64(x[0], odd, 0)
	t1, c := bits.Add64(x[1], 0, c)
	t2, c := bits.Add64(x[2], 0, c)
	t3, _ := bits.Add64(x[3], -odd&branchless.Top, c)
	x[0], x[1], x[2], x[3] = t0>>1|t1<<63, t1>>1|t2<<63, t2>>1|t3<<63, t3>>1
}

func double(x *fp.Element) (e0, e1, e2, e3 uint64) {
	return x[0] << 1, x[1]<<1 | x[0]>>63, x[2]<<1 | x[1]>>63, x[3]<<1 | x[2]>>63
}
