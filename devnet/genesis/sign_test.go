package genesis

import (
	"math/big"
	"testing"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fr"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestSign checks signatures by the definition: the point z/s G + r/s Q has x = r.
func TestSign(t *testing.T) {
	for i, a := range Accounts(3, 20) {
		message := felt.FromUint64(uint64(i)).Sub(felt.FromUint64(10)) // some small, some near the prime
		r, s := Sign(a.PrivateKey, message)
		if again, _ := Sign(a.PrivateKey, message); again != r {
			t.Fatal("the same message got another signature")
		}
		inverse := new(big.Int).ModInverse(s.Big(), fr.Modulus())
		u := new(big.Int).Mul(message.Big(), inverse)
		v := new(big.Int).Mul(r.Big(), inverse)
		var key, left, right, sum starkcurve.G1Affine
		key.ScalarMultiplicationBase(a.PrivateKey.Big())
		left.ScalarMultiplicationBase(u.Mod(u, fr.Modulus()))
		right.ScalarMultiplication(&key, v.Mod(v, fr.Modulus()))
		sum.Add(&left, &right)
		if felt.Felt(sum.X) != r {
			t.Fatalf("account %d: signature does not verify", i)
		}
	}
}
