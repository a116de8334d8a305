package starknet

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
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

// Roots grow with the leaves of a block, in its order, so that little is left to hash when it closes.
type Roots struct {
	transactions, receipts, events dense
	ends                           []int // events up to each transaction
}

// Len is how many leaves there are.
func (r *Roots) Len() int { return len(r.ends) }

// Add adds leaves at the end.
func (r *Roots) Add(leaves []Leaf) {
	end := 0
	if n := len(r.ends); n > 0 {
		end = r.ends[n-1]
	}
	for i := range leaves {
		l := &leaves[i]
		r.transactions.add(l.Transaction)
		r.receipts.add(l.Receipt)
		r.events.add(l.Events...)
		end += len(l.Events)
		r.ends = append(r.ends, end)
	}
}

// growLeast is how many nodes of a level are worth hashing before the end: full batches cost half of small ones.
const growLeast = 16

// Grow hashes what the leaves complete. It runs on one core.
func (r *Roots) Grow() {
	for _, d := range []*dense{&r.transactions, &r.receipts, &r.events} {
		d.grow(poseidonPair, growLeast)
	}
}

// Cut leaves the first n leaves.
func (r *Roots) Cut(n int) {
	events := 0
	if n > 0 {
		events = r.ends[n-1]
	}
	r.ends = r.ends[:n]
	r.transactions.cut(n)
	r.receipts.cut(n)
	r.events.cut(events)
}

// Commit computes the roots. each runs functions, side by side if it likes.
func (r *Roots) Commit(each func(...func())) (c Commitments) {
	root := func(to *felt.Felt, of *dense) func() {
		return func() { *to = of.root(poseidonPair) }
	}
	each(root(&c.Events, &r.events), root(&c.Transactions, &r.transactions), root(&c.Receipts, &r.receipts))
	return c
}
