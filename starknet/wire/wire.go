// Package wire converts between the messages of the plugin protocol (sdk/proto) and the types of starknet.
// It is strict: a felt is 32 bytes or absent, a u128 is 16 bytes or absent, lists are whole felts, diffs are canonical.
package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Felt reads a felt; absent is 0.
func Felt(b []byte) (felt.Felt, error) {
	if len(b) == 0 {
		return felt.Zero(), nil
	}
	if len(b) != felt.Size {
		return felt.Felt{}, fmt.Errorf("felt of %d bytes: want %d", len(b), felt.Size)
	}
	return felt.FromBytes(b)
}

// FromFelt writes a felt.
func FromFelt(f felt.Felt) []byte { return f.Append(make([]byte, 0, felt.Size)) }

// Uint128 reads a u128; absent is 0.
func Uint128(b []byte) (starknet.Uint128, error) {
	switch len(b) {
	case 0:
		return starknet.Uint128{}, nil
	case 16:
		return starknet.Uint128{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}, nil
	}
	return starknet.Uint128{}, fmt.Errorf("u128 of %d bytes: want 16", len(b))
}

// FromUint128 writes a u128.
func FromUint128(u starknet.Uint128) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), u.Hi)
	return binary.BigEndian.AppendUint64(b, u.Lo)
}

// reader keeps the first error, with the name of the field.
type reader struct {
	what string
	err  error
}

func (r *reader) fail(field string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %s: %w", r.what, field, err)
	}
}

func (r *reader) felt(field string, b []byte) felt.Felt {
	f, err := Felt(b)
	r.fail(field, err)
	return f
}

func (r *reader) felts(field string, b []byte) []felt.Felt {
	list, err := felt.Unpack(b)
	r.fail(field, err)
	return list
}

func (r *reader) uint128(field string, b []byte) starknet.Uint128 {
	u, err := Uint128(b)
	r.fail(field, err)
	return u
}

func (r *reader) pairs(field string, b []byte) []starknet.Pair {
	if len(b)%(2*felt.Size) != 0 {
		r.fail(field, fmt.Errorf("list of pairs of %d bytes: not a multiple of %d", len(b), 2*felt.Size))
		return nil
	}
	flat := r.felts(field, b)
	if len(flat) == 0 || r.err != nil {
		return nil
	}
	out := make([]starknet.Pair, len(flat)/2)
	for i := range out {
		out[i] = starknet.Pair{Key: flat[2*i], Value: flat[2*i+1]}
	}
	return out
}

func packPairs(list []starknet.Pair) []byte {
	if len(list) == 0 {
		return nil
	}
	b := make([]byte, 0, 2*felt.Size*len(list))
	for _, p := range list {
		b = p.Value.Append(p.Key.Append(b))
	}
	return b
}
