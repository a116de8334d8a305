package poseidon

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/branchless"
)

// mix multiplies the lanes by ((3,1,1),(1,-1,1),(1,1,-2)) and adds k to the last: with t the sum of the lanes, they become
// t+2a, t-2b and t-3c+k. Words hold up to 31 times the prime, so nothing is reduced before the end; multiples of the prime
// are added to keep differences positive.
func mix(a, b, c, k *fp.Element) {
	const two, three = 2 * branchless.Top, 3 * branchless.Top // top words of 2p and 3p; the low words are 2 and 3
	var carry uint64
	t0, carry := bits.Add64(a[0], b[0], 0)
	t1, carry := bits.Add64(a[1], b[1], carry)
	t2, carry := bits.Add64(a[2], b[2], carry)
	t3, _ := bits.Add64(a[3], b[3], carry)
	t0, carry = bits.Add64(t0, c[0], 0)
	t1, carry = bits.Add64(t1, c[1], carry)
	t2, carry = bits.Add64(t2, c[2], carry)
	t3, _ = bits.Add64(t3, c[3], carry)

	// c: t + 3p + k - 3c, below 7p
	d0, carry := bits.Add64(t0, k[0], 0)
	d1, carry := bits.Add64(t1, k[1], carry)
	d2, carry := bits.Add64(t2, k[2], carry)
	d3, _ := bits.Add64(t3, k[3], carry)
	d0, carry = bits.Add64(d0, 3, 0)
	d1, carry = bits.Add64(d1, 0, carry)
	d2, carry = bits.Add64(d2, 0, carry)
	d3, _ = bits.Add64(d3, three, carry)
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

	// b: t + 2p - 2b, below 5p
	d0, carry = bits.Add64(t0, 2, 0)
	d1, carry = bits.Add64(t1, 0, carry)
	d2, carry = bits.Add64(t2, 0, carry)
	d3, _ = bits.Add64(t3, two, carry)
	e0, e1, e2, e3 = double(b)
	d0, carry = bits.Sub64(d0, e0, 0)
	d1, carry = bits.Sub64(d1, e1, carry)
	d2, carry = bits.Sub64(d2, e2, carry)
	d3, _ = bits.Sub64(d3, e3, carry)
	branchless.Fold(b, d0, d1, d2, d3)

	// a: t + 2a, below 5p
	e0, e1, e2, e3 = double(a)
	d0, carry = bits.Add64(t0, e0, 0)
	d1, carry = bits.Add64(t1, e1, carry)
	d2, carry = bits.Add64(t2, e2, carry)
	d3, _ = bits.Add64(t3, e3, carry)
	branchless.Fold(a, d0, d1, d2, d3)
}

func double(x *fp.Element) (e0, e1, e2, e3 uint64) {
	return x[0] << 1, x[1]<<1 | x[0]>>63, x[2]<<1 | x[1]>>63, x[3]<<1 | x[2]>>63
}
