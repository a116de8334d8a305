package poseidon

import (
	"slices"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/avx512"
	"github.com/ordo-sequencer/ordo/core/starknet/internal/branchless"
)

const (
	// below this many lanes the vector loops cost more than they save
	batchMin = 8
	// lanes that are permuted together; their state stays in the first-level cache
	batchMax = 64
)

// HashPairs sets dst[i] to the two-to-one hash of (a[i], b[i]). dst may be a or b. It panics when the lengths differ.
// It runs on one core; callers with more cores split the slices.
func HashPairs(dst, a, b []felt.Felt) {
	if len(a) != len(b) || len(dst) != len(a) {
		panic("poseidon: HashPairs: slices of different lengths")
	}
	switch k := avx512.Best(); {
	case k != avx512.None && len(a) >= wideMin:
		hashPairsWide(k, dst, a, b)
	case k == avx512.None && len(a) >= batchMin:
		hashPairsNarrow(dst, a, b)
	default:
		for i := range a {
			dst[i] = Hash(a[i], b[i])
		}
	}
}

// hashPairsNarrow hashes on any machine, in gnark-crypto's field.
func hashPairsNarrow(dst, a, b []felt.Felt) {
	l := newLanes(min(len(a), batchMax))
	capacity := two()
	for len(a) > 0 {
		n := min(len(a), batchMax)
		for i := range n {
			l.x[0][i], l.x[1][i], l.x[2][i] = fp.Element(a[i]), fp.Element(b[i]), capacity
		}
		l.permute(n)
		for i := range n {
			dst[i] = felt.Felt(l.x[0][i])
		}
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}

// HashLists returns HashMany of every list; the lists may differ in length. It runs on one core.
func HashLists(lists [][]felt.Felt) []felt.Felt {
	out := make([]felt.Felt, len(lists))
	// Lists of similar length share a batch, longest first, so that the lanes still busy are always a prefix.
	order := make([]int, len(lists))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return len(lists[j]) - len(lists[i]) })

	k := avx512.Best()
	sponge := func(out []felt.Felt, lists [][]felt.Felt, group []int) { spongeWide(k, out, lists, group) }
	most, least := avx512.Lanes, wideMin
	if k == avx512.None {
		sponge, most, least = newLanes(min(len(lists), batchMax)).sponge, batchMax, batchMin
	}
	for len(order) > 0 {
		group := order[:min(len(order), most)]
		order = order[len(group):]
		if len(group) >= least {
			sponge(out, lists, group)
			continue
		}
		for _, i := range group {
			out[i] = HashMany(lists[i]...)
		}
	}
	return out
}

// lanes is the state of many permutations, lane by lane, with room for the squares.
type lanes struct {
	c  *constants
	x  [3]fp.Vector
	sq fp.Vector
}

func newLanes(n int) *lanes {
	v := make(fp.Vector, 4*n)
	return &lanes{c: load(), x: [3]fp.Vector{v[:n:n], v[n : 2*n : 2*n], v[2*n : 3*n : 3*n]}, sq: v[3*n:]}
}

// sponge hashes the lists named by group, which are sorted by descending length.
func (l *lanes) sponge(out []felt.Felt, lists [][]felt.Felt, group []int) {
	for _, x := range l.x {
		clear(x)
	}
	one := fp.One()
	for step, n := 0, len(group); n > 0; step++ {
		for lane, i := range group[:n] {
			for k := range 2 {
				switch at := 2*step + k; {
				case at < len(lists[i]):
					l.x[k][lane].Add(&l.x[k][lane], (*fp.Element)(&lists[i][at]))
				case at == len(lists[i]):
					l.x[k][lane].Add(&l.x[k][lane], &one)
				}
			}
		}
		l.permute(n)
		for n > 0 && len(lists[group[n-1]]) < 2*step+2 {
			n--
			out[group[n]] = felt.Felt(l.x[0][n])
		}
	}
}

// permute permutes the first n lanes. Multiplications run over fp.Vector, which uses wide instructions where the machine
// has them; few lanes go one by one.
func (l *lanes) permute(n int) {
	if n < batchMin {
		for i := range n {
			s := state{l.x[0][i], l.x[1][i], l.x[2][i]}
			s.permute(l.c)
			l.x[0][i], l.x[1][i], l.x[2][i] = s[0], s[1], s[2]
		}
		return
	}
	x, sq := [3]fp.Vector{l.x[0][:n], l.x[1][:n], l.x[2][:n]}, l.sq[:n]
	for k := range x {
		addAll(x[k], &l.c.start[k])
	}
	for r := range l.c.first {
		full(&x, sq, &l.c.first[r])
	}
	a, b, c := x[0], x[1], x[2] // b holds half of a+b here
	for i := range a {
		branchless.Add(&b[i], &b[i], &a[i])
		half(&b[i])
	}
	for r := range l.c.partial {
		k := &l.c.partial[r]
		cubeAll(c, sq)
		for i := range a {
			mixPartial(&a[i], &b[i], &c[i], k)
		}
	}
	for i := range a {
		w := b[i]
		unmix(&a[i], &b[i], &w)
	}
	addAll(a, &l.c.between[0])
	addAll(b, &l.c.between[1])
	for r := range l.c.last {
		full(&x, sq, &l.c.last[r])
	}
}

func full(x *[3]fp.Vector, sq fp.Vector, k *[3]fp.Element) {
	for lane := range x {
		cubeAll(x[lane], sq)
	}
	for i := range x[0] {
		mix(&x[0][i], &x[1][i], &x[2][i], &k[2])
	}
	addAll(x[0], &k[0])
	addAll(x[1], &k[1])
}

func cubeAll(v, sq fp.Vector) {
	sq.Mul(v, v)
	v.Mul(v, sq)
}

func addAll(v fp.Vector, k *fp.Element) {
	for i := range v {
		branchless.Add(&v[i], &v[i], k)
	}
}
