package pedersen

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	gnark "github.com/consensys/gnark-crypto/ecc/stark-curve/pedersen-hash"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
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

func TestEveryTableEntry(t *testing.T) {
	// One number per window and digit: together they read every entry of both operands.
	for w := 0; w < windows; w++ {
		for d := 1; d < 256; d += 1 + w%3 {
			var b [32]byte
			b[31-w] = byte(d)
			x := felt.Reduce(b[:])
			if Hash(x, x) != oracle(x, x) {
				t.Fatalf("window %d digit %d", w, d)
			}
		}
	}
	for d := 0; d < topSize; d += 7 {
		var b [32]byte
		b[0], b[1] = byte(d>>8), byte(d)
		x := felt.Reduce(b[:])
		if Hash(x, x) != oracle(x, x) {
			t.Fatalf("top digit %#x", d)
		}
	}
}

func TestBatchEqualsSingle(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 15, 16, 17, 31, 63, 64, 65, 127, 200, 511, 512, 513, 520, 528, 1040} {
		a, b := make([]felt.Felt, n), make([]felt.Felt, n)
		for i := range a {
			a[i], b[i] = sample(r), sample(r)
		}
		got := make([]felt.Felt, n)
		HashPairs(got, a, b)
		for i := range got {
			if got[i] != Hash(a[i], b[i]) {
				t.Fatalf("lane %d of %d: hash(%s, %s) = %s", i, n, a[i], b[i], got[i])
			}
		}
		want := append([]felt.Felt{}, got...)
		HashPairs(a, a, b) // in place
		for i := range a {
			if a[i] != want[i] {
				t.Fatalf("in place: lane %d of %d", i, n)
			}
		}
	}
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
		as, bs := make([]felt.Felt, batchMin), make([]felt.Felt, batchMin)
		for i := range as {
			as[i], bs[i] = a, b
		}
		HashPairs(as, as, bs)
		if as[3] != want {
			t.Fatalf("batched hash(%s, %s) = %s, gnark says %s", a, b, as[3], want)
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
	for _, n := range []int{16, 64, 256, 512, 1024} {
		b.Run(fmt.Sprintf("batch-%d", n), func(b *testing.B) {
			as, bs := make([]felt.Felt, n), make([]felt.Felt, n)
			for i := range as {
				x = x.Mul(y)
				as[i], bs[i] = x, y
			}
			for b.Loop() {
				HashPairs(as, as, bs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/hash")
		})
	}
}
