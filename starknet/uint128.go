package starknet

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Uint128 is a gas price or an amount of money.
type Uint128 struct{ Hi, Lo uint64 }

// Felt returns the number as a felt.
func (u Uint128) Felt() felt.Felt { return felt.FromUint128(u.Hi, u.Lo) }

// IsZero reports whether the number is 0.
func (u Uint128) IsZero() bool { return u == Uint128{} }

// Big returns the number as a new big.Int.
func (u Uint128) Big() *big.Int { return u.Felt().Big() }

// Cmp orders: -1, 0 or 1.
func (u Uint128) Cmp(w Uint128) int {
	switch {
	case u.Hi < w.Hi || u.Hi == w.Hi && u.Lo < w.Lo:
		return -1
	case u == w:
		return 0
	}
	return 1
}

// Hex writes 0x and the digits without leading zeros.
func (u Uint128) Hex() string { return u.Felt().Hex() }

// String is Hex.
func (u Uint128) String() string { return u.Hex() }

// MarshalText writes Hex.
func (u Uint128) MarshalText() ([]byte, error) { return u.Felt().MarshalText() }

// UnmarshalText reads hex after 0x; the number must fit in 128 bits.
func (u *Uint128) UnmarshalText(b []byte) error {
	f, err := felt.ParseHex(string(b))
	if err != nil {
		return err
	}
	*u, err = Uint128FromFelt(f)
	return err
}

// Uint128FromFelt fails when the number needs more than 128 bits.
func Uint128FromFelt(f felt.Felt) (Uint128, error) {
	hi, lo, ok := f.Uint128()
	if !ok {
		return Uint128{}, fmt.Errorf("%s: more than 128 bits", f)
	}
	return Uint128{hi, lo}, nil
}

// Uint128FromBig fails when the number is negative or needs more than 128 bits.
func Uint128FromBig(n *big.Int) (Uint128, error) {
	if n.Sign() < 0 || n.BitLen() > 128 {
		return Uint128{}, errors.New("number is negative or has more than 128 bits")
	}
	return Uint128{new(big.Int).Rsh(n, 64).Uint64(), new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()}, nil
}
