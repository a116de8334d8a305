package starknet

import (
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/core/starknet/poseidon"
)

// Signed is what the transaction commitment covers of one transaction.
type Signed struct {
	Hash      felt.Felt
	Signature []felt.Felt
}

// TransactionCommitment is the root over hashes and signatures in the order of the block.
func TransactionCommitment(list []Signed, v Version) felt.Felt {
	leaves := make([][]felt.Felt, len(list))
	for i := range list {
		leaves[i] = list[i].leaf(v)
	}
	return poseidonTree.root(poseidon.HashLists(leaves))
}

// leaf lists what the transaction's leaf in the transaction commitment hashes.
func (s *Signed) leaf(v Version) []felt.Felt {
	out := append([]felt.Felt{s.Hash}, s.Signature...)
	if len(s.Signature) == 0 && v.Before(V0_13_4) {
		out = append(out, felt.Zero()) // "no signature" was one zero then
	}
	return out
}

// EventCommitment is the root over all events of the block, in order.
func EventCommitment(receipts []Receipt) felt.Felt {
	var leaves [][]felt.Felt
	for i := range receipts {
		for k := range receipts[i].Events {
			leaves = append(leaves, receipts[i].Events[k].leaf(receipts[i].Hash))
		}
	}
	return poseidonTree.root(poseidon.HashLists(leaves))
}

// ReceiptCommitment is the root over the receipts in the order of the block.
func ReceiptCommitment(receipts []Receipt) felt.Felt {
	leaves := make([][]felt.Felt, len(receipts))
	for i := range receipts {
		leaves[i] = receipts[i].leaf()
	}
	return poseidonTree.root(poseidon.HashLists(leaves))
}

// EventCount is the number of events in the block.
func EventCount(receipts []Receipt) int {
	n := 0
	for i := range receipts {
		n += len(receipts[i].Events)
	}
	return n
}

// commitmentHeight is the height of the tries of a block; indices are the keys.
const commitmentHeight = 64

// dense is a trie with keys 0, 1, 2, ... over one of the hashes.
type dense struct {
	hash  func(a, b felt.Felt) felt.Felt
	pairs func(dst, a, b []felt.Felt)
}

var (
	poseidonTree = dense{poseidon.Hash, poseidon.HashPairs}
	pedersenTree = dense{pedersen.Hash, pedersen.HashPairs} // before 0.13.2
)

// root is the root of the trie that holds nodes[i] at key i. It overwrites nodes.
//
// Keys are dense, so the trie is built level by level: all nodes of a level but the last have both children, and only the
// last may be waiting for the end of an edge to the left.
func (d dense) root(nodes []felt.Felt) felt.Felt {
	if len(nodes) == 0 {
		return felt.Zero()
	}
	level := 0
	waiting := 0 // length of the open edge above the last node
	for ; len(nodes) > 1; level++ {
		last := len(nodes) - 1
		pairs := len(nodes) / 2
		if len(nodes)%2 == 0 && waiting > 0 {
			nodes[last] = d.leftEdge(nodes[last], waiting)
			waiting = 0
		}
		left, right := make([]felt.Felt, pairs), make([]felt.Felt, pairs)
		for i := range pairs {
			left[i], right[i] = nodes[2*i], nodes[2*i+1]
		}
		if len(nodes)%2 == 1 {
			waiting++
			nodes[pairs] = nodes[last]
			d.pairs(nodes[:pairs], left, right)
			nodes = nodes[:pairs+1]
		} else {
			d.pairs(nodes[:pairs], left, right)
			nodes = nodes[:pairs]
		}
	}
	return d.leftEdge(nodes[0], commitmentHeight-level)
}

// leftEdge is the hash of an edge whose path is all zeros.
func (d dense) leftEdge(child felt.Felt, length int) felt.Felt {
	return d.hash(child, felt.Zero()).Add(num(length))
}
