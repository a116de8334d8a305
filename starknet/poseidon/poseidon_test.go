package poseidon

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

// plain is the permutation as the definition has it: 91 rounds, three constants each, a full matrix.
func plain(in [3]felt.Felt) [3]felt.Felt {
	n := felt.FromUint64
	m := [3][3]felt.Felt{{n(3), n(1), n(1)}, {n(1), felt.Zero().Sub(n(1)), n(1)}, {n(1), n(1), felt.Zero().Sub(n(2))}}
	for r := range 2*fullRounds + partialRounds {
		c := roundConstants(r)
		for i := range in {
			in[i] = in[i].Add(felt.Felt(c[i]))
		}
		partial := r >= fullRounds && r < fullRounds+partialRounds
		for i := range in {
			if !partial || i == 2 {
				in[i] = in[i].Mul(in[i]).Mul(in[i])
			}
		}
		var out [3]felt.Felt
		for i := range out {
			for j := range in {
				out[i] = out[i].Add(m[i][j].Mul(in[j]))
			}
		}
		in = out
	}
	return in
}

func random(r *rand.Rand) felt.Felt {
	var b [40]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return felt.Reduce(b[:])
}

// bound is a number that the first round makes one with limbs near their bounds, in the form that package avx512 has.
func bound(r *rand.Rand, lane int) felt.Felt {
	var e fp.Element
	for at := 0; at < 252; at += 52 {
		limb := []uint64{0, 1, 1<<52 - 1, 1<<52 - 2, 1 << 51, r.Uint64() >> 12}[r.IntN(6)]
		for i := range 52 {
			if bit := at + i - 4; bit >= 0 && bit < 251 {
				e[bit/64] |= limb >> i & 1 << (bit % 64)
			}
		}
	}
	e.Sub(&e, &load().start[lane])
	return felt.Felt(e)
}

func TestKnownValues(t *testing.T) {
	// The permutation of zeros, as published with the hash's reference implementation.
	got := Permute([3]felt.Felt{})
	want := [3]string{
		"0x79e8d1e78258000a28fc9d49e233bc6852357968577b1e386550ed6a9086133",
		"0x3840d003d0f3f96dbb796ff6aa6a63be5b5404b91ccaabca256154cbb6fb984",
		"0x1eb39da3f7d3b04142d0ac83d9da00c9325a61fb2ef326e50b70eaa8a3c7cc7",
	}
	for i := range got {
		if got[i] != felt.MustHex(want[i]) {
			t.Errorf("lane %d: %s, want %s", i, got[i], want[i])
		}
	}
	first := roundConstants(0)
	if felt.Felt(first[0]) != felt.MustHex("0x6861759ea556a2339dd92f9562a30b9e58e2ad98109ae4780b7fd8eac77fe6f") {
		t.Errorf("first round constant %s", felt.Felt(first[0]))
	}
}

func TestCompressedEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		in := [3]felt.Felt{random(r), random(r), random(r)}
		if Permute(in) != plain(in) {
			t.Fatalf("permutation of %s", in)
		}
	}
}

func TestSponge(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for n := range 12 {
		list := make([]felt.Felt, n)
		for i := range list {
			list[i] = random(r)
		}
		// By the definition: pad with 1 and zeros to an even length, absorb pairs.
		padded := append(append([]felt.Felt{}, list...), felt.One())
		if len(padded)%2 == 1 {
			padded = append(padded, felt.Zero())
		}
		var s [3]felt.Felt
		for i := 0; i < len(padded); i += 2 {
			s = plain([3]felt.Felt{s[0].Add(padded[i]), s[1].Add(padded[i+1]), s[2]})
		}
		if got := HashMany(list...); got != s[0] {
			t.Errorf("%d felts: %s, want %s", n, got, s[0])
		}
		var p Sponge
		for i := range list {
			p.Sum() // reading must not disturb
			p.Write(list[i])
		}
		if got := p.Sum(); got != s[0] {
			t.Errorf("%d felts, streamed: %s, want %s", n, got, s[0])
		}
	}
}

func TestBatchEqualsSingle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 65, 72, 200} {
		a, b, got := make([]felt.Felt, n), make([]felt.Felt, n), make([]felt.Felt, n)
		lists := make([][]felt.Felt, n)
		for i := range a {
			a[i], b[i] = random(r), random(r)
			lists[i] = make([]felt.Felt, r.IntN(20))
			for j := range lists[i] {
				lists[i][j] = random(r)
			}
		}
		HashPairs(got, a, b)
		sums := HashLists(lists)
		for i := range got {
			if got[i] != Hash(a[i], b[i]) {
				t.Fatalf("pairs: lane %d of %d", i, n)
			}
			if sums[i] != HashMany(lists[i]...) {
				t.Fatalf("lists: lane %d of %d (%d felts)", i, n, len(lists[i]))
			}
		}
		HashPairs(a, a, b)
		for i := range a {
			if a[i] != got[i] {
				t.Fatalf("in place: lane %d of %d", i, n)
			}
		}
	}
}

