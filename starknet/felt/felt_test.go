package felt

import (
	"bytes"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

func random(r *rand.Rand) Felt {
	var b [Size + 8]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return Reduce(b[:])
}

func TestHexForms(t *testing.T) {
	prime := "0x" + fp.Modulus().Text(16)
	for _, c := range []struct {
		in             string
		strict, parsed bool
	}{
		{"0x0", true, true}, {"0x1", true, true}, {"0xabc", true, true},
		{"0x00", false, true}, {"0x01", false, true}, {"0xABC", false, true}, {"0X1", false, true},
		{"", false, false}, {"0x", false, false}, {"1", false, false}, {"0xg", false, false}, {"0x 1", false, false},
		{"-0x1", false, false}, {"0x-1", false, false}, {prime, false, false},
		{"0x800000000000011000000000000000000000000000000000000000000000000", true, true},
		{"0x" + strings.Repeat("0", 64), false, true}, {"0x" + strings.Repeat("0", 65), false, false},
		{"0x" + strings.Repeat("f", 64), false, false},
	} {
		_, err := ParseHex(c.in)
		if (err == nil) != c.parsed {
			t.Errorf("ParseHex(%q): %v", c.in, err)
		}
		strict, err := FromHex(c.in)
		if (err == nil) != c.strict {
			t.Errorf("FromHex(%q): %v", c.in, err)
		}
		if err == nil && strict.Hex() != c.in {
			t.Errorf("%q is written back as %q", c.in, strict)
		}
	}
}

func TestArithmeticAgainstBig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := fp.Modulus()
	for range 2000 {
		a, b := random(r), random(r)
		if r.IntN(4) == 0 {
			b = FromUint64(r.Uint64())
		}
		x, y := a.Big(), b.Big()
		mod := func(n *big.Int) *big.Int { return n.Mod(n, p) }
		if a.Add(b).Big().Cmp(mod(new(big.Int).Add(x, y))) != 0 ||
			a.Sub(b).Big().Cmp(mod(new(big.Int).Sub(x, y))) != 0 ||
			a.Mul(b).Big().Cmp(mod(new(big.Int).Mul(x, y))) != 0 {
			t.Fatalf("arithmetic of %s and %s differs from big.Int", a, b)
		}
		if a.Cmp(b) != x.Cmp(y) {
			t.Fatalf("order of %s and %s", a, b)
		}
		if back, err := FromBig(x); err != nil || back != a {
			t.Fatalf("FromBig(Big(%s)) = %s, %v", a, back, err)
		}
		if back, err := FromHex(a.Hex()); err != nil || back != a {
			t.Fatalf("FromHex(%s) = %s, %v", a, back, err)
		}
		if back, err := FromHex(a.Hex()); a.Hex() != "0x"+x.Text(16) || err != nil || back != a {
			t.Fatalf("hex of %s", x)
		}
		n, ok := a.Uint64()
		if ok != x.IsUint64() || (ok && n != x.Uint64()) {
			t.Fatalf("Uint64(%s)", a)
		}
	}
}

func TestUint128(t *testing.T) {
	f := FromUint128(3, 5)
	if f.Hex() != "0x30000000000000005" {
		t.Fatal(f)
	}
	if hi, lo, ok := f.Uint128(); hi != 3 || lo != 5 || !ok {
		t.Fatal(hi, lo, ok)
	}
	if _, _, ok := MustHex("0x100000000000000000000000000000000").Uint128(); ok {
		t.Fatal("2^128 fits in 128 bits")
	}
}

func TestShortString(t *testing.T) {
	if f := MustShortString("SN_MAIN"); f.Hex() != "0x534e5f4d41494e" {
		t.Fatal(f)
	}
	if s, ok := MustHex("0x534e5f4d41494e").ShortString(); s != "SN_MAIN" || !ok {
		t.Fatal(s, ok)
	}
	if _, err := FromShortString(strings.Repeat("a", 32)); err == nil {
		t.Fatal("32 characters accepted")
	}
	if _, err := FromShortString("é"); err == nil {
		t.Fatal("non-ascii accepted")
	}
}

func TestJSON(t *testing.T) {
	in := map[Felt][]Felt{FromUint64(1): {FromUint64(10), Zero()}}
	data, err := json.Marshal(in)
	if err != nil || string(data) != `{"0x1":["0xa","0x0"]}` {
		t.Fatal(string(data), err)
	}
	var out map[Felt][]Felt
	if err := json.Unmarshal(data, &out); err != nil || len(out[FromUint64(1)]) != 2 {
		t.Fatal(out, err)
	}
	for _, bad := range []string{`1`, `"1"`, `""`, `"0x"`, `[]`} {
		var f Felt
		if json.Unmarshal([]byte(bad), &f) == nil {
			t.Errorf("%s accepted", bad)
		}
	}
}

func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	list := []Felt{Zero(), One(), random(r), random(r)}
	packed := Pack(list)
	back, err := Unpack(packed)
	if err != nil || len(back) != len(list) {
		t.Fatal(back, err)
	}
	for i := range list {
		if back[i] != list[i] {
			t.Fatalf("element %d: %s is not %s", i, back[i], list[i])
		}
	}
	if _, err := Unpack(packed[1:]); err == nil {
		t.Error("a cut list is accepted")
	}
	if _, err := Unpack(bytes.Repeat([]byte{0xff}, Size)); err == nil {
		t.Error("a number above p is accepted")
	}
	if _, err := FromBytes(make([]byte, 33)); err == nil {
		t.Error("33 bytes are accepted")
	}
}

func FuzzParseHex(f *testing.F) {
	for _, s := range []string{"0x0", "0x1f", "0X00Ff", "12", "0x800000000000011000000000000000000000000000000000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := ParseHex(s)
		if err != nil {
			if _, strict := FromHex(s); strict == nil {
				t.Fatalf("%q: strict accepts what lenient refuses", s)
			}
			return
		}
		want, ok := new(big.Int).SetString(s[2:], 16)
		if !ok || want.Cmp(x.Big()) != 0 {
			t.Fatalf("%q read as %s", s, x)
		}
		if y, err := FromHex(x.Hex()); err != nil || y != x {
			t.Fatalf("%s does not read back: %v", x, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte{0xff}, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Unpack(b)
		if err == nil && !bytes.Equal(Pack(list), b) {
			t.Fatal("Pack(Unpack(x)) is not x")
		}
	})
}
