package poseidon

import (
	"crypto/sha256"
	"strconv"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

const (
	fullRounds    = 4 // before and after the partial ones
	partialRounds = 83
)

// constants are the round constants, compressed: a partial round has one nonlinear lane, so what it adds to the other two
// is carried through the linear layer into the next round, and one addition a round is left.
type constants struct {
	first   [fullRounds][3]fp.Element
	partial [partialRounds]fp.Element
	last    [fullRounds][3]fp.Element
}

// load derives the constants at the first hash (about 0.1 ms).
var load = sync.OnceValue(derive)

func derive() *constants {
	c := new(constants)
	for r := range c.first {
		c.first[r] = roundConstants(r)
	}
	var carry state
	for r := range c.partial {
		rc := roundConstants(fullRounds + r)
		for i := range carry {
			carry[i].Add(&carry[i], &rc[i])
		}
		c.partial[r] = carry[2]
		carry[2].SetZero()
		carry.mix()
	}
	for r := range c.last {
		c.last[r] = roundConstants(fullRounds + partialRounds + r)
	}
	for i := range carry {
		c.last[0][i].Add(&c.last[0][i], &carry[i])
	}
	return c
}

// roundConstants are sha256("Hades" || decimal index) modulo p, three a round.
func roundConstants(round int) [3]fp.Element {
	var out [3]fp.Element
	for i := range out {
		digest := sha256.Sum256([]byte("Hades" + strconv.Itoa(3*round+i)))
		out[i].SetBytes(digest[:])
	}
	return out
}
