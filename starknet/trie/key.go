package trie

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Height of every Starknet state trie: keys are 251-bit paths.
const Height = 251

// ErrKeyRange is returned for a key of 2^251 or more: no path leads there.
var ErrKeyRange = errors.New("trie: key is not below 2^251")

// path is a key of 251 bits, left aligned: bit 0, the first step below the root, is the top bit of word 0. Prefixes
// keep their unused low bits at zero, so equal prefixes are equal values and paths sort as keys do.
type path [4]uint64

func pathOf(f felt.Felt) (path, error) {
	w := f.Words() // least significant first
	if w[3]>>59 != 0 {
		return path{}, ErrKeyRange
	}
	return path{w[3]<<5 | w[2]>>59, w[2]<<5 | w[1]>>59, w[1]<<5 | w[0]>>59, w[0] << 5}, nil
}

// key is the inverse of pathOf.
func (p path) key() felt.Felt {
	return feltOfWords(p[0]>>5, p[1]>>5|p[0]<<59, p[2]>>5|p[1]<<59, p[3]>>5|p[2]<<59)
}

// bytes is the left-aligned form: byte 0 holds the first eight steps.
func (p path) bytes() [32]byte {
	var b [32]byte
	for i, w := range p {
		binary.BigEndian.PutUint64(b[8*i:], w)
	}
	return b
}

func pathFromBytes(b *[32]byte) path {
	var p path
	for i := range p {
		p[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return p
}

func (p path) bit(i uint8) int { return int(p[i/64]>>(63-i%64)) & 1 }

func (p path) withBit(i uint8) path {
	p[i/64] |= 1 << (63 - i%64)
	return p
}

// prefix keeps the first n bits.
func (p path) prefix(n uint8) path {
	for i := range p {
		switch keep := int(n) - 64*i; {
		case keep <= 0:
			p[i] = 0
		case keep < 64:
			p[i] &= ^uint64(0) << (64 - keep)
		}
	}
	return p
}

// join is p, which has n bits, with the bits of q behind them.
func (p path) join(q path, n uint8) path {
	head := q.prefix(n)
	for i := range q {
		p[i] |= q[i] ^ head[i]
	}
	return p
}

// common is the length of the longest common prefix, at most Height.
func (p path) common(q path) uint8 {
	for i := range p {
		if x := p[i] ^ q[i]; x != 0 {
			return uint8(min(64*i+bits.LeadingZeros64(x), Height))
		}
	}
	return Height
}

func (p path) compare(q path) int {
	for i := range p {
		switch {
		case p[i] < q[i]:
			return -1
		case p[i] > q[i]:
			return 1
		}
	}
	return 0
}

// segment is the number that the bits [from, to) spell: the path of an edge.
func (p path) segment(from, to uint8) felt.Felt {
	for i := range p { // forget the bits before `from`
		switch drop := int(from) - 64*i; {
		case drop >= 64:
			p[i] = 0
		case drop > 0:
			p[i] &= ^uint64(0) >> drop
		}
	}
	shift := 256 - uint(to)
	for ; shift >= 64; shift -= 64 {
		p[3], p[2], p[1], p[0] = p[2], p[1], p[0], 0
	}
	return feltOfWords(p[0]>>shift, p[1]>>shift|p[0]<<(64-shift), p[2]>>shift|p[1]<<(64-shift), p[3]>>shift|p[2]<<(64-shift))
}

// feltOfWords takes the most significant word first; the number is below 2^251, hence below p.
func feltOfWords(w0, w1, w2, w3 uint64) felt.Felt {
	b := path{w0, w1, w2, w3}.bytes()
	return felt.Reduce(b[:])
}

// IsKey reports whether a trie can hold the key: it is below 2^251.
func IsKey(f felt.Felt) bool {
	_, err := pathOf(f)
	return err == nil
}
