package poseidon

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

// wideMin is the number of inputs from which on eight at once are faster than one by one.
const wideMin = 2

// wide is the order in which the kernel adds the constants of c.
func (c *constants) wide() *avx512.Rounds {
	out := new(avx512.Rounds)
	set := func(r int, k *[3]fp.Element) {
		for lane := range k {
			out.Set(r, lane, &k[lane])
		}
	}
	set(0, &c.start)
	for r := range c.first {
		set(1+r, &c.first[r])
	}
	for r := range c.partial {
		k := [3]fp.Element{2: c.partial[r]}
		if r == partialRounds-1 {
			k[0], k[1] = c.between[0], c.between[1]
		}
		set(1+fullRounds+r, &k)
	}
	for r := range c.last {
		set(1+fullRounds+partialRounds+r, &c.last[r])
	}
	return out
}

// hashPairsWide hashes eight pairs at a time.
func hashPairsWide(k avx512.Kernel, dst, a, b []felt.Felt) {
	rounds := loadWide()
	var s avx512.Sponges
	capacity := two()
	for len(a) > 0 {
		n := min(len(a), avx512.Lanes)
		s.State = [3]avx512.Block{}
		for i := range n {
			s.Input[0].Set(i, (*fp.Element)(&a[i]))
			s.Input[1].Set(i, (*fp.Element)(&b[i]))
			s.State[2].Set(i, &capacity)
		}
		s.Permute(k, rounds)
		for i := range n {
			dst[i] = felt.Felt(s.State[0].Get(i))
		}
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}

// spongeWide hashes the lists named by group, at most eight.
func spongeWide(kernel avx512.Kernel, out []felt.Felt, lists [][]felt.Felt, group []int) {
	rounds := loadWide()
	var s avx512.Sponges
	one, zero := fp.One(), fp.Element{}
	for step, left := 0, len(group); left > 0; step++ {
		for lane, i := range group {
			for k := range s.Input {
				e := &zero // also where a list has ended, and its lane goes on for nothing
				switch at := 2*step + k; {
				case at < len(lists[i]):
					e = (*fp.Element)(&lists[i][at])
				case at == len(lists[i]):
					e = &one
				}
				s.Input[k].Set(lane, e)
			}
		}
		s.Permute(kernel, rounds)
		for lane, i := range group {
			if len(lists[i])/2 == step {
				out[i] = felt.Felt(s.State[0].Get(lane))
				left--
			}
		}
	}
}
