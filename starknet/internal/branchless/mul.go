package branchless

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// Mul sets z to x*y/2^256, a product in Montgomery form. x and y may be up to 4p; z is below 2p, not reduced to the last.
// Because the words of the prime are 1, 0, 0 and Top, four products of words bring it down; the general way takes twenty.
func Mul(z, x, y *fp.Element) {
	var t0, t1, t2, t3, t4, t5, t6, t7, c, h0, h1, h2, h3, l0, l1, l2, l3 uint64

	h0, t0 = bits.Mul64(x[0], y[0])
	h1, l1 = bits.Mul64(x[0], y[1])
	h2, l2 = bits.Mul64(x[0], y[2])
	h3, l3 = bits.Mul64(x[0], y[3])
	t1, c = bits.Add64(h0, l1, 0)
	t2, c = bits.Add64(h1, l2, c)
	t3, c = bits.Add64(h2, l3, c)
	t4, _ = bits.Add64(h3, 0, c)

	h0, l0 = bits.Mul64(x[1], y[0])
	h1, l1 = bits.Mul64(x[1], y[1])
	h2, l2 = bits.Mul64(x[1], y[2])
	h3, l3 = bits.Mul64(x[1], y[3])
	t1, c = bits.Add64(t1, l0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, l2, c)
	t4, c = bits.Add64(t4, l3, c)
	t5 = c
	t2, c = bits.Add64(t2, h0, 0)
	t3, c = bits.Add64(t3, h1, c)
	t4, c = bits.Add64(t4, h2, c)
	t5, _ = bits.Add64(t5, h3, c)

	h0, l0 = bits.Mul64(x[2], y[0])
	h1, l1 = bits.Mul64(x[2], y[1])
	h2, l2 = bits.Mul64(x[2], y[2])
	h3, l3 = bits.Mul64(x[2], y[3])
	t2, c = bits.Add64(t2, l0, 0)
	t3, c = bits.Add64(t3, l1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, l3, c)
	t6 = c
	t3, c = bits.Add64(t3, h0, 0)
	t4, c = bits.Add64(t4, h1, c)
	t5, c = bits.Add64(t5, h2, c)
	t6, _ = bits.Add64(t6, h3, c)

	h0, l0 = bits.Mul64(x[3], y[0])
	h1, l1 = bits.Mul64(x[3], y[1])
	h2, l2 = bits.Mul64(x[3], y[2])
	h3, l3 = bits.Mul64(x[3], y[3])
	t3, c = bits.Add64(t3, l0, 0)
	t4, c = bits.Add64(t4, l1, c)
	t5, c = bits.Add64(t5, l2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7 = c
	t4, c = bits.Add64(t4, h0, 0)
	t5, c = bits.Add64(t5, h1, c)
	t6, c = bits.Add64(t6, h2, c)
	t7, _ = bits.Add64(t7, h3, c)

	reduce(z, t0, t1, t2, t3, t4, t5, t6, t7)
}

// Square is Mul of a number by itself.
func Square(z, x *fp.Element) {
	var t0, t1, t2, t3, t4, t5, t6, t7, c, h, l uint64

	// Products of different words, then twice their sum.
	t2, t1 = bits.Mul64(x[0], x[1])
	t4, t3 = bits.Mul64(x[0], x[3])
	t6, t5 = bits.Mul64(x[2], x[3])
	h, l = bits.Mul64(x[0], x[2])
	t2, c = bits.Add64(t2, l, 0)
	t3, c = bits.Add64(t3, h, c)
	h, l = bits.Mul64(x[1], x[3])
	t4, c = bits.Add64(t4, l, c)
	t5, c = bits.Add64(t5, h, c)
	t6, _ = bits.Add64(t6, 0, c)
	h, l = bits.Mul64(x[1], x[2])
	t3, c = bits.Add64(t3, l, 0)
	t4, c = bits.Add64(t4, h, c)
	t5, c = bits.Add64(t5, 0, c)
	t6, _ = bits.Add64(t6, 0, c)

	t7 = t6 >> 63
	t6 = t6<<1 | t5>>63
	t5 = t5<<1 | t4>>63
	t4 = t4<<1 | t3>>63
	t3 = t3<<1 | t2>>63
	t2 = t2<<1 | t1>>63
	t1 = t1 << 1

	h, t0 = bits.Mul64(x[0], x[0])
	t1, c = bits.Add64(t1, h, 0)
	h, l = bits.Mul64(x[1], x[1])
	t2, c = bits.Add64(t2, l, c)
	t3, c = bits.Add64(t3, h, c)
	h, l = bits.Mul64(x[2], x[2])
	t4, c = bits.Add64(t4, l, c)
	t5, c = bits.Add64(t5, h, c)
	h, l = bits.Mul64(x[3], x[3])
	t6, c = bits.Add64(t6, l, c)
	t7, _ = bits.Add64(t7, h, c)

	reduce(z, t0, t1, t2, t3, t4, t5, t6, t7)
}

// reduce divides by 2^256: it adds the multiple m of the prime that makes the lower half zero. The prime is 1 modulo 2^192,
// so the lower three words of m are those of -t.
//
// No product stands between two links of a chain of carries: it would overwrite the flags, and the compiler would start the
// chain again from its beginning.
func reduce(z *fp.Element, t0, t1, t2, t3, t4, t5, t6, t7 uint64) {
	low := t0 | t1 | t2
	carry := (low | -low) >> 63 // of t+m into t3
	m0, c := bits.Sub64(0, t0, 0)
	m1, c := bits.Sub64(0, t1, c)
	m2, _ := bits.Sub64(0, t2, c)
	h0, l0 := bits.Mul64(m0, Top)
	h1, l1 := bits.Mul64(m1, Top)
	h2, l2 := bits.Mul64(m2, Top)
	m3 := -(t3 + l0 + carry)
	h3, l3 := bits.Mul64(m3, Top)

	t3, c = bits.Add64(t3, l0, carry)
	t4, c = bits.Add64(t4, h0, c)
	t5, c = bits.Add64(t5, h1, c)
	t6, c = bits.Add64(t6, h2, c)
	t7 += h3 + c
	_, c = bits.Add64(t3, m3, 0)
	z[0], c = bits.Add64(t4, l1, c)
	z[1], c = bits.Add64(t5, l2, c)
	z[2], c = bits.Add64(t6, l3, c)
	z[3] = t7 + c
}
