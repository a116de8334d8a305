package main

import (
	"math/big"
	"sync"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// gnark hashes as gnark-crypto's pedersen-hash package does: its Jacobian additions, with its windows of four bits. The
// package itself is not linked, because it fills its tables when a program starts, 0.2 s in every run of every command; a
// test holds both beside each other.
type gnark struct {
	shift starkcurve.G1Jac
	table [2][63][16]starkcurve.G1Jac // operand, nibble, digit; the top nibble belongs to a point of its own
}

var loadGnark = sync.OnceValue(func() *gnark {
	g := new(gnark)
	point := func(x, y string) starkcurve.G1Jac {
		return starkcurve.G1Jac{X: fp.Element(felt.MustHex(x)), Y: fp.Element(felt.MustHex(y)), Z: fp.One()}
	}
	g.shift = point("0x49ee3eba8c1600700ee1b87eb599f16716b0b1022947733551fde4050ca6804", "0x3ca0cfe4b3bc6ddf346d49d06ea0ed34e621062c0e056c1d0405d266e10268a")
	for o, p := range [2][2]starkcurve.G1Jac{{
		point("0x234287dcbaffe7f969c748655fca9e58fa8120b6d56eb0c1080d17957ebe47b", "0x3b056f100f96fb21e889527d41f4e39940135dd7a6c94cc6ed0268ee89e5615"),
		point("0x4fa56f376c83db33f9dab2656558f3399099ec1de5e3018b7a6932dba8aa378", "0x3fa0984c931c9e38113e0c0e47e4401562761f92a7a23b45168f4e80ff5b54d"),
	}, {
		point("0x4ba4cc166be8dec764910f75b45f74b40c690c74709e90f3aa372f0bd2d6997", "0x40301cf5c1751f4b971e46c4ede85fcac5c59a5ce5ae7c48151f27b24b219c"),
		point("0x54302dcb0e6cc1c6e44cca8f61a63bb2ca65048d53fb325d36ff12c49a58202", "0x1b77b3e37d13504b348046268d8ae25ce98ad783c25561a879dcc77e99c2426"),
	}} {
		for n := range g.table[o] {
			base, shift := p[0], uint(4*n)
			if n == 62 {
				base, shift = p[1], 0
			}
			for digit := range 16 {
				g.table[o][n][digit].ScalarMultiplication(&base, new(big.Int).Lsh(big.NewInt(int64(digit)), shift))
			}
		}
	}
	return g
})

func (g *gnark) hash(a, b felt.Felt) felt.Felt {
	acc := g.shift
	for o, f := range [2]felt.Felt{a, b} {
		words := f.Words()
		for n := range g.table[o] {
			if d := words[n/16] >> (4 * (n % 16)) & 15; d != 0 {
				acc.AddAssign(&g.table[o][n][d])
			}
		}
	}
	var x fp.Element
	x.Inverse(&acc.Z)
	x.Square(&x)
	x.Mul(&x, &acc.X)
	return felt.Felt(x)
}

func (g *gnark) pairs(dst, a, b []felt.Felt) {
	for i := range dst {
		dst[i] = g.hash(a[i], b[i])
	}
}
