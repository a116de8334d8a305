package genesis

import (
	"math/big"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// variable is the storage address of a contract's variable; with keys, of an entry of a map.
func variable(name string, keys ...felt.Felt) felt.Felt {
	address := keccak.Sum([]byte(name))
	for _, key := range keys {
		address = pedersen.Hash(address, key)
	}
	return normalize(address)
}

// normalize brings an address below 2^251 - 256, where contract storage ends.
func normalize(address felt.Felt) felt.Felt {
	bound := new(big.Int).Lsh(big.NewInt(1), 251)
	bound.Sub(bound, big.NewInt(256))
	low, err := felt.FromBig(new(big.Int).Mod(address.Big(), bound))
	if err != nil {
		panic(err) // below the bound is below the prime
	}
	return low
}

// slots is the storage of one contract.
type slots map[felt.Felt]felt.Felt

// put writes a value; zero is absence.
func (s slots) put(key, value felt.Felt) {
	if value.IsZero() {
		delete(s, key)
		return
	}
	s[key] = value
}

// putU256 writes the low half, then the high half behind it.
func (s slots) putU256(key felt.Felt, value *big.Int) {
	mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	low, _ := felt.FromBig(new(big.Int).And(value, mask))
	high, _ := felt.FromBig(new(big.Int).Rsh(value, 128))
	s.put(key, low)
	s.put(key.Add(felt.One()), high)
}

// putText writes a ByteArray of at most 30 bytes: the length at the variable, the bytes in chunk 0, whose address is hashed.
func (s slots) putText(name, text string) {
	base := variable(name)
	s.put(base, felt.FromUint64(uint64(len(text))))
	chunk := poseidon.Permute([3]felt.Felt{base, felt.Zero(), felt.MustShortString("ByteArray")})
	s.put(normalize(chunk[0]), felt.MustShortString(text))
}
