package pedersen

import (
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/boundary"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

// chord is the sum of two points by the formula, with gnark-crypto's arithmetic on single elements; the points need not be
// on a curve for it.
func chord(p, q point) point {
	var s, t fp.Element
	s.Sub(&q.Y, &p.Y)
	t.Sub(&q.X, &p.X)
	s.Div(&s, &t)
	var out point
	out.X.Square(&s)
	out.X.Sub(&out.X, &p.X)
	out.X.Sub(&out.X, &q.X)
	out.Y.Sub(&p.X, &out.X)
	out.Y.Mul(&out.Y, &s)
	out.Y.Sub(&out.Y, &p.Y)
	return out
}

// addAll adds the points in one batch.
func addAll(p, q []point) []point {
	s := newNarrow(len(p))
	for i := range p {
		s.x[i], s.y[i] = p[i].X, p[i].Y
		s.gather(i, &q[i])
	}
	s.add(len(p))
	out := make([]point, len(p))
	for i := range out {
		out[i] = point{X: s.x[i], Y: s.y[i]}
	}
	return out
}

// TestNarrowBoundaries adds points whose differences, slopes and squared slopes are boundary numbers, beside the formula:
// words must be equal, so the sums are reduced too.
func TestNarrowBoundaries(t *testing.T) {
	var p, q []point
	add := func(a, b point) {
		if a.X != b.X {
			p, q = append(p, a), append(q, b)
		}
	}
	all := boundary.Elements()
	for i, x := range all {
		y, z := all[(i*7+3)%len(all)], all[(i*11+5)%len(all)]
		add(point{X: x, Y: y}, point{X: z, Y: x})
		add(point{X: z}, point{X: x, Y: y})        // differences at a boundary, mostly
		add(point{Y: y}, point{X: fp.One(), Y: x}) // the slope is the difference
		add(point{X: fp.One()}, point{Y: x})       // the slope is its negative
		slope := x                                 // of two points on a line
		slope.Mul(&slope, &z).Add(&slope, &y)      // y + x*z
		add(point{Y: y}, point{X: z, Y: slope})    // the slope is x
	}
	for n := 1; len(p) > 0; n = n%300 + 37 {
		n = min(n, len(p))
		for i, got := range addAll(p[:n], q[:n]) {
			if want := chord(p[i], q[i]); got != want {
				t.Fatalf("lane %d of %d: %x + %x = %x, want %x", i, n, p[i], q[i], got, want)
			}
		}
		p, q = p[n:], q[n:]
	}
}

// TestInvert inverts lists of every length up to 70 of boundary numbers, unreduced ones too.
func TestInvert(t *testing.T) {
	all := boundary.Elements()
	all = slices.DeleteFunc(all, func(e fp.Element) bool { return e.IsZero() })
	at := 0
	for n := 1; n < 70; n++ {
		v, want := make([]fp.Element, n), make([]fp.Element, n)
		for i := range v {
			v[i] = all[at%len(all)]
			want[i].Inverse(&v[i])
			if at++; at%3 == 0 && v[i][0] != 1<<64-1 { // p more; there is no carry
				v[i][0]++
				v[i][3] += branchless.Top
			}
		}
		invert(v, make([]fp.Element, treeRoom(n)))
		for i := range v {
			if branchless.Reduce(&v[i]); v[i] != want[i] {
				t.Fatalf("%d of %d: %x, want %x", i, n, v[i], want[i])
			}
		}
	}
}

// FuzzNarrow adds any points in a batch.
func FuzzNarrow(f *testing.F) {
	f.Add(uint64(0xffff000000000000), uint64(0xfffffffff), uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), uint64(1<<59|17), uint64(1), uint8(9))
	f.Fuzz(func(t *testing.T, x0, x1, x2, x3, y0, y1, y2, y3, small uint64, lanes uint8) {
		a, b := fp.Element{x0, x1, x2, x3}, fp.Element{y0, y1, y2, y3}
		branchless.Reduce(&a)
		branchless.Reduce(&b)
		list := []fp.Element{a, b, {small}, fp.One(), {}}
		var sum fp.Element
		list = append(list, *sum.Mul(&a, &b))
		if !b.IsZero() {
			list = append(list, *sum.Div(&a, &b))
		}
		var p, q []point
		for i := range int(lanes)%24 + 1 {
			n := len(list)
			u, v := point{X: list[i%n], Y: list[i/2%n]}, point{X: list[(i*3+1)%n], Y: list[(i+1)%n]}
			if u.X != v.X {
				p, q = append(p, u), append(q, v)
			}
		}
		if len(p) == 0 {
			return
		}
		for i, got := range addAll(p, q) {
			if want := chord(p[i], q[i]); got != want {
				t.Fatalf("lane %d of %d: %x + %x = %x, want %x", i, len(p), p[i], q[i], got, want)
			}
		}
	})
}

// TestBoundaryInputs hashes pairs of boundary numbers in every way there is.
func TestBoundaryInputs(t *testing.T) {
	var a, b, want []felt.Felt
	few := boundary.Few(fp.Modulus(), 36)
	for _, x := range few {
		for _, y := range few {
			// x as number, and as words in memory
			fx, err := felt.FromBig(x)
			if err != nil {
				t.Fatal(err)
			}
			a, b = append(a, fx), append(b, felt.Felt(boundary.Words(y)))
			want = append(want, oracle(fx, b[len(b)-1]))
		}
	}
	for i := range a {
		if got := Hash(a[i], b[i]); got != want[i] {
			t.Fatalf("hash(%s, %s) = %s, gnark says %s", a[i], b[i], got, want[i])
		}
	}
	for name, hash := range paths() {
		got := make([]felt.Felt, len(a))
		hash(got, a, b)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: hash(%s, %s) = %s, gnark says %s", name, a[i], b[i], got[i], want[i])
			}
		}
	}
}
