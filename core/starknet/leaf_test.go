package starknet

import (
	"testing"

	"github.com/ordo-sequencer/ordo/core/starknet/felt"
)

// TestLeaves: leaves hashed in parts give the roots of the commitments.
func TestLeaves(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 8, 65, 130} {
		for _, v := range []Version{V0_13_2, V0_13_4} {
			var signed []Signed
			var receipts []Receipt
			for i := range n {
				hash := felt.FromUint64(uint64(1000 + i))
				signed = append(signed, Signed{Hash: hash, Signature: make([]felt.Felt, i%3)})
				r := Receipt{Hash: hash, Fee: felt.FromUint64(uint64(i)), Gas: Gas{L1: 1, L1Data: uint64(i)}}
				for k := range i % 4 {
					r.Events = append(r.Events, Event{From: hash, Keys: make([]felt.Felt, k), Data: make([]felt.Felt, i%5)})
				}
				if i%7 == 3 {
					r.Reverted, r.RevertReason = true, "why"
				}
				receipts = append(receipts, r)
			}
			var leaves []Leaf
			for at := 0; at < n; at += 3 {
				end := min(at+3, n)
				leaves = append(leaves, HashLeaves(signed[at:end], receipts[at:end], v)...)
			}
			got := Commit(leaves, func(work ...func()) {
				for _, w := range work {
					w()
				}
			})
			want := Commitments{TransactionCommitment(signed, v), ReceiptCommitment(receipts), EventCommitment(receipts)}
			if got != want {
				t.Errorf("%d transactions at %v: %+v, want %+v", n, v, got, want)
			}
		}
	}
}
