package felt

import (
	"encoding/hex"
	"errors"
	"fmt"
)

const hexDigits = "0123456789abcdef"

// FromHex reads the canonical form of the JSON-RPC specification: 0x0, or 0x and up to 63 lower-case digits of which the
// first is not 0.
func FromHex(s string) (Felt, error) {
	if len(s) > 3 && s[2] == '0' {
		return Felt{}, fmt.Errorf("felt: %s: leading zero", clip(s))
	}
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return Felt{}, fmt.Errorf("felt: %s: must be lower case", clip(s))
		}
	}
	return ParseHex(s)
}

// ParseHex reads hex as people and older tools write it: either case, leading zeros, up to 64 digits after 0x.
func ParseHex(s string) (Felt, error) {
	if len(s) < 3 || s[0] != '0' || (s[1] != 'x' && s[1] != 'X') {
		return Felt{}, fmt.Errorf("felt: %s: want 0x and hex digits", clip(s))
	}
	digits := s[2:]
	if len(digits) > 2*Size {
		return Felt{}, fmt.Errorf("felt: %s: %d digits, at most %d expected", clip(s), len(digits), 2*Size)
	}
	var text [2 * Size]byte
	for i := range text {
		text[i] = '0'
	}
	copy(text[len(text)-len(digits):], digits)
	var b [Size]byte
	if _, err := hex.Decode(b[:], text[:]); err != nil {
		return Felt{}, fmt.Errorf("felt: %s: not a hex digit", clip(s))
	}
	return FromBytes(b[:])
}

// MustHex is ParseHex for constants in source text; it panics on what a constant must not be.
func MustHex(s string) Felt {
	f, err := ParseHex(s)
	if err != nil {
		panic(err)
	}
	return f
}

// Hex writes 0x and the digits without leading zeros, lower case.
func (f Felt) Hex() string { return string(f.appendHex(make([]byte, 0, 2+2*Size))) }

// String is Hex.
func (f Felt) String() string { return f.Hex() }

// PaddedHex writes 0x and exactly 64 digits, the way wallets print addresses.
func (f Felt) PaddedHex() string {
	b := f.Bytes()
	return "0x" + hex.EncodeToString(b[:])
}

func (f Felt) appendHex(dst []byte) []byte {
	b := f.Bytes()
	dst = append(dst, '0', 'x')
	started := false
	for i, c := range b {
		if hi := c >> 4; started || hi != 0 {
			dst = append(dst, hexDigits[hi])
			started = true
		}
		if lo := c & 15; started || lo != 0 || i == Size-1 {
			dst = append(dst, hexDigits[lo])
			started = true
		}
	}
	return dst
}

// MarshalText writes Hex, so felts are hex strings in JSON, TOML and as JSON object keys.
func (f Felt) MarshalText() ([]byte, error) { return f.appendHex(make([]byte, 0, 2+2*Size)), nil }

// UnmarshalText reads as ParseHex does: old data and users write leading zeros. Use FromHex where the strict form is due.
func (f *Felt) UnmarshalText(text []byte) error {
	g, err := ParseHex(string(text))
	if err != nil {
		return err
	}
	*f = g
	return nil
}

// MarshalJSON writes a quoted Hex.
func (f Felt) MarshalJSON() ([]byte, error) {
	out := f.appendHex(append(make([]byte, 0, 4+2*Size), '"'))
	return append(out, '"'), nil
}

// UnmarshalJSON reads a quoted hex string; numbers, null and escapes are refused.
func (f *Felt) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return errors.New("felt: want a quoted hex string")
	}
	return f.UnmarshalText(data[1 : len(data)-1])
}

// clip keeps hostile input out of logs and error texts.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
