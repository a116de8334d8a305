package genesis

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/big"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fr"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Sign is ECDSA on the Stark curve. The secret number comes from key and message, so the same message always gets the
// same signature.
func Sign(key, message felt.Felt) (r, s felt.Felt) {
	order := fr.Modulus()
	limit := new(big.Int).Lsh(big.NewInt(1), 251)
	d, z := key.Big(), message.Big()
	for try := byte(0); ; try++ {
		k := secret(key, message, try, order)
		var point starkcurve.G1Affine
		point.ScalarMultiplicationBase(k)
		x := felt.Felt(point.X).Big()
		if x.Sign() == 0 || x.Cmp(limit) >= 0 {
			continue
		}
		sum := new(big.Int).Mul(x, d)
		sum.Add(sum, z).Mod(sum, order)
		if sum.Sign() == 0 {
			continue
		}
		// The verifier works with w = k/(z+rd); it must be below the limit, and s is its inverse.
		inverse := new(big.Int).ModInverse(sum, order)
		w := inverse.Mul(inverse, k)
		w.Mod(w, order)
		if w.Sign() == 0 || w.Cmp(limit) >= 0 {
			continue
		}
		out, err := felt.FromBig(new(big.Int).ModInverse(w, order))
		if err != nil {
			continue
		}
		return felt.Felt(point.X), out
	}
}

// Faucet signs for the account that may mint.
type Faucet struct{ Account Account }

// Address is the account's.
func (f Faucet) Address() felt.Felt { return f.Account.Address }

// Sign signs a transaction hash.
func (f Faucet) Sign(hash felt.Felt) ([]felt.Felt, error) {
	r, s := Sign(f.Account.PrivateKey, hash)
	return []felt.Felt{r, s}, nil
}

func secret(key, message felt.Felt, try byte, order *big.Int) *big.Int {
	k, m := key.Bytes(), message.Bytes()
	mac := hmac.New(sha256.New, k[:])
	mac.Write(m[:])
	mac.Write([]byte{try})
	first := mac.Sum(nil)
	mac.Write(first)
	wide := append(first, mac.Sum(nil)...) // twice the width, so that the remainder is even
	n := new(big.Int).SetBytes(wide)
	n.Mod(n, new(big.Int).Sub(order, big.NewInt(1)))
	return n.Add(n, big.NewInt(1))
}
