// Package poseidon is Starknet's Poseidon hash: two-to-one, over a list, streaming, and over many inputs at once.
// The permutation is Hades over three felts: rate 2, capacity 1, cubes, 8 full and 83 partial rounds.
package poseidon

import (
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/internal/branchless"
)

// Hash returns the two-to-one hash: the first lane of the permuted state (a, b, 2).
func Hash(a, b felt.Felt) felt.Felt {
	s := state{fp.Element(a), fp.Element(b), two()}
	s.permute(load())
	return felt.Felt(s[0])
}

// HashMany returns the sponge hash of a list of any length.
func HashMany(list ...felt.Felt) felt.Felt {
	var s Sponge
	s.Write(list...)
	return s.Sum()
}

// Permute applies the permutation to three felts.
func Permute(in [3]felt.Felt) [3]felt.Felt {
	s := state{fp.Element(in[0]), fp.Element(in[1]), fp.Element(in[2])}
	s.permute(load())
	return [3]felt.Felt{felt.Felt(s[0]), felt.Felt(s[1]), felt.Felt(s[2])}
}

// Sponge hashes a list that arrives piece by piece, with the result of HashMany over the whole. The zero value is ready.
type Sponge struct {
	s   state
	odd bool // one felt is absorbed and waits for its partner
}

// Write absorbs felts.
func (p *Sponge) Write(list ...felt.Felt) {
	for i := range list {
		e := (*fp.Element)(&list[i])
		if !p.odd {
			p.s[0].Add(&p.s[0], e)
		} else {
			p.s[1].Add(&p.s[1], e)
			p.s.permute(load())
		}
		p.odd = !p.odd
	}
}

// Sum returns the hash of what was written. The sponge may be written to afterwards, as if Sum had not been called.
func (p *Sponge) Sum() felt.Felt {
	s := p.s
	one := fp.One()
	if p.odd {
		s[1].Add(&s[1], &one)
	} else {
		s[0].Add(&s[0], &one)
	}
	s.permute(load())
	return felt.Felt(s[0])
}

func two() fp.Element {
	e := fp.One()
	e.Double(&e)
	return e
}

type state [3]fp.Element

func (s *state) permute(c *constants) {
	for i := range s {
		branchless.Add(&s[i], &s[i], &c.start[i])
	}
	for r := range c.first {
		s.cubes()
		s.mix(&c.first[r])
	}
	var w fp.Element
	branchless.Add(&w, &s[0], &s[1])
	half(&w)
	for r := range c.partial {
		cube(&s[2])
		mixPartial(&s[0], &w, &s[2], &c.partial[r])
	}
	unmix(&s[0], &s[1], &w)
	branchless.Add(&s[0], &s[0], &c.between[0])
	branchless.Add(&s[1], &s[1], &c.between[1])
	for r := range c.last {
		s.cubes()
		s.mix(&c.last[r])
	}
}

func (s *state) cubes() {
	cube(&s[0])
	cube(&s[1])
	cube(&s[2])
}

// mix multiplies by ((3,1,1),(1,-1,1),(1,1,-2)) and adds the constants of the next round.
func (s *state) mix(k *[3]fp.Element) {
	mix(&s[0], &s[1], &s[2], &k[2])
	branchless.Add(&s[0], &s[0], &k[0])
	branchless.Add(&s[1], &s[1], &k[1])
}

// cube leaves x below 2p; what follows takes it so.
func cube(x *fp.Element) {
	var sq fp.Element
	branchless.Square(&sq, x)
	branchless.Mul(x, x, &sq)
}
