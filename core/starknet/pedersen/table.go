package pedersen

import (
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
)

const (
	windowBits = 8
	windows    = 30                   // windows of 8 bits below the top one
	topShift   = windows * windowBits // the top window starts at bit 240
	topSize    = 0x801                // p>>240 is 0x800, so a top digit is at most that
)

type point struct{ x, y fp.Element }

// operand holds the multiples that one operand of the hash adds to the sum. Entry d of window w is d*2^(8w)*P; entry 0 is
// never read. The top window covers bits 240..251, of which the last four belong to a second base point.
type operand struct {
	low [windows][256]point
	top [topSize]point
}

// tables holds both operands. The shift point is folded into a's top window, so the sum starts there, is never the point at
// infinity, and is never equal or opposite to a table entry (that would be a known relation between the base points).
type tables struct{ a, b operand }

// load builds the tables at the first hash: about 5 ms, and nothing at process start.
var load = sync.OnceValue(build)

// The base points of the Pedersen hash (shift, then low and high bits of each operand), from the Starknet specification.
func basePoints() (shift point, bases [4]point) {
	p := func(x, y string) point {
		return point{fp.Element(felt.MustHex(x)), fp.Element(felt.MustHex(y))}
	}
	shift = p("0x49ee3eba8c1600700ee1b87eb599f16716b0b1022947733551fde4050ca6804", "0x3ca0cfe4b3bc6ddf346d49d06ea0ed34e621062c0e056c1d0405d266e10268a")
	bases = [4]point{
		p("0x234287dcbaffe7f969c748655fca9e58fa8120b6d56eb0c1080d17957ebe47b", "0x3b056f100f96fb21e889527d41f4e39940135dd7a6c94cc6ed0268ee89e5615"),
		p("0x4fa56f376c83db33f9dab2656558f3399099ec1de5e3018b7a6932dba8aa378", "0x3fa0984c931c9e38113e0c0e47e4401562761f92a7a23b45168f4e80ff5b54d"),
		p("0x4ba4cc166be8dec764910f75b45f74b40c690c74709e90f3aa372f0bd2d6997", "0x40301cf5c1751f4b971e46c4ede85fcac5c59a5ce5ae7c48151f27b24b219c"),
		p("0x54302dcb0e6cc1c6e44cca8f61a63bb2ca65048d53fb325d36ff12c49a58202", "0x1b77b3e37d13504b348046268d8ae25ce98ad783c25561a879dcc77e99c2426"),
	}
	return shift, bases
}

func build() *tables {
	t := new(tables)
	shift, bases := basePoints()

	// Window bases: 2^(8w)*P for both operands at once, by doubling. Index 30 is the low part of the top window.
	var start [2][windows + 1]point
	run := []point{bases[0], bases[2]}
	for w := range start[0] {
		start[0][w], start[1][w] = run[0], run[1]
		for range windowBits {
			double(run)
		}
	}

	// Multiples 1..255 of every window base, all windows in step so that they share one inversion.
	var topLow [2][256]point
	entry := func(o, w, d int) *point {
		ops := [2]*operand{&t.a, &t.b}
		if w == windows {
			return &topLow[o][d]
		}
		return &ops[o].low[w][d]
	}
	base := append(append([]point{}, start[0][:]...), start[1][:]...)
	sum := append([]point{}, base...)
	for d := 1; d < 256; d++ {
		for i := range sum {
			*entry(i/(windows+1), i%(windows+1), d) = sum[i]
		}
		if d == 1 {
			double(sum)
		} else if d < 255 {
			addAll(sum, base)
		}
	}

	// The top window: high*P' + low*2^240*P, and the shift point for operand a.
	fillTop(&t.a, &topLow[0], bases[1], &shift)
	fillTop(&t.b, &topLow[1], bases[3], nil)
	return t
}

func fillTop(o *operand, low *[256]point, high point, shift *point) {
	// Multiples 1..8 of the high base.
	multiples := [9]point{1: high}
	for k := 2; k < len(multiples); k++ {
		one := []point{multiples[k-1]}
		if k == 2 {
			double(one)
		} else {
			addAll(one, []point{high})
		}
		multiples[k] = one[0]
	}
	for d := range o.top {
		if hi, lo := d>>8, d&0xff; lo == 0 {
			o.top[d] = multiples[hi] // entry 0 stays empty here
		} else {
			o.top[d] = low[lo]
		}
	}
	for hi := 1; hi<<8 < topSize; hi++ {
		if row := o.top[hi<<8+1 : min(hi<<8+256, topSize)]; len(row) > 0 {
			addAll(row, repeat(multiples[hi], len(row)))
		}
	}
	if shift != nil {
		addAll(o.top[1:], repeat(*shift, topSize-1))
		o.top[0] = *shift
	}
}

func repeat(p point, n int) []point {
	out := make([]point, n)
	for i := range out {
		out[i] = p
	}
	return out
}

// addAll adds b to a, pair by pair, with one inversion; no pair may be equal or opposite.
func addAll(a, b []point) {
	inv := make([]fp.Element, len(a))
	for i := range a {
		inv[i].Sub(&b[i].x, &a[i].x)
	}
	inv = fp.BatchInvert(inv)
	for i := range a {
		var slope fp.Element
		slope.Sub(&b[i].y, &a[i].y)
		slope.Mul(&slope, &inv[i])
		a[i].chord(&slope, &b[i].x)
	}
}

// double doubles every point; the curve is y^2 = x^3 + x + c, so the slope is (3x^2+1)/2y.
func double(a []point) {
	inv := make([]fp.Element, len(a))
	for i := range a {
		inv[i].Double(&a[i].y)
	}
	inv = fp.BatchInvert(inv)
	one := fp.One()
	for i := range a {
		var slope, square fp.Element
		square.Square(&a[i].x)
		slope.Double(&square)
		slope.Add(&slope, &square)
		slope.Add(&slope, &one)
		slope.Mul(&slope, &inv[i])
		x := a[i].x
		a[i].chord(&slope, &x)
	}
}

// chord moves p to the third point on the line of the given slope through p and a point with abscissa x, reflected.
func (p *point) chord(slope, x *fp.Element) {
	var nx, ny fp.Element
	nx.Square(slope)
	nx.Sub(&nx, &p.x)
	nx.Sub(&nx, x)
	ny.Sub(&p.x, &nx)
	ny.Mul(&ny, slope)
	ny.Sub(&ny, &p.y)
	p.x, p.y = nx, ny
}
