package genesis

import (
	"math/big"

	starkcurve "github.com/consensys/gnark-crypto/ecc/stark-curve"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Account is a predeployed account: wallets and test suites know the ones of seed 0 by heart.
type Account struct {
	Address    felt.Felt
	PrivateKey felt.Felt
	PublicKey  felt.Felt
}

// Accounts derives n accounts from a seed exactly as starknet-devnet does.
//
// The address is computed from an old class hash whatever the real class is, so that it never changes.
func Accounts(seed uint32, n int) []Account {
	addressClass := felt.MustHex("0x3fcbf77b28c96f4f2fb5bd2d176ab083a12a5e123adeb0de955d7ee228c9854")
	salt := felt.FromUint64(20)
	random := newMersenne(uint64(seed))
	list := make([]Account, n)
	for i := range list {
		lo := random.uint64()
		hi := random.uint64()
		key := felt.FromUint128(hi, lo)
		public := PublicKey(key)
		list[i] = Account{
			Address:    starknet.ContractAddress(felt.Zero(), salt, addressClass, []felt.Felt{public}),
			PrivateKey: key,
			PublicKey:  public,
		}
	}
	return list
}

// chargeable is the account that may mint: devnet_mint sends from it.
func chargeable() Account {
	return Account{
		Address:    felt.MustHex("0x1caf2df5ed5dde1ae3faef4acd72522ac3cb16e23f6dc4c7f9faed67124c511"),
		PrivateKey: felt.MustHex("0x5fb2959e3011a873a7160f5bb32b0ece"),
		PublicKey:  felt.MustHex("0x4c37ab4f0994879337bfd4ead0800776db57da382b8ed8efaa478c5d3b942a4"),
	}
}

// PublicKey is the x coordinate of the private key's point on the Stark curve.
func PublicKey(private felt.Felt) felt.Felt {
	var point starkcurve.G1Affine
	point.ScalarMultiplicationBase(private.Big())
	return felt.Felt(point.X)
}

// chargeableBalance is 2^255: enough to mint from for ever.
func chargeableBalance() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 255) }
