package starknet

import (
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/poseidon"
)

// Leaf is one transaction in the commitments of its block. It does not depend on the rest of the block, so it can be hashed
// as soon as the transaction has run.
type Leaf struct {
	Transaction, Receipt felt.Felt
	Events               []felt.Felt
}

// HashLeaves hashes the leaves of transactions with their receipts, all in one batch. It runs on one core.
func HashLeaves(list []Signed, receipts []Receipt, v Version) []Leaf {
	if len(list) != len(receipts) {
		panic("starknet: HashLeaves: lists of different lengths")
	}
	lists := make([][]felt.Felt, 0, 4*len(list))
	for i := range list {
		r := &receipts[i]
		lists = append(lists, list[i].leaf(v), r.leaf())
		for k := range r.Events {
			lists = append(lists, r.Events[k].leaf(r.Hash))
		}
	}
	hashes := poseidon.HashLists(lists)
	leaves := make([]Leaf, len(list))
	for i := range leaves {
		n := 2 + len(receipts[i].Events)
		leaves[i] = Leaf{Transaction: hashes[0], Receipt: hashes[1], Events: hashes[2:n:n]}
		hashes = hashes[n:]
	}
	return leaves
}

// Commitments are the roots over the transactions of a block, their receipts and their events.
type Commitments struct{ Transactions, Receipts, Events felt.Felt }

// Commit computes the roots over leaves in the order of the block. each runs functions, side by side if it likes.
func Commit(leaves []Leaf, each func(...func())) (c Commitments) {
	root := func(to *felt.Felt, of func(Leaf) []felt.Felt) func() {
		return func() {
			var nodes []felt.Felt
			for _, l := range leaves {
				nodes = append(nodes, of(l)...)
			}
			*to = poseidonTree.root(nodes)
		}
	}
	each(
		root(&c.Events, func(l Leaf) []felt.Felt { return l.Events }),
		root(&c.Transactions, func(l Leaf) []felt.Felt { return []felt.Felt{l.Transaction} }),
		root(&c.Receipts, func(l Leaf) []felt.Felt { return []felt.Felt{l.Receipt} }),
	)
	return c
}
