package starknet

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
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
	return poseidonRoot(poseidon.HashLists(leaves))
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
	return poseidonRoot(poseidon.HashLists(leaves))
}

// ReceiptCommitment is the root over the receipts in the order of the block.
func ReceiptCommitment(receipts []Receipt) felt.Felt {
	leaves := make([][]felt.Felt, len(receipts))
	for i := range receipts {
		leaves[i] = receipts[i].leaf()
	}
	return poseidonRoot(poseidon.HashLists(leaves))
}

// EventCount is the number of events in the block.
func EventCount(receipts []Receipt) int {
	n := 0
	for i := range receipts {
		n += len(receipts[i].Events)
	}
	return n
}
