// Package boundary lists the operands on which arithmetic in Starknet's base field goes wrong first, for tests: a fault of
// carries, borrows or the last reduction shows on one of 2^50 random numbers, and on one of these at once.
//
// Numbers are words as they lie in memory, not taken out of Montgomery form: it is the words that code adds and multiplies.
package boundary

import (
	"math/big"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// limbs are the places where representations cut a number: at words of 64 bits, at limbs of 52 bits, at limbs of 52 bits of
// a number moved up by four bits (package avx512), and at the two bits of the prime.
var limbs = []int{48, 51, 52, 53, 59, 63, 64, 65, 100, 103, 104, 105, 127, 128, 129, 152, 155, 156, 157, 191, 192, 193, 196, 197, 204, 207, 208, 209, 248, 250, 251}

// Numbers returns integers in [0, limit), sorted: the ends, what is around multiples of the prime and of its two parts,
// powers of two with their neighbours at the places where representations cut, runs of ones and zeros between those
// places, and the limbs of the prime.
func Numbers(limit *big.Int) []*big.Int {
	p := fp.Modulus()
	var all []*big.Int
	around := func(n *big.Int, by int64) {
		for d := -by; d <= by; d++ {
			all = append(all, new(big.Int).Add(n, big.NewInt(d)))
		}
	}
	power := func(bit int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bit)) }
	around(new(big.Int), 3)
	around(limit, 3)
	around(new(big.Int).Rsh(p, 1), 1)
	around(new(big.Int).Lsh(big.NewInt(17), 192), 1)
	for n := new(big.Int).Set(p); n.Cmp(limit) <= 0; n.Add(n, p) {
		around(n, 2)
		around(new(big.Int).Sub(n, new(big.Int).Lsh(big.NewInt(17), 192)), 1)
	}
	for i, bit := range limbs {
		around(power(bit), 1)
		around(new(big.Int).Sub(p, power(bit)), 1)
		for _, low := range limbs[:i] { // ones between two places, and their mirror
			if bit-low >= 40 {
				ones := new(big.Int).Sub(power(bit), power(low))
				all = append(all, ones, new(big.Int).Sub(p, ones))
			}
		}
	}
	for n := power(252); n.Cmp(limit) < 0; n = new(big.Int).Lsh(n, 1) {
		around(n, 1)
	}
	all = slices.DeleteFunc(all, func(n *big.Int) bool { return n.Sign() < 0 || n.Cmp(limit) >= 0 })
	slices.SortFunc(all, (*big.Int).Cmp)
	return slices.CompactFunc(all, func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
}

// Few is a part of Numbers, at most n of them and both ends, for what is too slow to try with all.
func Few(limit *big.Int, n int) []*big.Int {
	all := Numbers(limit)
	if len(all) <= n {
		return all
	}
	few := make([]*big.Int, n)
	for i := range few {
		few[i] = all[i*(len(all)-1)/(n-1)]
	}
	return few
}

// Elements are Numbers below the prime as words of elements, and their square roots where they have one, so that squares
// are at the boundaries too.
func Elements() []fp.Element {
	var all []fp.Element
	for _, n := range Numbers(fp.Modulus()) {
		e := Words(n)
		all = append(all, e)
		if root := new(fp.Element).Sqrt(&e); root != nil {
			all = append(all, *root)
		}
	}
	return all
}

// Products calls f with operands x, y whose Montgomery product is at a boundary: for each x every step-th product.
func Products(step int, f func(x, y fp.Element)) {
	all := Elements()
	for i, x := range all {
		var inverse fp.Element
		inverse.Inverse(&x)
		for j := i % step; j < len(all); j += step {
			var y fp.Element
			y.Mul(&inverse, &all[j])
			f(x, y)
		}
	}
}

// Words puts a number below 2^256 into words.
func Words(n *big.Int) (e fp.Element) {
	var b [32]byte
	n.FillBytes(b[:])
	for i := range e {
		for _, octet := range b[32-8*(i+1) : 32-8*i] {
			e[i] = e[i]<<8 | uint64(octet)
		}
	}
	return e
}

// Integer reads words as they are.
func Integer(e *fp.Element) *big.Int {
	n := new(big.Int)
	for i := len(e) - 1; i >= 0; i-- {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(e[i]))
	}
	return n
}

// Montgomery multiplies integers modulo the prime and divides by the power of two that the form has: 256 for elements.
func Montgomery(bits int) func(x, y *big.Int) *big.Int {
	p := fp.Modulus()
	inverse := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), uint(bits)), p)
	return func(x, y *big.Int) *big.Int {
		z := new(big.Int).Mul(x, y)
		return z.Mod(z.Mul(z, inverse), p)
	}
}