// TestPaths holds every way to hash many inputs beside the plain one; those that this machine cannot go are skipped.
func TestPaths(t *testing.T) {
	t.Run("default", func(t *testing.T) { testPath(t, HashPairs, HashLists) })
	for _, k := range []avx512.Kernel{avx512.IFMA, avx512.FMA} {
		t.Run(k.String(), func(t *testing.T) {
			if !slices.Contains(avx512.Kernels(), k) {
				t.Skipf("this machine cannot run %s", k)
			}
			testPath(t, func(dst, a, b []felt.Felt) {
				hashPairsWide(k, dst, a, b)
			}, func(lists [][]felt.Felt) []felt.Felt {
				out := make([]felt.Felt, len(lists))
				hashListsWide(k, out, lists)
				return out
			})
		})
	}
}

func testPath(t *testing.T, pairs func(dst, a, b []felt.Felt), hashLists func([][]felt.Felt) []felt.Felt) {
	r := rand.New(rand.NewPCG(4, 3))
	for _, n := range []int{8, 9, 64, 65, 100} {
		a, b, got := make([]felt.Felt, n), make([]felt.Felt, n), make([]felt.Felt, n)
		lists := make([][]felt.Felt, n)
		for i := range a {
			a[i], b[i] = random(r), random(r)
			if i%2 == 0 {
				a[i], b[i] = bound(r, 0), bound(r, 1)
			}
			lists[i] = a[:n-i]
		}
		pairs(got, a, b)
		sums := hashLists(lists)
		for i := range got {
			if got[i] != Hash(a[i], b[i]) {
				t.Fatalf("pairs: lane %d of %d", i, n)
			}
			if sums[i] != HashMany(lists[i]...) {
				t.Fatalf("lists: lane %d of %d (%d felts)", i, n, len(lists[i]))
			}
		}
	}
}

func FuzzPermute(f *testing.F) {
	f.Add([]byte{1}, []byte{2}, []byte{3})
	f.Add([]byte{}, bytes.Repeat([]byte{0xff}, 32), []byte{0x08, 31: 0})
	f.Fuzz(func(t *testing.T, x, y, z []byte) {
		in := [3]felt.Felt{felt.Reduce(x), felt.Reduce(y), felt.Reduce(z)}
		want := plain(in)
		if Permute(in) != want {
			t.Fatalf("permutation of %s", in)
		}
		for _, kernel := range avx512.Kernels() {
			var s avx512.Sponges
			for lane := range avx512.Lanes {
				s.State[0].Set(lane, (*fp.Element)(&in[lane%3])) // every lane its own
				s.Input[1].Set(lane, (*fp.Element)(&in[1]))
				s.State[2].Set(lane, (*fp.Element)(&in[2]))
			}
			s.Permute(kernel, loadWide())
			for k := range want {
				if got := felt.Felt(s.State[k].Get(3)); got != want[k] {
					t.Fatalf("%s: permutation of %s, lane %d: %s, want %s", kernel, in, k, got, want[k])
				}
			}
		}
	})
}

func BenchmarkConstants(b *testing.B) {
	for b.Loop() {
		derive()
	}
}

func BenchmarkHash(b *testing.B) {
	x, y := felt.MustHex("0x123456789abcdef0123456789abcdef0123456789abcdef"), felt.MustHex("0x7abcdef0123456789abcdef0123456789abcdef01234")
	load()
	b.Run("single", func(b *testing.B) {
		for b.Loop() {
			x = Hash(x, y)
		}
	})
	paths := map[string]func(dst, a, b []felt.Felt){"default": HashPairs}
	for _, k := range avx512.Kernels() {
		paths[k.String()] = func(dst, a, b []felt.Felt) { hashPairsWide(k, dst, a, b) }
	}
	for _, n := range []int{8, 64, 256} {
		as, bs := make([]felt.Felt, n), make([]felt.Felt, n)
		for i := range as {
			x = x.Mul(y)
			as[i], bs[i] = x, y
		}
		for name, hash := range paths {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				for b.Loop() {
					hash(as, as, bs)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/hash")
			})
		}
	}
}
