package avx512

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/internal/boundary"
)

var (
	prime  = fp.Modulus()
	widest = new(big.Int).Mul(prime, big.NewInt(17)) // what a kernel may read is below
	mul    = boundary.Montgomery(260)
)

// integer is what a lane holds, neither reduced nor taken out of its form.
func (b *Block) integer(lane int) *big.Int {
	z := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		z.Lsh(z, 52)
		z.Add(z, new(big.Int).SetUint64(b[i][lane]))
	}
	return z
}

// put is the inverse of integer.
func (b *Block) put(lane int, n *big.Int) {
	mask := new(big.Int).SetUint64(1<<52 - 1)
	for i := range b {
		b[i][lane] = new(big.Int).And(new(big.Int).Rsh(n, uint(52*i)), mask).Uint64()
	}
}

// check compares a lane with a number modulo the prime; that it is below 3p with limbs of 52 bits is what lets Get return
// a reduced number, which is compared too.
func check(t *testing.T, what string, b *Block, lane int, want *big.Int) {
	t.Helper()
	got := b.integer(lane)
	if got.Cmp(new(big.Int).Mul(prime, big.NewInt(3))) >= 0 || b[0][lane]|b[1][lane]|b[2][lane]|b[3][lane] >= 1<<52 {
		t.Fatalf("%s: lane %d: %x is too large", what, lane, got)
	}
	want = new(big.Int).Mod(want, prime)
	if new(big.Int).Mod(got, prime).Cmp(want) != 0 {
		t.Fatalf("%s: lane %d: %x, want %x", what, lane, got, want)
	}
	e := b.Get(lane) // in the form of elements, which is 16 times less
	if twin := boundary.Words(mul(want, new(big.Int).Lsh(big.NewInt(1), 256))); e != twin {
		t.Fatalf("%s: lane %d: read as %x, want %x", what, lane, e, twin)
	}
}

func sub(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, y) }

// pass runs one block through a kernel's passes, and does the same with big integers. fill makes numbers below 17p.
func pass(t *testing.T, k Kernel, fill func(*Block)) {
	t.Helper()
	var a, b Points
	var dx, products, acc Block
	for _, block := range []*Block{&a.X, &a.Y, &b.X, &b.Y, &dx, &products, &acc} {
		fill(block)
	}
	acc0 := acc
	k.forward(&a, &b, &dx, &products, &acc, 1)
	for lane := range Lanes {
		d := sub(b.X.integer(lane), a.X.integer(lane))
		check(t, "difference", &dx, lane, d)
		check(t, "product", &acc, lane, mul(acc0.integer(lane), d))
	}
	fill(&dx)
	fill(&products)
	one := fp.One()
	for lane := range Lanes / 2 { // the slope is then b.Y, for a square of limbs near their bounds
		products.Set(lane, &one)
		acc0.Set(lane, &one)
		for i := range a.Y {
			a.Y[i][lane] = 0
		}
	}
	a0, acc1 := a, acc0
	k.backward(&a, &b, &dx, &products, &acc0, 1)
	for lane := range Lanes {
		slope := mul(products.integer(lane), acc1.integer(lane))
		slope = mul(slope, sub(b.Y.integer(lane), a0.Y.integer(lane)))
		x := sub(sub(mul(slope, slope), a0.X.integer(lane)), b.X.integer(lane))
		check(t, "x", &a.X, lane, x)
		check(t, "y", &a.Y, lane, sub(mul(slope, sub(a0.X.integer(lane), x)), a0.Y.integer(lane)))
	}
}

// TestExtremes gives the passes numbers as large as they may be.
func TestExtremes(t *testing.T) {
	each(t, func(t *testing.T, k Kernel) {
		r := rand.New(rand.NewPCG(5, 1))
		for range 2000 {
			pass(t, k, func(b *Block) {
				for lane := range Lanes {
					for i, limb := range extreme(r) {
						b[i][lane] = limb
					}
				}
			})
		}
	})
}

// TestBoundaries multiplies pairs of boundary numbers below 17p, and pairs whose product is at a boundary, by what a lane
// of the first pass does: acc times a difference.
func TestBoundaries(t *testing.T) {
	each(t, func(t *testing.T, k Kernel) {
		var p, q Points
		var dx, products, acc, acc0 Block
		lane := 0
		try := func(x, y *big.Int) {
			acc.put(lane, x)
			q.X.put(lane, y)
			if lane++; lane < Lanes {
				return
			}
			lane, acc0 = 0, acc
			k.forward(&p, &q, &dx, &products, &acc, 1)
			for lane := range Lanes {
				check(t, "product", &acc, lane, mul(acc0.integer(lane), q.X.integer(lane)))
			}
		}
		wide := boundary.Few(widest, 160)
		for _, x := range wide {
			for _, y := range wide {
				try(x, y)
			}
		}
		shift := new(big.Int).Lsh(big.NewInt(1), 260)
		below := boundary.Few(prime, 160)
		for _, x := range below[1:] {
			inverse := new(big.Int).ModInverse(x, prime)
			inverse.Mul(inverse, shift)
			for _, product := range below {
				y := new(big.Int).Mul(inverse, product)
				try(x, y.Mod(y, prime))
			}
		}

		// All passes, every lane another number.
		numbers, at := boundary.Numbers(widest), 0
		for range 2 * len(numbers) {
			pass(t, k, func(b *Block) {
				for lane := range Lanes {
					b.put(lane, numbers[at%len(numbers)])
					at += 1 + at/len(numbers)%7
				}
			})
		}
	})
}

// FuzzPasses gives both passes any limbs.
func FuzzPasses(f *testing.F) {
	f.Add(uint64(1), uint64(1<<52-1), uint64(1<<52-1), uint64(1<<52-1), uint64(1<<52-1), uint64(17<<43-1))
	f.Add(uint64(2), uint64(0), uint64(0), uint64(0), uint64(0x11000000000), uint64(1<<43))
	f.Fuzz(func(t *testing.T, seed, l0, l1, l2, l3, l4 uint64) {
		const mask = 1<<52 - 1
		limbs := [5]uint64{l0 & mask, l1 & mask, l2 & mask, l3 & mask, l4 % (17 << 43)}
		for _, k := range Kernels() {
			r := rand.New(rand.NewPCG(seed, 0))
			pass(t, k, func(b *Block) {
				for lane := range Lanes {
					other := extreme(r)
					for i := range b {
						if b[i][lane] = limbs[i]; r.IntN(4) == 0 { // one limb, or several, of another number
							b[i][lane] = other[i]
						}
					}
				}
			})
		}
	})
}
