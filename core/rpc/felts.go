package rpc

import (
	"encoding/hex"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// hexFelt is a big-endian number of any length that appears in JSON as hex without leading zeros; empty is 0x0.
type hexFelt []byte

// MarshalJSON implements json.Marshaler.
func (f hexFelt) MarshalJSON() ([]byte, error) { return appendHex(make([]byte, 0, 68), f), nil }

// hexFelts is a packed list of felts that appears as a JSON list.
type hexFelts []byte

// MarshalJSON implements json.Marshaler.
func (l hexFelts) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 2+len(l)*69/felt.Size), '[')
	for row := range felt.Rows(l) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendHex(out, row)
	}
	return append(out, ']'), nil
}

// hexUint is a number that appears as hex.
type hexUint uint64

// MarshalJSON implements json.Marshaler.
func (n hexUint) MarshalJSON() ([]byte, error) {
	b := []byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	return appendHex(make([]byte, 0, 20), b), nil
}

func appendHex(dst, number []byte) []byte {
	for len(number) > 0 && number[0] == 0 {
		number = number[1:]
	}
	if len(number) == 0 {
		return append(dst, `"0x0"`...)
	}
	dst = append(dst, `"0x`...)
	at := len(dst)
	dst = hex.AppendEncode(dst, number)
	if dst[at] == '0' {
		dst = append(dst[:at], dst[at+1:]...)
	}
	return append(dst, '"')
}

func isZero(number []byte) bool {
	for _, c := range number {
		if c != 0 {
			return false
		}
	}
	return true
}
