package poseidon

import (
	"crypto/sha256"
	"strconv"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/starknet/internal/avx512"
)

const (
	fullRounds    = 4 // before and after the partial ones
	partialRounds = 83
)

// constants are the round constants, each added by the round before it. They are compressed: a partial round has one
// nonlinear lane, so what it adds to the other two is carried through the linear layer into the next round, and one
// addition a round is left.
type constants struct {
	start   [3]fp.Element // before the first round
	first   [fullRounds][3]fp.Element
	partial [partialRounds]fp.Element
	between [2]fp.Element // for the first two lanes, after the partial rounds
	last    [fullRounds][3]fp.Element
}

// load derives the constants at the first hash (about 0.1 ms).
var (
	load     = sync.OnceValue(derive)
	loadWide = sync.OnceValue(func() *avx512.Rounds { return load().wide() })
)

func derive() *constants {
	c := new(constants)
	c.start = roundConstants(0)
	for r := 1; r < fullRounds; r++ {
		c.first[r-1] = roundConstants(r)
	}
	var carry state
	next := func(round int) {
		rc := roundConstants(round)
		for i := range carry {
			carry[i].Add(&carry[i], &rc[i])
		}
	}
	for r := range partialRounds {
		next(fullRounds + r)
		if r == 0 {
			c.first[fullRounds-1][2] = carry[2]
		} else {
			c.partial[r-1] = carry[2]
		}
		carry[2].SetZero()
		mix(&carry[0], &carry[1], &carry[2], new(fp.Element))
	}
	next(fullRounds + partialRounds)
	// The first round after the partial ones has a constant in each lane. The partial round before it can add only one, and
	// the other two are added apart (see permute).
	c.partial[partialRounds-1] = carry[2]
	c.between = [2]fp.Element{carry[0], carry[1]}
	for r := 1; r < fullRounds; r++ {
		c.last[r-1] = roundConstants(fullRounds + partialRounds + r)
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
