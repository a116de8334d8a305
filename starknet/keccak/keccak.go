// Package keccak is Starknet's keccak: Ethereum's keccak-256 cut to 250 bits, and the entry-point selectors made with it.
package keccak

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"golang.org/x/crypto/sha3"
)

// Sum returns keccak-256 of the data without its six highest bits.
func Sum(data []byte) felt.Felt {
	h := sha3.NewLegacyKeccak256()
	h.Write(data)
	digest := h.Sum(nil)
	digest[0] &= 3
	return felt.Reduce(digest)
}

// Selector returns the selector of an entry point: Sum of its name, or 0 for the two default entry points.
func Selector(name string) felt.Felt {
	if name == "__default__" || name == "__l1_default__" {
		return felt.Zero()
	}
	return Sum([]byte(name))
}
