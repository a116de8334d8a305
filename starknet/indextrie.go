package starknet

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// commitmentHeight is the height of the tries of a block; indices are the keys.
const commitmentHeight = 64

// pairHash is one of the hashes of two felts, alone and in batches.
type pairHash struct {
	one   func(a, b felt.Felt) felt.Felt
	batch func(dst, a, b []felt.Felt)
}

var (
	poseidonPair = pairHash{poseidon.Hash, poseidon.HashPairs}
	pedersenPair = pairHash{pedersen.Hash, pedersen.HashPairs} // before 0.13.2
)

func poseidonRoot(leaves []felt.Felt) felt.Felt { return rootOf(poseidonPair, leaves) }
func pedersenRoot(leaves []felt.Felt) felt.Felt { return rootOf(pedersenPair, leaves) }

func rootOf(hash pairHash, leaves []felt.Felt) felt.Felt {
	var d dense
	d.add(leaves...)
	return d.root(hash)
}

// dense is a trie with keys 0, 1, 2, ... that grows at its end: levels[k] are the nodes of height k whose leaves are all
// there. A trie of n leaves has n>>k of them at most, and fewer while they wait to be hashed together.
type dense struct{ levels [][]felt.Felt }

func (d *dense) add(leaves ...felt.Felt) {
	if len(d.levels) == 0 {
		d.levels = make([][]felt.Felt, 1, 16)
	}
	d.levels[0] = append(d.levels[0], leaves...)
}

// cut leaves the first n leaves.
func (d *dense) cut(n int) {
	for k := range d.levels {
		d.levels[k] = d.levels[k][:min(len(d.levels[k]), n>>k)]
	}
}

// grow hashes nodes of a level whose children are there, where there are at least so many.
func (d *dense) grow(hash pairHash, least int) {
	for k := 0; k < len(d.levels) && len(d.levels[k]) > 1; k++ {
		if k+1 == len(d.levels) {
			d.levels = append(d.levels, nil)
		}
		from, to := len(d.levels[k+1]), len(d.levels[k])/2
		if to-from < least {
			continue
		}
		left, right := make([]felt.Felt, to-from), make([]felt.Felt, to-from)
		for i := range left {
			left[i], right[i] = d.levels[k][2*(from+i)], d.levels[k][2*(from+i)+1]
		}
		hash.batch(left, left, right)
		d.levels[k+1] = append(d.levels[k+1], left...)
	}
}

// root is that of the whole trie.
func (d *dense) root(hash pairHash) felt.Felt {
	if len(d.levels) == 0 || len(d.levels[0]) == 0 {
		return felt.Zero()
	}
	d.grow(hash, 1)
	// At the right border of a level there may be a node some of whose leaves are missing: border, below an edge of up zeros.
	var border felt.Felt
	up, partial := 0, 0
	k := 0
	for ; len(d.level(k))+partial > 1; k++ {
		nodes := d.level(k)
		last := len(nodes) - 1
		switch {
		case len(nodes)%2 == 1 && partial == 1:
			if up > 0 {
				border = leftEdge(hash, border, up)
			}
			border, up = hash.one(nodes[last], border), 0
		case len(nodes)%2 == 1:
			border, up, partial = nodes[last], 1, 1
		case partial == 1:
			up++
		}
	}
	if partial == 0 {
		border = d.level(k)[0]
	}
	return leftEdge(hash, border, up+commitmentHeight-k)
}

func (d *dense) level(k int) []felt.Felt {
	if k < len(d.levels) {
		return d.levels[k]
	}
	return nil
}

// leftEdge is the hash of an edge whose path is all zeros.
func leftEdge(hash pairHash, child felt.Felt, length int) felt.Felt {
	return hash.one(child, felt.Zero()).Add(num(length))
}
