package genesis

import (
	"encoding/binary"
	"math/bits"
)

// mersenne is the 64-bit Mersenne Twister (MT19937-64) that devnet draws its private keys from.
type mersenne struct {
	state [words]uint64
	next  int
}

const (
	words  = 312
	middle = 156
)

// newMersenne seeds the generator as Rust's rand does from a small number: 8 bytes of a PCG32 stream make the seed.
func newMersenne(seed uint64) *mersenne {
	const multiplier, increment = 6364136223846793005, 11634580027462260723
	var expanded [8]byte
	for i := 0; i < len(expanded); i += 4 {
		seed = seed*multiplier + increment
		x := bits.RotateLeft32(uint32(((seed>>18)^seed)>>27), -int(seed>>59))
		binary.LittleEndian.PutUint32(expanded[i:], x)
	}
	m := &mersenne{next: words}
	m.state[0] = binary.LittleEndian.Uint64(expanded[:])
	for i := 1; i < words; i++ {
		last := m.state[i-1]
		m.state[i] = 6364136223846793005*(last^(last>>62)) + uint64(i)
	}
	return m
}

func (m *mersenne) uint64() uint64 {
	if m.next == words {
		m.twist()
	}
	x := m.state[m.next]
	m.next++
	x ^= (x >> 29) & 0x5555555555555555
	x ^= (x << 17) & 0x71d67fffeda60000
	x ^= (x << 37) & 0xfff7eee000000000
	return x ^ (x >> 43)
}

func (m *mersenne) twist() {
	const upper, lower, matrix = 0xffffffff80000000, 0x7fffffff, 0xb5026f5aa96619e9
	for i := range words {
		x := m.state[i]&upper | m.state[(i+1)%words]&lower
		y := x >> 1
		if x&1 == 1 {
			y ^= matrix
		}
		m.state[i] = m.state[(i+middle)%words] ^ y
	}
	m.next = 0
}
