package branchless

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// raw reads words as they are, not as Montgomery form.
func raw(w [4]uint64) *big.Int {
	n := new(big.Int)
	for i := 3; i >= 0; i-- {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(w[i]))
	}
	return n
}

func words(n *big.Int) (w [4]uint64) {
	mask := new(big.Int).SetUint64(1<<64 - 1)
	n = new(big.Int).Set(n)
	for i := range w {
		w[i] = new(big.Int).And(n, mask).Uint64()
		n.Rsh(n, 64)
	}
	return w
}

func TestAgainstBig(t *testing.T) {
	p := fp.Modulus()
	r := rand.New(rand.NewPCG(1, 1))
	below := func(limit *big.Int) *big.Int {
		n := raw([4]uint64{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()})
		switch n.Mod(n, limit); r.IntN(6) {
		case 0:
			n.SetUint64(r.Uint64N(3))
		case 1:
			n.Sub(limit, big.NewInt(1+r.Int64N(3)))
		case 2: // around a multiple of the prime
			k := new(big.Int).Div(limit, p)
			n.Mul(p, k.SetUint64(r.Uint64N(k.Uint64()))).Add(n, big.NewInt(r.Int64N(3)))
		}
		return n
	}
	eight := new(big.Int).Lsh(p, 3)
	for range 20_000 {
		a, b, wide := below(p), below(p), below(eight)
		x, y := fp.Element(words(a)), fp.Element(words(b))
		var z fp.Element
		if Add(&z, &x, &y); raw(z).Cmp(new(big.Int).Mod(new(big.Int).Add(a, b), p)) != 0 {
			t.Fatalf("%x + %x", a, b)
		}
		if Sub(&z, &x, &y); raw(z).Cmp(new(big.Int).Mod(new(big.Int).Sub(a, b), p)) != 0 {
			t.Fatalf("%x - %x", a, b)
		}
		w := words(wide)
		if Fold(&z, w[0], w[1], w[2], w[3]); raw(z).Cmp(new(big.Int).Mod(wide, p)) != 0 {
			t.Fatalf("fold %x", wide)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var x, y fp.Element
	x.MustSetRandom()
	y.MustSetRandom()
	b.Run("branchless", func(b *testing.B) {
		for b.Loop() {
			Add(&x, &x, &y)
		}
	})
	b.Run("gnark", func(b *testing.B) {
		for b.Loop() {
			x.Add(&x, &y)
		}
	})
}
