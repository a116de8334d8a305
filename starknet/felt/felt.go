// Package felt is the element of Starknet's base field, p = 2^251 + 17*2^192 + 1.
//
// A Felt is a plain value: comparable, usable as a map key, zero when zeroed. It is kept in Montgomery form (gnark-crypto's
// layout), so equal numbers are equal arrays and arithmetic needs no conversion; Cmp orders by number, not by layout.
package felt

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// Size is the length of a felt on the wire: 32 bytes, big-endian.
const Size = 32

// Key is a felt in its wire form: a hash, an address or a storage key. It need not be below the field prime.
type Key = [Size]byte

// ErrRange means the number is not below the field prime.
var ErrRange = errors.New("felt: number is not below the field prime")

// Felt is a field element. It converts to and from fp.Element for packages that do their own arithmetic.
type Felt fp.Element

// Zero and One are spelled as functions so that no code can assign to them.
func Zero() Felt { return Felt{} }

// One returns the number 1.
func One() Felt { return Felt(fp.One()) }

// FromUint64 returns n.
func FromUint64(n uint64) Felt {
	var e fp.Element
	e.SetUint64(n)
	return Felt(e)
}

// FromUint128 returns hi*2^64 + lo.
func FromUint128(hi, lo uint64) Felt {
	if hi == 0 {
		return FromUint64(lo)
	}
	var b [Size]byte
	for i := range 8 {
		b[16+i] = byte(hi >> (56 - 8*i))
		b[24+i] = byte(lo >> (56 - 8*i))
	}
	f, _ := FromBytes(b[:]) // 128 bits are always below p
	return f
}

// FromBytes reads at most 32 bytes, big-endian; the number must be below p.
func FromBytes(b []byte) (Felt, error) {
	if len(b) > Size {
		return Felt{}, fmt.Errorf("felt: %d bytes: at most %d expected", len(b), Size)
	}
	var full [Size]byte
	copy(full[Size-len(b):], b)
	e, err := fp.BigEndian.Element(&full)
	if err != nil {
		return Felt{}, ErrRange
	}
	return Felt(e), nil
}

// FromBig reads a non-negative number below p.
func FromBig(n *big.Int) (Felt, error) {
	if n.Sign() < 0 || n.Cmp(fp.Modulus()) >= 0 {
		return Felt{}, ErrRange
	}
	var e fp.Element
	e.SetBigInt(n)
	return Felt(e), nil
}

// Reduce reads any number of big-endian bytes modulo p; hash digests wider than the field need it.
func Reduce(b []byte) Felt {
	var e fp.Element
	e.SetBytes(b)
	return Felt(e)
}

// FromShortString packs at most 31 ASCII characters, as Cairo short strings do.
func FromShortString(s string) (Felt, error) {
	if len(s) > 31 {
		return Felt{}, fmt.Errorf("felt: short string of %d characters: at most 31 fit", len(s))
	}
	for i := range len(s) {
		if s[i] > 0x7f {
			return Felt{}, fmt.Errorf("felt: short string: byte %d is not ascii", i)
		}
	}
	return FromBytes([]byte(s))
}

// MustShortString is FromShortString for constants in source text; it panics on what a constant must not be.
func MustShortString(s string) Felt {
	f, err := FromShortString(s)
	if err != nil {
		panic(err)
	}
	return f
}

// ShortString reads the felt back as text; ok is false when a byte is not printable ASCII.
func (f Felt) ShortString() (s string, ok bool) {
	b := f.Bytes()
	i := 0
	for i < Size && b[i] == 0 {
		i++
	}
	for _, c := range b[i:] {
		if c < 0x20 || c > 0x7e {
			return "", false
		}
	}
	return string(b[i:]), true
}

// Bytes returns the number as 32 bytes, big-endian.
func (f Felt) Bytes() [Size]byte {
	e := fp.Element(f)
	return e.Bytes()
}

// Append appends the 32 bytes of the number to dst.
func (f Felt) Append(dst []byte) []byte {
	b := f.Bytes()
	return append(dst, b[:]...)
}

// Big returns the number as a new big.Int.
func (f Felt) Big() *big.Int {
	e := fp.Element(f)
	return e.BigInt(new(big.Int))
}

// Uint64 returns the number and whether it fits.
func (f Felt) Uint64() (uint64, bool) {
	e := fp.Element(f)
	if !e.IsUint64() {
		return 0, false
	}
	return e.Uint64(), true
}

// Uint128 returns the two halves of the number and whether it fits in 128 bits.
func (f Felt) Uint128() (hi, lo uint64, ok bool) {
	w := f.Words()
	return w[1], w[0], w[2]|w[3] == 0
}

// Words returns the number (not the Montgomery form) as four 64-bit words, least significant first.
func (f Felt) Words() [4]uint64 {
	e := fp.Element(f)
	return e.Bits()
}

// IsZero reports whether the number is 0.
func (f Felt) IsZero() bool { return f == Felt{} }

// Cmp orders by number: -1, 0 or 1.
func (f Felt) Cmp(g Felt) int {
	a, b := f.Words(), g.Words()
	for i := 3; i >= 0; i-- {
		switch {
		case a[i] < b[i]:
			return -1
		case a[i] > b[i]:
			return 1
		}
	}
	return 0
}

// Add returns f+g mod p.
func (f Felt) Add(g Felt) Felt {
	a, b := fp.Element(f), fp.Element(g)
	a.Add(&a, &b)
	return Felt(a)
}

// Sub returns f-g mod p.
func (f Felt) Sub(g Felt) Felt {
	a, b := fp.Element(f), fp.Element(g)
	a.Sub(&a, &b)
	return Felt(a)
}

// Mul returns f*g mod p.
func (f Felt) Mul(g Felt) Felt {
	a, b := fp.Element(f), fp.Element(g)
	a.Mul(&a, &b)
	return Felt(a)
}

// Pack puts a list on the wire: 32 bytes big-endian each, nothing between.
func Pack(list []Felt) []byte {
	if len(list) == 0 {
		return nil
	}
	out := make([]byte, 0, Size*len(list))
	for _, f := range list {
		out = f.Append(out)
	}
	return out
}

// Unpack reads what Pack wrote; the length must be a multiple of 32 and every felt below p. An empty input gives nil.
func Unpack(packed []byte) ([]Felt, error) {
	if len(packed)%Size != 0 {
		return nil, fmt.Errorf("felt: packed list of %d bytes: not a multiple of %d", len(packed), Size)
	}
	if len(packed) == 0 {
		return nil, nil
	}
	out := make([]Felt, len(packed)/Size)
	for i := range out {
		f, err := FromBytes(packed[i*Size : (i+1)*Size])
		if err != nil {
			return nil, fmt.Errorf("felt: packed list: element %d: %w", i, err)
		}
		out[i] = f
	}
	return out, nil
}
