package avx512

import "github.com/consensys/gnark-crypto/ecc/stark-curve/fp"

// rounds of the permutation: four full ones, 83 that cube the third lane only, four full ones.
const rounds = 91

// Rounds are the constants of Poseidon: those before the first round, and those that each round adds at its end. The same
// constants can be spread over the rounds in many ways; most rounds of the usual one add to the third lane alone.
type Rounds struct{ k [rounds + 1][3][5]uint64 }

// Set sets what is added after round r, of 91; 0 is before the first.
func (c *Rounds) Set(r, lane int, e *fp.Element) { c.k[r][lane] = limbs(e) }

// Sponges is eight states of Poseidon, and what each absorbs next.
type Sponges struct {
	State [3]Block
	Input [2]Block
}

// Permute adds the input to the states and permutes them.
func (s *Sponges) Permute(k Kernel, c *Rounds) { k.permute(&s.State, &s.Input, &c.k[0][0][0]) }
