// Package trie computes Starknet state roots: Merkle-Patricia tries of height 251, hashed with Pedersen or Poseidon.
//
// State is the whole commitment: Apply takes what a block changed and returns the new roots. It keeps the pages it
// touched in memory; Flush hands the changed ones to a store. Everything here can be rebuilt from the leaves, so a store
// of pages is a cache and nothing more.
//
//	state := trie.NewState(trie.NewMemory())
//	roots, err := state.Apply(diff)
//	root := roots.Root(true)
//
// A State is not safe for concurrent use, and must be dropped after an error: part of the update may be in it.
package trie
