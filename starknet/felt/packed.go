package felt

import "iter"

// Rows walks a packed list of felts. What is left over at its end is not visited.
func Rows(packed []byte) iter.Seq[[]byte] {
	return func(yield func(row []byte) bool) {
		for ; len(packed) >= Size; packed = packed[Size:] {
			if !yield(packed[:Size:Size]) {
				return
			}
		}
	}
}

// Pairs walks a packed list of pairs of felts, such as keys with their values.
func Pairs(packed []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(first, second []byte) bool) {
		for ; len(packed) >= 2*Size; packed = packed[2*Size:] {
			if !yield(packed[:Size:Size], packed[Size:2*Size:2*Size]) {
				return
			}
		}
	}
}
