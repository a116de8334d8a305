package starknet

import (
	"sync"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// text is a domain separator or another constant of the protocol that is ASCII.
func text(s string) felt.Felt { return felt.MustShortString(s) }

func num[T ~int | ~uint8 | ~uint32 | ~uint64](n T) felt.Felt { return felt.FromUint64(uint64(n)) }

func poseidonMany(list ...felt.Felt) felt.Felt {
	if len(list) == 0 {
		return hashOfNothing()
	}
	return poseidon.HashMany(list...)
}

// hashOfNothing is the Poseidon hash of an empty list, of which every transaction has two.
var hashOfNothing = sync.OnceValue(func() felt.Felt { return poseidon.HashMany() })

func pedersenMany(list ...felt.Felt) felt.Felt { return pedersen.HashArray(list...) }

// concat is for lists that are hashed whole.
func concat(parts ...[]felt.Felt) []felt.Felt {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]felt.Felt, 0, n)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
