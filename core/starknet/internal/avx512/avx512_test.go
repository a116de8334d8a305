package avx512

import (
	"math/big"
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

// integer is what a lane holds, neither reduced nor taken out of its form.
func (b *Block) integer(lane int) *big.Int {
	z := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		z.Lsh(z, 52)
		z.Add(z, new(big.Int).SetUint64(b[i][lane]))
	}
	return z
}

func TestExtremes(t *testing.T) { each(t, testExtremes) }

// testExtremes gives the passes numbers as large as they may be, and does the same with big integers.
func testExtremes(t *testing.T, k Kernel) {
	r := rand.New(rand.NewPCG(5, 1))
	p, base := fp.Modulus(), new(big.Int).Lsh(big.NewInt(1), 260)
	inverse := new(big.Int).ModInverse(base, p)
	mul := func(x, y *big.Int) *big.Int {
		z := new(big.Int).Mul(x, y)
		return z.Mod(z.Mul(z, inverse), p)
	}
	sub := func(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, y) }
	fill := func(b *Block) {
		for lane := range Lanes {
			for i, limb := range extreme(r) {
				b[i][lane] = limb
			}
		}
	}
	three := new(big.Int).Mul(p, big.NewInt(3))
	check := func(what string, b *Block, lane int, want *big.Int) {
		t.Helper()
		got := b.integer(lane)
		if got.Cmp(three) >= 0 || b[0][lane]|b[1][lane]|b[2][lane]|b[3][lane] >= 1<<52 {
			t.Fatalf("%s: lane %d: %x is too large", what, lane, got)
		}
		if sub(got, want).Mod(sub(got, want), p).Sign() != 0 {
			t.Fatalf("%s: lane %d: %x, want %x", what, lane, got, want)
		}
	}
	one := fp.One()
	for range 2000 {
		var a, b Points
		var dx, products, acc Block
		for _, block := range []*Block{&a.X, &a.Y, &b.X, &b.Y, &dx, &products, &acc} {
			fill(block)
		}
		acc0 := acc
		k.forward(&a, &b, &dx, &products, &acc, 1)
		for lane := range Lanes {
			d := sub(b.X.integer(lane), a.X.integer(lane))
			check("difference", &dx, lane, d)
			check("product", &acc, lane, mul(acc0.integer(lane), d))
		}
		fill(&dx)
		fill(&products)
		for lane := range Lanes / 2 { // the slope is then b.Y, for a square of limbs near their bounds
			products.Set(lane, &one)
			acc0.Set(lane, &one)
			for i := range a.Y {
				a.Y[i][lane] = 0
			}
		}
		a0 := a
		k.backward(&a, &b, &dx, &products, &acc0, 1)
		for lane := range Lanes {
			slope := mul(products.integer(lane), acc0.integer(lane))
			slope = mul(slope, sub(b.Y.integer(lane), a0.Y.integer(lane)))
			x := sub(sub(mul(slope, slope), a0.X.integer(lane)), b.X.integer(lane))
			check("x", &a.X, lane, x)
			y := sub(mul(slope, sub(a0.X.integer(lane), x)), a0.Y.integer(lane))
			check("y", &a.Y, lane, y)
		}
	}
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
	b.Run("gnark-mul", func(b *testing.B) {
		v := make(fp.Vector, blocks*Lanes)
		w := make(fp.Vector, blocks*Lanes)
		for b.Loop() {
			v.Mul(v, w)
		}
		per(b)
	})
}
