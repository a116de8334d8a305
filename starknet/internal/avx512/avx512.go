// Package avx512 is arithmetic in Starknet's base field with AVX-512, eight numbers at a time. It holds what the hashes
// spend their time on and nothing else: the passes of an addition of many points with one shared inversion, and the
// permutation of Poseidon. There is one text of each, assembled once for every Kernel, which differ in how they multiply.
// Every caller has another path, for machines where Best is None.
//
// A number is five limbs of 52 bits, in Montgomery form to the base 2^260 (gnark-crypto's is 2^256), and need not be
// reduced: what a kernel writes is below 3p; what it reads may be as large as 17p, which is what Set and Gather write.
package avx512

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

// Lanes is how many numbers a Block holds.
const Lanes = 8

// Block is eight numbers: limb by limb, least significant first.
type Block [5][Lanes]uint64

// Points is eight points of a curve in affine coordinates.
type Points struct{ X, Y Block }

// Point is an affine point in gnark-crypto's form, one cache line: what tables are made of.
type Point struct{ X, Y fp.Element }

// Set puts e into a lane.
func (b *Block) Set(lane int, e *fp.Element) {
	for i, limb := range limbs(e) {
		b[i][lane] = limb
	}
}

// limbs cuts e up. 2^260 is 16 times 2^256, so the words move up by four bits, and the fifth limb has room for them.
func limbs(e *fp.Element) [5]uint64 {
	const mask = 1<<52 - 1
	return [5]uint64{
		e[0] << 4 & mask,
		(e[0]>>48 | e[1]<<16) & mask,
		(e[1]>>36 | e[2]<<28) & mask,
		(e[2]>>24 | e[3]<<40) & mask,
		e[3] >> 12,
	}
}

// Get reads a lane as a reduced element. What a kernel leaves is below 3p with limbs of 52 bits, so it fits in four words;
// Fold reduces any four words, and gnark-crypto's product of reduced elements is reduced. Elements compare by their words,
// so a result that is right modulo the prime only would be a wrong hash.
func (b *Block) Get(lane int) fp.Element {
	l0, l1, l2, l3, l4 := b[0][lane], b[1][lane], b[2][lane], b[3][lane], b[4][lane]
	var e fp.Element
	branchless.Fold(&e, l0|l1<<52, l1>>12|l2<<40, l2>>24|l3<<28, l3>>36|l4<<16)
	e.Mul(&e, &fp.Element{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 0x07ffffffffffffee}) // 2^252, which leaves 2^256 of 2^260
	return e
}

// AddAll adds q[i] to p[i]; no pair may be equal or opposite. dx and products are room for as many blocks.
func (k Kernel) AddAll(p, q []Points, dx, products []Block) {
	n := len(p)
	if n == 0 {
		return
	}
	_, _, _ = q[n-1], dx[n-1], products[n-1]
	var acc Block
	one := fp.One()
	for lane := range Lanes {
		acc.Set(lane, &one)
	}
	k.forward(&p[0], &q[0], &dx[0], &products[0], &acc, n)
	acc.invert()
	k.backward(&p[0], &q[0], &dx[0], &products[0], &acc, n)
}

// invert replaces every lane by its inverse; none is 0.
func (b *Block) invert() {
	var e, before [Lanes]fp.Element
	acc := fp.One()
	for i := range e {
		before[i], e[i] = acc, b.Get(i)
		acc.Mul(&acc, &e[i])
	}
	acc.Inverse(&acc)
	for i := Lanes - 1; i >= 0; i-- {
		before[i].Mul(&before[i], &acc)
		acc.Mul(&acc, &e[i])
		b.Set(i, &before[i])
	}
}

// Gather reads one table entry for every digit, eight digits to a block. The table must have an entry for every digit.
func Gather(dst []Points, table []Point, digits []uint16) {
	if len(dst) > 0 {
		_ = digits[len(dst)*Lanes-1]
		gather(&dst[0], &table[0], &digits[0], len(dst))
	}
}
