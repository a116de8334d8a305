package poseidon

import (
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

// HashPairs sets dst[i] to the two-to-one hash of (a[i], b[i]). dst may be a or b. It panics when the lengths differ.
// It runs on one core; callers with more cores split the slices.
//
// Without AVX-512 inputs are hashed one by one: lanes in step gain nothing there, for the rounds of one input keep the
// multiplier busy already.
func HashPairs(dst, a, b []felt.Felt) {
	if len(a) != len(b) || len(dst) != len(a) {
		panic("poseidon: HashPairs: slices of different lengths")
	}
	if k := avx512.Best(); k != avx512.None && len(a) >= wideMin {
		hashPairsWide(k, dst, a, b)
		return
	}
	for i := range a {
		dst[i] = Hash(a[i], b[i])
	}
}

// HashLists returns HashMany of every list; the lists may differ in length. It runs on one core.
func HashLists(lists [][]felt.Felt) []felt.Felt {
	out := make([]felt.Felt, len(lists))
	if k := avx512.Best(); k != avx512.None {
		hashListsWide(k, out, lists)
		return out
	}
	for i := range lists {
		out[i] = HashMany(lists[i]...)
	}
	return out
}

func hashListsWide(k avx512.Kernel, out []felt.Felt, lists [][]felt.Felt) {
	// Lists of similar length share a batch, so that few lanes wait for others.
	order := make([]int, len(lists))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return len(lists[j]) - len(lists[i]) })
	for group := range slices.Chunk(order, avx512.Lanes) {
		if len(group) >= wideMin {
			spongeWide(k, out, lists, group)
			continue
		}
		for _, i := range group {
			out[i] = HashMany(lists[i]...)
		}
	}
}
