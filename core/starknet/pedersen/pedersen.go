// Package pedersen is Starknet's Pedersen hash: one pair, an array, or many pairs at once.
//
// The hash is the abscissa of S + a_low*P0 + a_high*P1 + b_low*P2 + b_high*P3. Multiples of the points come from tables of
// 8-bit windows (1.3 MB, built at the first use). One pair sums them in Jacobian coordinates; many pairs sum in affine
// coordinates, all lanes in step, so that each step needs one inversion for the whole batch: several times cheaper per hash.
package pedersen

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/branchless"
)

// Hash returns the hash of a pair.
func Hash(a, b felt.Felt) felt.Felt {
	t := load()
	aw, bw := a.Words(), b.Words()
	acc := jacobian{point: t.a.top[topDigit(&aw)], z: fp.One()}
	acc.addLow(&t.a, &aw)
	if d := topDigit(&bw); d != 0 {
		acc.add(&t.b.top[d])
	}
	acc.addLow(&t.b, &bw)
	return acc.abscissa()
}

// HashArray folds the list from 0 and then folds in its length, as Starknet hashes arrays.
func HashArray(list ...felt.Felt) felt.Felt {
	var h felt.Felt
	for _, f := range list {
		h = Hash(h, f)
	}
	return Hash(h, felt.FromUint64(uint64(len(list))))
}

// topDigit is the number's bits from 240 up.
func topDigit(w *[4]uint64) int { return int(w[3] >> (topShift - 192)) }

// lowDigit is the number's w-th byte, counted from the least significant.
func lowDigit(words *[4]uint64, w int) byte { return byte(words[w>>3] >> (8 * (w & 7))) }

type jacobian struct {
	point
	z fp.Element
}

func (acc *jacobian) addLow(o *operand, words *[4]uint64) {
	for w := range windows {
		// Small numbers are common (nonces, lengths, paths near the leaves): an empty window costs nothing.
		if d := lowDigit(words, w); d != 0 {
			acc.add(&o.low[w][d])
		}
	}
}

// add adds an affine point that is neither equal nor opposite to acc (see tables).
func (acc *jacobian) add(p *point) {
	var zz, h, hh, hhh, r, v, t fp.Element
	zz.Square(&acc.z)
	h.Mul(&p.x, &zz)
	branchless.Sub(&h, &h, &acc.x)
	r.Mul(&p.y, &zz)
	r.Mul(&r, &acc.z)
	branchless.Sub(&r, &r, &acc.y)
	hh.Square(&h)
	hhh.Mul(&hh, &h)
	v.Mul(&acc.x, &hh)
	acc.z.Mul(&acc.z, &h)

	acc.x.Square(&r)
	branchless.Sub(&acc.x, &acc.x, &hhh)
	branchless.Add(&t, &v, &v)
	branchless.Sub(&acc.x, &acc.x, &t)

	branchless.Sub(&v, &v, &acc.x)
	v.Mul(&v, &r)
	t.Mul(&acc.y, &hhh)
	branchless.Sub(&acc.y, &v, &t)
}

func (acc *jacobian) abscissa() felt.Felt {
	var inv fp.Element
	inv.Inverse(&acc.z)
	inv.Square(&inv)
	inv.Mul(&inv, &acc.x)
	return felt.Felt(inv)
}
