package pedersen

import (
	"crypto/sha256"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

const (
	windowBits = 12
	perOperand = 252 / windowBits // windows of one operand; the last four bits of its top one belong to a second base point
	windows    = 2 * perOperand
)

// point is one line of a processor's cache.
type point = avx512.Point

// tables holds 2^12 multiples for every window: entry d of window w is start(w) + d*2^(12w)*P, and the starts add up to the
// shift point of the hash. So every digit adds a point, the digit 0 too, and all lanes of a batch do the same. The starts
// are hashed onto the curve: no relation is known between them and the base points, so no sum is ever the point at
// infinity, or equal or opposite to what is added to it.
type tables struct {
	window [windows][]point
	room   sync.Pool // of *wide
}

// load builds the tables at the first hash: 11 MB, in about 25 ms, and nothing at process start.
var load = sync.OnceValue(build)

// The base points of the Pedersen hash (shift, then low and high bits of each operand), from the Starknet specification.
func basePoints() (shift point, bases [4]point) {
	p := func(x, y string) point {
		return point{X: fp.Element(felt.MustHex(x)), Y: fp.Element(felt.MustHex(y))}
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
	t.room.New = func() any { return new(wide) }
	_, bases := basePoints()
	starts := startPoints()
	all := make([]point, windows<<windowBits)
	room := newNarrow(1 << (windowBits - 1))
	for o := range 2 {
		// What each bit of the operand adds: low bits are multiples of the first base point, the last four of the second.
		bits := make([]point, 0, 252)
		bits = appendDoubles(bits, bases[2*o], 248)
		bits = appendDoubles(bits, bases[2*o+1], 4)
		for i := range perOperand {
			w := o*perOperand + i
			row := all[w<<windowBits : (w+1)<<windowBits]
			row[0] = starts[w]
			for k, bit := range bits[i*windowBits : (i+1)*windowBits] {
				room.addTo(row[1<<k:2<<k], row[:1<<k], &bit)
			}
			t.window[w] = row
		}
	}
	return t
}

// startPoints are hashed to the curve, one for each window, save that the last makes their sum the shift point.
func startPoints() [windows]point {
	var starts [windows]point
	last, bases := basePoints()
	// y^2 = x^3 + x + c; any point of the curve tells c.
	var c fp.Element
	c.Square(&bases[0].Y)
	c.Sub(&c, cubic(&bases[0].X))
	for w := range windows - 1 {
		p := &starts[w]
		for try := byte(0); ; try++ {
			digest := sha256.Sum256([]byte{'o', 'r', 'd', 'o', byte(w), try})
			p.X.SetBytes(digest[:])
			square := cubic(&p.X)
			square.Add(square, &c)
			if p.Y.Sqrt(square) != nil {
				break
			}
		}
		minus := []point{*p}
		minus[0].Y.Neg(&minus[0].Y)
		newNarrow(1).addTo(minus, minus, &last)
		last = minus[0]
	}
	starts[windows-1] = last
	return starts
}

// cubic is x^3 + x.
func cubic(x *fp.Element) *fp.Element {
	var y fp.Element
	y.Square(x)
	y.Mul(&y, x)
	y.Add(&y, x)
	return &y
}

// appendDoubles appends p, 2p, 4p, ...: n points.
func appendDoubles(list []point, p point, n int) []point {
	one := fp.One()
	for range n {
		list = append(list, p)
		// The slope of the tangent is (3x^2+1)/2y.
		var slope, t fp.Element
		t.Square(&p.X)
		slope.Double(&t)
		slope.Add(&slope, &t)
		slope.Add(&slope, &one)
		t.Double(&p.Y)
		t.Inverse(&t)
		slope.Mul(&slope, &t)

		t.Square(&slope)
		t.Sub(&t, &p.X)
		t.Sub(&t, &p.X)
		p.X, t = t, *new(fp.Element).Sub(&p.X, &t)
		t.Mul(&t, &slope)
		p.Y.Sub(&t, &p.Y)
	}
	return list
}

// addTo sets dst[i] to src[i]+p, with one inversion; p is neither equal nor opposite to any of them.
func (s *narrow) addTo(dst, src []point, p *point) {
	for i := range src {
		s.x[i], s.y[i] = src[i].X, src[i].Y
		s.gather(i, p)
	}
	s.add(len(src))
	for i := range dst {
		dst[i] = point{X: s.x[i], Y: s.y[i]}
	}
}

// digit is the number's w-th window, counted from the least significant.
func digit(n *[4]uint64, w int) uint16 {
	at := w * windowBits
	word, shift := at>>6, at&63
	d := n[word] >> shift
	if shift > 64-windowBits && word < 3 {
		d |= n[word+1] << (64 - shift)
	}
	return uint16(d & (1<<windowBits - 1))
}
