package load

import (
	"sync"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fr"
)

// baseTable holds d * 256^w * G at [w][d-1], half a megabyte: a multiple of G is then at most 32 additions and no doubling.
var baseTable = sync.OnceValue(func() [][]starkcurve.G1Affine {
	g, _ := starkcurve.Generators()
	points := make([]starkcurve.G1Jac, 0, fr.Bytes*255)
	for range fr.Bytes {
		multiple := g
		for range 255 {
			points = append(points, multiple)
			multiple.AddAssign(&g)
		}
		g = multiple
	}
	flat := starkcurve.BatchJacobianToAffineG1(points)
	table := make([][]starkcurve.G1Affine, fr.Bytes)
	for w := range table {
		table[w] = flat[255*w : 255*(w+1)]
	}
	return table
})

// multiples returns scalar * G for each.
func multiples(scalars []fr.Element) []starkcurve.G1Affine {
	table := baseTable()
	sums := make([]starkcurve.G1Jac, len(scalars))
	for i := range scalars {
		digits := scalars[i].Bytes()
		sums[i].X.SetOne() // infinity is (1, 1, 0)
		sums[i].Y.SetOne()
		for w := range table {
			if d := digits[fr.Bytes-1-w]; d > 0 {
				sums[i].AddMixed(&table[w][d-1])
			}
		}
	}
	return starkcurve.BatchJacobianToAffineG1(sums)
}
