package branchless

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/internal/boundary"
)

// upTo4p mixes uniform numbers below 4p with the ends.
func upTo4p(r *rand.Rand) *big.Int {
	limit := new(big.Int).Lsh(fp.Modulus(), 2)
	switch r.IntN(6) {
	case 0:
		return big.NewInt(int64(r.IntN(3)))
	case 1:
		return limit.Sub(limit, big.NewInt(int64(r.IntN(3))))
	case 2: // a word alone
		n := new(big.Int).SetUint64(r.Uint64())
		return n.Lsh(n, uint(64*r.IntN(3)))
	}
	n := new(big.Int)
	for range 5 {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(r.Uint64()))
	}
	return n.Mod(n, limit)
}

func TestMul(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	p := fp.Modulus()
	inverse := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 256), p)
	check := func(name string, z *fp.Element, x, y *big.Int) {
		t.Helper()
		want := new(big.Int).Mul(x, y)
		want.Mul(want, inverse).Mod(want, p)
		got := raw(*z)
		if limit := new(big.Int).Lsh(p, 1); got.Cmp(limit) >= 0 || new(big.Int).Mod(got, p).Cmp(want) != 0 {
			t.Fatalf("%s(%x, %x) = %x, want %x", name, x, y, got, want)
		}
	}
	// The low word of the first product by Top is the largest there is.
	edge := uint64(1)
	for edge*Top != 1 {
		edge *= 2 - edge*Top
	}
	one := fp.Element{1}
	for _, e := range []fp.Element{{edge}, {edge, 0, 0, 1}, {edge, 5}} {
		var z fp.Element
		Mul(&z, &e, &one)
		check("mul", &z, raw(e), raw(one))
	}
	for range 20000 {
		x, y := upTo4p(r), upTo4p(r)
		a, b := fp.Element(words(x)), fp.Element(words(y))
		var z fp.Element
		Mul(&z, &a, &b)
		check("mul", &z, x, y)
		Square(&z, &a)
		check("square", &z, x, x)
		Mul(&a, &a, &b) // in place
		check("mul", &a, x, y)
		Square(&b, &b)
		check("square", &b, y, y)
	}
}

// TestBoundaries multiplies pairs of boundary numbers up to 4p, which is what Mul and Square may be given, and pairs whose
// product is at a boundary; adds and subtracts those below the prime; and reduces all of them.
func TestBoundaries(t *testing.T) {
	p := fp.Modulus()
	mul := boundary.Montgomery(256)
	twice := new(big.Int).Lsh(p, 1)
	product := func(x, y fp.Element) {
		var z, square fp.Element
		Mul(&z, &x, &y)
		Square(&square, &x)
		a, b := raw(x), raw(y)
		for _, c := range []struct {
			got  fp.Element
			want *big.Int
		}{{z, mul(a, b)}, {square, mul(a, a)}} {
			if raw(c.got).Cmp(twice) >= 0 {
				t.Fatalf("%x, %x: %x is too large", a, b, raw(c.got))
			}
			if Reduce(&c.got); raw(c.got).Cmp(c.want) != 0 {
				t.Fatalf("%x, %x: %x, want %x", a, b, raw(c.got), c.want)
			}
		}
	}
	four := boundary.Few(new(big.Int).Lsh(p, 2), 200)
	for _, a := range four {
		for _, b := range four {
			product(words(a), words(b))
		}
	}
	boundary.Products(9, product)

	below := boundary.Few(p, 300)
	for _, a := range below {
		for _, b := range below {
			x, y := fp.Element(words(a)), fp.Element(words(b))
			var z, want fp.Element
			if Add(&z, &x, &y); z != *want.Add(&x, &y) {
				t.Fatalf("%x + %x", a, b)
			}
			if Sub(&z, &x, &y); z != *want.Sub(&x, &y) {
				t.Fatalf("%x - %x", a, b)
			}
		}
	}
	for _, a := range boundary.Numbers(new(big.Int).Lsh(big.NewInt(1), 256)) {
		z := fp.Element(words(a))
		if Reduce(&z); raw(z).Cmp(new(big.Int).Mod(a, p)) != 0 {
			t.Fatalf("%x is reduced to %x", a, raw(z))
		}
	}
}

func FuzzMul(f *testing.F) {
	f.Add(uint64(1), uint64(0), uint64(0), uint64(Top), uint64(0), ^uint64(0), uint64(1), uint64(Top))
	f.Add(uint64(0xffff000000000000), uint64(0xfffffffff), uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), uint64(1<<59))
	f.Fuzz(func(t *testing.T, x0, x1, x2, x3, y0, y1, y2, y3 uint64) {
		x, y := fp.Element{x0, x1, x2, x3}, fp.Element{y0, y1, y2, y3}
		Reduce(&x)
		Reduce(&y)
		var want, got fp.Element
		if Add(&got, &x, &y); got != *want.Add(&x, &y) {
			t.Fatalf("%x + %x = %x, gnark says %x", x, y, got, want)
		}
		if Sub(&got, &x, &y); got != *want.Sub(&x, &y) {
			t.Fatalf("%x - %x = %x, gnark says %x", x, y, got, want)
		}
		want.Mul(&x, &y)
		Mul(&got, &x, &y)
		Fold(&got, got[0], got[1], got[2], got[3])
		if got != want {
			t.Fatalf("%x * %x = %x, gnark says %x", x, y, got, want)
		}
		want.Square(&x)
		Square(&got, &x)
		Fold(&got, got[0], got[1], got[2], got[3])
		if got != want {
			t.Fatalf("%x squared = %x, gnark says %x", x, got, want)
		}
	})
}

func BenchmarkMul(b *testing.B) {
	x, y := fp.Element{1, 2, 3, 4}, fp.Element{5, 6, 7, 8}
	b.Run("gnark", func(b *testing.B) {
		for b.Loop() {
			for range 100 {
				x.Mul(&x, &y)
			}
		}
	})
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			for range 100 {
				Mul(&x, &x, &y)
			}
		}
	})
	b.Run("square", func(b *testing.B) {
		for b.Loop() {
			for range 100 {
				Square(&x, &x)
			}
		}
	})
}
