package avx512

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

func need(t testing.TB) {
	if Best() == None {
		t.Skip("this machine has no AVX-512")
	}
}

// each runs f with every kernel there is; those that this machine cannot run are skipped.
func each[T interface {
	testing.TB
	Run(string, func(T)) bool
}](t T, f func(t T, k Kernel)) {
	for _, k := range []Kernel{IFMA, FMA} {
		t.Run(k.String(), func(t T) {
			if !slices.Contains(Kernels(), k) {
				t.Skipf("this machine cannot run %s", k)
			}
			f(t, k)
		})
	}
}

// element is uniform, or near either end of the field.
func element(r *rand.Rand) fp.Element {
	e := fp.Element{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64() >> 5}
	switch r.IntN(6) {
	case 0:
		e = fp.Element{r.Uint64N(3)}
	case 1: // the largest words there are
		e = fp.Element{0, 0, 0, 1<<59 + 17}
		e[0] -= r.Uint64N(2)
	case 2: // limbs near their bounds
		l := extreme(r)
		e = fp.Element{l[0]>>4 | l[1]<<48, l[1]>>16 | l[2]<<36, l[2]>>28 | l[3]<<24, l[3]>>40 | l[4]<<12}
		e[3] &= 1<<59 - 1
	}
	if e[3] == 1<<59+17 {
		e[0], e[1], e[2] = 0, 0, 0
	}
	return e
}

func points(r *rand.Rand, n int) []Point {
	out := make([]Point, n)
	for i := range out {
		out[i] = Point{element(r), element(r)}
	}
	return out
}

// chord is the sum by the formula; the points need not be on a curve for it.
func chord(p, q Point) Point {
	var s, t fp.Element
	s.Sub(&q.Y, &p.Y)
	t.Sub(&q.X, &p.X)
	s.Div(&s, &t)
	var out Point
	out.X.Square(&s)
	out.X.Sub(&out.X, &p.X)
	out.X.Sub(&out.X, &q.X)
	out.Y.Sub(&p.X, &out.X)
	out.Y.Mul(&out.Y, &s)
	out.Y.Sub(&out.Y, &p.Y)
	return out
}

func TestBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var b Block
	for range 1000 {
		e := element(r)
		lane := r.IntN(Lanes)
		b.Set(lane, &e)
		if got := b.Get(lane); got != e {
			t.Fatalf("%x came back as %x", e, got)
		}
	}
}

func TestGather(t *testing.T) {
	need(t)
	r := rand.New(rand.NewPCG(2, 1))
	table := points(r, 4096)
	digits := make([]uint16, 5*Lanes)
	for range 50 {
		for i := range digits {
			digits[i] = uint16(r.IntN(len(table)))
		}
		dst := make([]Points, len(digits)/Lanes)
		Gather(dst, table, digits)
		for i, d := range digits {
			b := &dst[i/Lanes]
			if got := (Point{b.X.Get(i % Lanes), b.Y.Get(i % Lanes)}); got != table[d] {
				t.Fatalf("lane %d: %x, entry %d is %x", i, got, d, table[d])
			}
		}
	}
}

// TestAddAll adds again and again to the same points, so that the kernels also read what they wrote.
func TestAddAll(t *testing.T) { each(t, testAddAll) }

func testAddAll(t *testing.T, k Kernel) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, blocks := range []int{1, 2, 3, 17} {
		n := blocks * Lanes
		want := points(r, n)
		p, q := make([]Points, blocks), make([]Points, blocks)
		fill := func(dst []Points, list []Point) {
			for i := range list {
				dst[i/Lanes].X.Set(i%Lanes, &list[i].X)
				dst[i/Lanes].Y.Set(i%Lanes, &list[i].Y)
			}
		}
		fill(p, want)
		for range 20 {
			other := points(r, n)
			for i := range other {
				for other[i].X == want[i].X {
					other[i].X = element(r)
				}
			}
			fill(q, other)
			k.AddAll(p, q, make([]Block, blocks), make([]Block, blocks))
			for i := range want {
				want[i] = chord(want[i], other[i])
				b := &p[i/Lanes]
				if got := (Point{b.X.Get(i % Lanes), b.Y.Get(i % Lanes)}); got != want[i] {
					t.Fatalf("lane %d of %d: %x, want %x", i, n, got, want[i])
				}
				for _, c := range []*Block{&b.X, &b.Y} { // below 3p, as promised
					if c[4][i%Lanes] >= 3<<43 {
						t.Fatalf("lane %d: top limb %x", i, c[4][i%Lanes])
					}
				}
			}
		}
	}
}

// extreme is a number below 17p, each limb of which is uniform or near a bound.
func extreme(r *rand.Rand) [5]uint64 {
	var l [5]uint64
	for i := range l {
		l[i] = r.Uint64() >> 12
		switch r.IntN(5) {
		case 0:
			l[i] = r.Uint64N(3)
		case 1:
			l[i] = 1<<52 - 1 - r.Uint64N(3)
		case 2:
			l[i] = 1<<r.IntN(52) - r.Uint64N(2)
		}
	}
	l[4] %= 17 << 43
	return l
}

func BenchmarkAddAll(b *testing.B) { each(b, benchmarkAddAll) }

func benchmarkAddAll(b *testing.B, k Kernel) {
	r := rand.New(rand.NewPCG(4, 1))
	const blocks = 128
	table := points(r, 4096)
	p, q := make([]Points, blocks), make([]Points, blocks)
	digits := make([]uint16, blocks*Lanes)
	dx, products := make([]Block, blocks), make([]Block, blocks)
	for i := range digits {
		digits[i] = uint16(r.IntN(4096))
	}
	Gather(p, table, digits)
	for i := range digits {
		digits[i] = uint16(r.IntN(4096))
	}
	per := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blocks*Lanes), "ns/lane")
	}
	var acc Block
	b.Run("gather", func(b *testing.B) {
		for b.Loop() {
			Gather(q, table, digits)
		}
		per(b)
	})
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			k.forward(&p[0], &q[0], &dx[0], &products[0], &acc, blocks)
		}
		per(b)
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			k.backward(&p[0], &q[0], &dx[0], &products[0], &acc, blocks)
		}
		per(b)
	})
	b.Run("invert", func(b *testing.B) {
		for b.Loop() {
			acc.invert()
		}
		per(b)
	})
}
