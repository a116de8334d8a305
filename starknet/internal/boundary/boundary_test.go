package boundary

import (
	"math/big"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

func TestNumbers(t *testing.T) {
	p := fp.Modulus()
	all := Numbers(p)
	has := make(map[string]bool)
	for i, n := range all {
		if n.Sign() < 0 || n.Cmp(p) >= 0 || i > 0 && all[i-1].Cmp(n) >= 0 {
			t.Fatalf("%d: %x", i, n)
		}
		has[n.Text(16)] = true
		if e := Words(n); Integer(&e).Cmp(n) != 0 {
			t.Fatalf("%x comes back as %x", n, Integer(&e))
		}
	}
	for _, want := range []string{"0", "1", "800000000000011000000000000000000000000000000000000000000000000", "ffffffffffffffff", "fffffffffffff", "7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"} {
		if !has[want] {
			t.Errorf("%s is not among %d", want, len(all))
		}
	}
	// The operand with which the fault of docs/adr/0006 was found.
	if found := (fp.Element{0xffff000000000000, 0xfffffffff}); !has[Integer(&found).Text(16)] {
		t.Errorf("%x is not among them", found)
	}
	if few := Few(p, 20); len(few) != 20 || few[0].Sign() != 0 || few[19].Cmp(all[len(all)-1]) != 0 {
		t.Errorf("few: %x", few)
	}
	wide := Numbers(new(big.Int).Lsh(p, 2))
	if top := wide[len(wide)-1]; top.Cmp(new(big.Int).Sub(new(big.Int).Lsh(p, 2), big.NewInt(1))) != 0 {
		t.Errorf("the last below 4p is %x", top)
	}
}

// TestScalar holds gnark-crypto's arithmetic on single elements, which all of this project's rests on, beside big integers:
// pairs of boundary operands, and operands whose product is at a boundary.
func TestScalar(t *testing.T) {
	p := fp.Modulus()
	mul := Montgomery(256)
	check := func(what string, got *fp.Element, want, x, y *big.Int) {
		if Integer(got).Cmp(want) != 0 {
			t.Fatalf("%s(%x, %x) = %x, want %x", what, x, y, Integer(got), want)
		}
	}
	try := func(x, y fp.Element) {
		a, b := Integer(&x), Integer(&y)
		var z fp.Element
		check("mul", z.Mul(&x, &y), mul(a, b), a, b)
		check("add", z.Add(&x, &y), new(big.Int).Mod(new(big.Int).Add(a, b), p), a, b)
		check("sub", z.Sub(&x, &y), new(big.Int).Mod(new(big.Int).Sub(a, b), p), a, b)
	}
	for _, x := range Few(p, 300) {
		for _, y := range Few(p, 300) {
			try(Words(x), Words(y))
		}
	}
	for _, x := range Numbers(p) {
		e, one := Words(x), fp.One()
		var z fp.Element
		check("square", z.Square(&e), mul(x, x), x, x)
		check("double", z.Double(&e), new(big.Int).Mod(new(big.Int).Lsh(x, 1), p), x, x)
		check("neg", z.Neg(&e), new(big.Int).Mod(new(big.Int).Neg(x), p), x, x)
		if x.Sign() != 0 {
			z.Inverse(&e)
			check("inverse", z.Mul(&z, &e), Integer(&one), x, x)
		}
		bytes := e.Bytes()
		check("bytes", z.SetBytes(bytes[:]), x, x, x)
	}
	Products(9, try)
}
