package starknet

import (
	"testing"

	"github.com/ordo-sequencer/ordo/starknet/felt"
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
			want := func(n int) Commitments {
				return Commitments{TransactionCommitment(signed[:n], v), ReceiptCommitment(receipts[:n]), EventCommitment(receipts[:n])}
			}
			one := func(work ...func()) {
				for _, w := range work {
					w()
				}
			}
			for _, step := range []int{1, 3, 40, 200} {
				var roots Roots
				for at := 0; at < n; at += step {
					end := min(at+step, n)
					roots.Add(HashLeaves(signed[at:end], receipts[at:end], v))
					if at%2 == 0 {
						roots.Grow()
					}
				}
				if got := roots.Commit(one); got != want(n) || roots.Len() != n {
					t.Errorf("%d transactions by %d at %v: %+v, want %+v", n, step, v, got, want(n))
				}
				for _, cut := range []int{n, n - 1, n / 2, n / 3, 0} {
					if cut < 0 || cut > roots.Len() {
						continue
					}
					roots.Cut(cut)
					roots.Add(HashLeaves(signed[cut:], receipts[cut:], v))
					if got := roots.Commit(one); got != want(n) {
						t.Errorf("%d transactions by %d at %v, cut at %d and added again: %+v, want %+v", n, step, v, cut, got, want(n))
					}
					roots.Cut(cut)
					if got := roots.Commit(one); got != want(cut) {
						t.Errorf("%d transactions by %d at %v, cut at %d: %+v, want %+v", n, step, v, cut, got, want(cut))
					}
				}
			}
		}
	}
}
