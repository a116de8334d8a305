// Package branchless adds and subtracts in Starknet's base field without conditional jumps. The sum of two random numbers
// is above the prime half of the time, so a jump on that is mispredicted half of the time, which costs more than the sum.
package branchless

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// The prime is 2^251 + 17*2^192 + 1: its words are 1, 0, 0 and Top.
const Top = 1<<59 | 17

// Add sets z to x+y; both are below the prime.
func Add(z, x, y *fp.Element) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, _ := bits.Add64(x[3], y[3], c)
	t0, c = bits.Sub64(t0, 1, 0)
	t1, c = bits.Sub64(t1, 0, c)
	t2, c = bits.Sub64(t2, 0, c)
	t3, c = bits.Sub64(t3, Top, c)
	restore(z, t0, t1, t2, t3, -c)
}

// Sub sets z to x-y; both are below the prime.
func Sub(z, x, y *fp.Element) {
	t0, c := bits.Sub64(x[0], y[0], 0)
	t1, c := bits.Sub64(x[1], y[1], c)
	t2, c := bits.Sub64(x[2], y[2], c)
	t3, c := bits.Sub64(x[3], y[3], c)
	restore(z, t0, t1, t2, t3, -c)
}

// Fold sets z to the number below the prime that the words stand for, modulo the prime.
//
// 2^251 is -(17*2^192+1) modulo the prime, so the bits from 251 on, q, are cut off and subtracted at two places. What is
// left of the number is below 2^251, so below the prime; q*(17*2^192+1) is below 2^202, so one prime is enough where the
// difference is negative. The result is reduced whatever the four words are.
func Fold(z *fp.Element, t0, t1, t2, t3 uint64) {
	q := t3 >> 59
	t3 &= 1<<59 - 1
	t0, c := bits.Sub64(t0, q, 0)
	t1, c = bits.Sub64(t1, 0, c)
	t2, c = bits.Sub64(t2, 0, c)
	t3, c = bits.Sub64(t3, 17*q, c)
	restore(z, t0, t1, t2, t3, -c)
}

// Reduce brings a number of any size below the prime: what Mul and Square make, for example.
func Reduce(z *fp.Element) { Fold(z, z[0], z[1], z[2], z[3]) }

// restore adds the prime where mask is all ones.
func restore(z *fp.Element, t0, t1, t2, t3, mask uint64) {
	var c uint64
	z[0], c = bits.Add64(t0, mask&1, 0)
	z[1], c = bits.Add64(t1, 0, c)
	z[2], c = bits.Add64(t2, 0, c)
	z[3], _ = bits.Add64(t3, mask&Top, c)
}
