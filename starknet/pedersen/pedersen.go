// Package pedersen is Starknet's Pedersen hash: one pair, an array, or many pairs at once.
//
// The hash is the abscissa of S + a_low*P0 + a_high*P1 + b_low*P2 + b_high*P3. Multiples of the points come from tables of
// 12-bit windows (11 MB, built at the first use). One pair sums them in Jacobian coordinates; many pairs sum in affine
// coordinates, all lanes in step, so that each step needs one inversion for the whole batch: several times cheaper per hash,
// and by far where the processor has AVX-512 (see internal/avx512).
package pedersen

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

// Hash returns the hash of a pair.
func Hash(a, b felt.Felt) felt.Felt {
	t := load()
	operands := [2][4]uint64{a.Words(), b.Words()}
	acc := jacobian{point: t.window[0][digit(&operands[0], 0)], z: fp.One()}
	for w := 1; w < windows; w++ {
		acc.add(&t.window[w][digit(&operands[w/perOperand], w%perOperand)])
	}
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

// HashPairs sets dst[i] to the hash of (a[i], b[i]). dst may be a or b. It panics when the lengths differ.
// It runs on one core; callers with more cores split the slices.
func HashPairs(dst, a, b []felt.Felt) {
	if len(a) != len(b) || len(dst) != len(a) {
		panic("pedersen: HashPairs: slices of different lengths")
	}
	switch k := avx512.Best(); {
	case k != avx512.None && len(a) >= wideMin:
		load().hashWide(k, dst, a, b)
	case k == avx512.None && len(a) >= narrowMin:
		load().hashNarrow(dst, a, b)
	default:
		for i := range a {
			dst[i] = Hash(a[i], b[i])
		}
	}
}

type jacobian struct {
	point
	z fp.Element
}

// add adds an affine point that is neither equal nor opposite to acc (see tables).
func (acc *jacobian) add(p *point) {
	var zz, h, hh, hhh, r, v, t fp.Element
	zz.Square(&acc.z)
	h.Mul(&p.X, &zz)
	branchless.Sub(&h, &h, &acc.X)
	r.Mul(&p.Y, &zz)
	r.Mul(&r, &acc.z)
	branchless.Sub(&r, &r, &acc.Y)
	hh.Square(&h)
	hhh.Mul(&hh, &h)
	v.Mul(&acc.X, &hh)
	acc.z.Mul(&acc.z, &h)

	acc.X.Square(&r)
	branchless.Sub(&acc.X, &acc.X, &hhh)
	branchless.Add(&t, &v, &v)
	branchless.Sub(&acc.X, &acc.X, &t)

	branchless.Sub(&v, &v, &acc.X)
	v.Mul(&v, &r)
	t.Mul(&acc.Y, &hhh)
	branchless.Sub(&acc.Y, &v, &t)
}

func (acc *jacobian) abscissa() felt.Felt {
	var inv fp.Element
	inv.Inverse(&acc.z)
	inv.Square(&inv)
	inv.Mul(&inv, &acc.X)
	return felt.Felt(inv)
}
