package pedersen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	gnark "github.com/consensys/gnark-crypto/ecc/stark-curve/pedersen-hash"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

func oracle(a, b felt.Felt) felt.Felt {
	x, y := fp.Element(a), fp.Element(b)
	return felt.Felt(gnark.Pedersen(&x, &y))
}

// sample mixes uniform numbers with the ones that trees hash: small, sparse, and at the end of the field.
func sample(r *rand.Rand) felt.Felt {
	var b [40]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	f := felt.Reduce(b[:])
	switch r.IntN(8) {
	case 0:
		return felt.FromUint64(r.Uint64() >> r.IntN(64))
	case 1:
		return felt.Zero().Sub(felt.FromUint64(r.Uint64N(5)))
	case 2: // one digit only
		var one [32]byte
		one[31-r.IntN(31)] = byte(r.Uint32())
		return felt.Reduce(one[:])
	case 3: // bits 248..251 only
		return felt.FromUint64(r.Uint64N(9)).Mul(felt.MustHex("0x100000000000000000000000000000000000000000000000000000000000000"))
	}
	return f
}

func TestKnownValues(t *testing.T) {
	for _, c := range [][3]string{
		{"0x0", "0x0", "0x49ee3eba8c1600700ee1b87eb599f16716b0b1022947733551fde4050ca6804"},
		{"0x1", "0x2", "0x5bb9440e27889a364bcb678b1f679ecd1347acdedcbf36e83494f857cc58026"},
	} {
		if got := Hash(felt.MustHex(c[0]), felt.MustHex(c[1])); got != felt.MustHex(c[2]) {
			t.Errorf("hash(%s, %s) = %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if got := HashArray(); got != Hash(felt.Zero(), felt.Zero()) {
		t.Error("empty array", got)
	}
}

func TestAgainstGnark(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		a, b := sample(r), sample(r)
		if got, want := Hash(a, b), oracle(a, b); got != want {
			t.Fatalf("hash(%s, %s) = %s, gnark says %s", a, b, got, want)
		}
	}
}

func TestEveryWindow(t *testing.T) {
	// One number per window and digit: together they read many entries of each row, among them the first and the last.
	for w := range perOperand {
		for d := 1; d < 1<<windowBits; d += 1 + 3*d/2 {
			for _, d := range []int{d, 1<<windowBits - d} {
				if w == perOperand-1 {
					d = min(d, 0x800) // the prime's top digit
				}
				x := felt.FromUint64(uint64(d))
				for range w * windowBits {
					x = x.Add(x)
				}
				if Hash(x, x) != oracle(x, x) {
					t.Fatalf("window %d digit %#x", w, d)
				}
			}
		}
	}
}

// paths are the ways to hash a batch on this machine.
func paths() map[string]func(dst, a, b []felt.Felt) {
	out := map[string]func(dst, a, b []felt.Felt){"default": HashPairs, "narrow": load().hashNarrow}
	for _, k := range avx512.Kernels() {
		out[k.String()] = func(dst, a, b []felt.Felt) { load().hashWide(k, dst, a, b) }
	}
	return out
}

func TestBatchEqualsSingle(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 200, 255, 256, 257, 384, 385, 511, 512, 513, 520, 528, 1040} {
		a, b, want := make([]felt.Felt, n), make([]felt.Felt, n), make([]felt.Felt, n)
		for i := range a {
			a[i], b[i] = sample(r), sample(r)
			want[i] = Hash(a[i], b[i])
		}
		for name, hash := range paths() {
			got := make([]felt.Felt, n)
			hash(got, a, b)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: a batch of %d differs", name, n)
			}
			x := slices.Clone(a)
			hash(x, x, b) // in place
			y := slices.Clone(b)
			hash(y, a, y)
			if !slices.Equal(x, want) || !slices.Equal(y, want) {
				t.Fatalf("%s: in place: a batch of %d differs", name, n)
			}
		}
	}
}

func TestConcurrentBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	var wg sync.WaitGroup
	for range 4 {
		a, b := make([]felt.Felt, 100), make([]felt.Felt, 100)
		for i := range a {
			a[i], b[i] = sample(r), sample(r)
		}
		wg.Go(func() {
			for range 5 {
				got := make([]felt.Felt, len(a))
				HashPairs(got, a, b)
				if got[57] != Hash(a[57], b[57]) {
					t.Error("a batch beside others differs")
				}
			}
		})
	}
	wg.Wait()
}

func TestBatchOfZeros(t *testing.T) {
	z := make([]felt.Felt, 40)
	HashPairs(z, z, z)
	if z[39] != Hash(felt.Zero(), felt.Zero()) {
		t.Fatal(z[39])
	}
}

func FuzzHash(f *testing.F) {
	f.Add([]byte{1}, []byte{2})
	f.Add(make([]byte, 32), []byte{0x08, 0, 0, 0, 0, 0, 0, 0x11})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := felt.Reduce(x), felt.Reduce(y)
		want := oracle(a, b)
		if got := Hash(a, b); got != want {
			t.Fatalf("hash(%s, %s) = %s, gnark says %s", a, b, got, want)
		}
		as, bs := make([]felt.Felt, 16), make([]felt.Felt, 16)
		for i := range as { // the pair beside others: each lane has its own
			as[i], bs[i] = a, felt.FromUint64(uint64(i))
		}
		as[5], bs[5] = a, b
		for name, hash := range paths() {
			got := make([]felt.Felt, len(as))
			hash(got, as, bs)
			if got[5] != want {
				t.Fatalf("%s: hash(%s, %s) = %s, gnark says %s", name, a, b, got[5], want)
			}
		}
	})
}

func BenchmarkTables(b *testing.B) {
	for b.Loop() {
		build()
	}
}

func BenchmarkHash(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	x, y := felt.Reduce([]byte(fmt.Sprint(r.Uint64(), "0123456789abcdef"))), felt.Reduce([]byte("fedcba9876543210fedcba9876543210"))
	load()
	b.Run("single", func(b *testing.B) {
		for b.Loop() {
			x = Hash(x, y)
		}
	})
	b.Run("gnark", func(b *testing.B) {
		for b.Loop() {
			x = oracle(x, y)
		}
	})
	for _, n := range []int{4, 16, 64, 256, 1024} {
		as, bs := make([]felt.Felt, n), make([]felt.Felt, n)
		for i := range as {
			x = x.Mul(y)
			as[i], bs[i] = x, y
		}
		for name, hash := range paths() {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				for b.Loop() {
					hash(as, as, bs)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/hash")
			})
		}
	}
}
