// Package blake is Starknet's Blake2s hash over felts (SNIP-34), which compiled class hashes use from 0.14.1 on.
package blake

import (
	"encoding/binary"
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"golang.org/x/crypto/blake2s"
)

// HashMany returns the hash of a list of felts.
//
// A felt below 2^63 is two 32-bit words, high first; any other is eight, with the top bit of the first set, which tells the
// two apart. Words are hashed little-endian, and the digest is a little-endian number modulo p.
func HashMany(list ...felt.Felt) felt.Felt {
	data := make([]byte, 0, 8*len(list)+24)
	for i := range list {
		w := list[i].Words()
		if w[1]|w[2]|w[3] == 0 && w[0] < 1<<63 {
			data = appendWord(data, w[0])
			continue
		}
		w[3] |= 1 << 63
		for k := 3; k >= 0; k-- {
			data = appendWord(data, w[k])
		}
	}
	digest := blake2s.Sum256(data)
	slices.Reverse(digest[:])
	return felt.Reduce(digest[:])
}

func appendWord(dst []byte, w uint64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(w>>32))
	return binary.LittleEndian.AppendUint32(dst, uint32(w))
}
