// Package metamorphic runs generated programs with every engine of the executor and compares the results.
// A class compiled to machine code must answer what the Cairo VM answers, at every depth that gas allows.
package metamorphic

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Program is what contracts/cairo/programs.cairo interprets.
type Program struct {
	Name  string
	Steps []felt.Felt
	// L2 gas that its transaction may use; views may use what the node allows.
	Gas uint64
	// L2 gas that it is meant to use, more or less.
	Uses uint64
}

// step is one kind of step: what the contract calls it, and what one unit of its first number takes of gas, roughly.
type step struct {
	code uint64
	name string
	cost uint64
	most uint64 // for what other limits than gas bound; 0: none
}

// The codes are those of the contract.
var (
	plain      = step{0, "rec", 1_600, 0}
	eight      = step{1, "rec_8", 4_000, 0}
	sixtyFour  = step{2, "rec_64", 14_200, 0}
	fiveTwelve = step{3, "rec_512", 53_600, 0}
	mutual     = step{4, "mutual", 3_000, 0}
	tree       = step{5, "tree", 3_000, 0} // by its leaves
	arrays     = step{6, "rec_array", 5_000, 0}
	dicts      = step{7, "rec_dict", 15_000, 0}
	panics     = step{8, "panic", 1_600, 0}
	overflows  = step{9, "overflow", 2_500, 300}
	loops      = []step{
		{10, "array", 4_000, 0}, {11, "dict", 25_000, 0}, {12, "boxes", 30_000, 0}, {13, "write", 60_000, 40}, {14, "read", 20_000, 200},
		{15, "events", 60_000, 20}, {16, "keccak", 200_000, 40}, {17, "numbers", 15_000, 400}, {18, "hashes", 20_000, 0},
		{19, "texts", 25_000, 0}, {20, "infos", 15_000, 0}, {21, "message", 40_000, 0},
	}
	recursions = []step{plain, eight, sixtyFour, fiveTwelve, mutual, tree, arrays, dicts, overflows}
)

const (
	codeCall    = 22
	codeLibrary = 23
	codeDeep    = 24
	codeUnknown = 25
)

// Generator makes programs, the same ones from the same seed.
type Generator struct {
	random *rand.Rand
	class  felt.Felt // for steps that call by class
	most   uint64    // L2 gas that a program is meant to use, unless it fails
}

// NewGenerator returns the generator of a seed. class is the class that interprets programs.
func NewGenerator(seed uint64, class felt.Felt, most uint64) *Generator {
	return &Generator{random: rand.New(rand.NewPCG(seed, 9)), class: class, most: most}
}

// Next returns a program. Most succeed; some panic, some in a nested program whose caller goes on, some use all their gas.
func (g *Generator) Next(i int) Program {
	budget := g.upTo(g.most/20, g.most)
	p := Program{Name: fmt.Sprintf("program %d", i), Steps: g.steps(budget, 3), Gas: 1_000_000_000, Uses: budget}
	switch g.random.IntN(10) {
	case 0: // not enough: out of gas, anywhere
		p.Gas = 3_000_000 + budget/3
	case 1: // it ends in the middle of a step
		p.Steps = p.Steps[:len(p.Steps)-1-g.random.IntN(min(3, len(p.Steps)-1))]
	}
	return p
}

// steps returns a list of steps that use up to budget, and nest programs up to levels deep.
func (g *Generator) steps(budget uint64, levels int) (list []felt.Felt) {
	add := func(code, n uint64, k felt.Felt) {
		list = append(list, felt.FromUint64(code), felt.FromUint64(n), k)
	}
	small := func() felt.Felt { return felt.FromUint64(g.random.Uint64N(50) + 1) }
	for range 1 + g.random.IntN(4) {
		part := g.upTo(budget/10, budget/2)
		switch roll := g.random.IntN(20); {
		case roll < 8:
			s := recursions[g.random.IntN(len(recursions))]
			n := g.times(s, part)
			if s.code == tree.code {
				n = uint64(math.Log2(float64(n + 1)))
			}
			add(s.code, n, small())
		case roll < 14:
			s := loops[g.random.IntN(len(loops))]
			add(s.code, g.times(s, part), small())
		case roll < 15:
			add(panics.code, g.times(panics, part), small())
		case roll < 16:
			add(codeDeep, g.times(plain, part), felt.Zero())
		case levels > 0: // a program in the program, which may fail alone
			inner := g.steps(part, levels-1)
			if g.random.IntN(4) == 0 {
				inner = append(inner, felt.FromUint64(panics.code), felt.FromUint64(g.times(panics, part/4)), small())
			}
			code, k := uint64(codeCall), felt.Zero()
			if roll%2 == 0 {
				code, k = codeLibrary, g.class
			}
			add(code, uint64(len(inner)), k)
			list = append(list, inner...)
		case g.random.IntN(8) == 0:
			add(codeUnknown, 0, felt.Zero())
		default:
			add(plain.code, g.times(plain, part), small())
		}
	}
	return list
}

// times is how often a step is done for an amount of gas.
func (g *Generator) times(s step, gas uint64) uint64 {
	n := max(1, gas/s.cost)
	if s.most > 0 {
		n = min(n, 1+g.random.Uint64N(s.most))
	}
	return n
}

// upTo is between the two, smaller ones as often as larger ones.
func (g *Generator) upTo(low, high uint64) uint64 {
	low, high = max(1, low), max(2, high)
	return uint64(float64(low) * math.Pow(float64(high)/float64(low), g.random.Float64()))
}

// Deep are the recursions that need more stack than an executor would set aside: with frames of every size, to depths for
// which gas is enough and for which it is not, at the bottom of plain calls, in nested programs, and with a panic there. few leaves out those that need less stack for their gas.
func Deep(class felt.Felt, gas uint64, few bool) []Program {
	n := func(s step, share uint64) uint64 { return gas / 100 * share / s.cost }
	build := func(name string, words ...any) Program {
		p := Program{Name: name, Gas: gas, Uses: gas}
		for _, w := range words {
			switch w := w.(type) {
			case int:
				p.Steps = append(p.Steps, felt.FromUint64(uint64(w)))
			case uint64:
				p.Steps = append(p.Steps, felt.FromUint64(w))
			case felt.Felt:
				p.Steps = append(p.Steps, w)
			}
		}
		return p
	}
	endless := felt.Zero().Sub(felt.One())
	list := []Program{
		build("deep rec_64", 2, n(sixtyFour, 80), 1),
		build("endless rec_64", 2, endless, 1),
		build("calls on a deep stack", codeDeep, n(plain, 30), 0, codeCall, 6, 0, codeDeep, n(plain, 20), 0, 2, n(sixtyFour, 20), 4, 13, 2, 100),
		build("a panic on a deep stack, caught", 13, 1, 200, codeCall, 6, 0, 13, 1, 300, 8, n(panics, 50), 2, 14, 1, 300),
	}
	if few {
		return list
	}
	return append(list,
		build("deep rec", 0, n(plain, 80), 1),
		build("deep rec_8", 1, n(eight, 80), 1),
		build("deep rec_512", 3, n(fiveTwelve, 70), 1),
		build("deep mutual recursion", 4, n(mutual, 70), 1),
		build("deep array", 6, n(arrays, 60), 1),
		build("deep dict", 7, n(dicts, 60), 1),
		build("deep panic", 8, n(panics, 70), 3),
		build("endless rec", 0, endless, 1),
		build("endless rec_512", 3, endless, 1),
		build("out of gas on a deep stack of another class", codeLibrary, 3, class, 0, endless, 1, 0, 10, 1),
	)
}
