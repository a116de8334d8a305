package trie

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// TestKnownRoots replays real blocks from genesis. After each block the state is flushed and opened again.
func TestKnownRoots(t *testing.T) {
	var store Memory
	var state *State
	datadriven.RunTest(t, "testdata/roots.txt", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "new" {
			store = NewMemory()
			state = NewState(store)
			return ""
		}
		roots, err := state.Apply(parseDiff(t, d.Input))
		if err != nil {
			t.Fatal(err)
		}
		if err := state.Flush(store.Put); err != nil {
			t.Fatal(err)
		}
		state = NewState(store)
		if again, err := state.Roots(); err != nil || again != roots {
			t.Fatalf("after reopening: %v, %v", again, err)
		}
		switch {
		case d.HasArg("quiet"):
			return "ok\n"
		case d.HasArg("roots"):
			return fmt.Sprintf("contracts %s\nclasses %s\n", roots.Contracts, roots.Classes)
		}
		return roots.Root(false).Hex() + "\n"
	})
}

func parseDiff(t *testing.T, input string) *Diff {
	var diff Diff
	for line := range strings.Lines(input) {
		var f []felt.Felt
		words := strings.Fields(line)
		for _, w := range words[1:] {
			f = append(f, felt.MustHex(w))
		}
		switch words[0] {
		case "s":
			if n := len(diff.Storage); n == 0 || diff.Storage[n-1].Address != f[0] {
				diff.Storage = append(diff.Storage, Storage{Address: f[0]})
			}
			last := &diff.Storage[len(diff.Storage)-1]
			last.Entries = append(last.Entries, Entry{f[1], f[2]})
		case "d":
			diff.Contracts = append(diff.Contracts, Entry{f[0], f[1]})
		case "n":
			diff.Nonces = append(diff.Nonces, Entry{f[0], f[1]})
		case "c":
			diff.Classes = append(diff.Classes, Entry{f[0], f[1]})
		default:
			t.Fatalf("line %q", line)
		}
	}
	return &diff
}

// model is a state in maps; its roots come from the definition and nothing else.
type model struct {
	storage        map[felt.Felt]map[felt.Felt]felt.Felt
	class, nonce   map[felt.Felt]felt.Felt
	compiledHashes map[felt.Felt]felt.Felt
}

func newModel() *model {
	return &model{map[felt.Felt]map[felt.Felt]felt.Felt{}, map[felt.Felt]felt.Felt{}, map[felt.Felt]felt.Felt{}, map[felt.Felt]felt.Felt{}}
}

func (m *model) apply(d *Diff) {
	for _, c := range d.Storage {
		if m.storage[c.Address] == nil {
			m.storage[c.Address] = map[felt.Felt]felt.Felt{}
		}
		for _, e := range c.Entries {
			m.storage[c.Address][e.Key] = e.Value
		}
	}
	for _, e := range d.Contracts {
		m.class[e.Key] = e.Value
	}
	for _, e := range d.Nonces {
		m.nonce[e.Key] = e.Value
	}
	for _, e := range d.Classes {
		m.compiledHashes[e.Key] = e.Value
	}
}

func (m *model) roots() Roots {
	leaves := map[felt.Felt]felt.Felt{}
	addresses := map[felt.Felt]bool{}
	for _, list := range []map[felt.Felt]felt.Felt{m.class, m.nonce} {
		for a := range list {
			addresses[a] = true
		}
	}
	for a := range m.storage {
		addresses[a] = true
	}
	for a := range addresses {
		root := naive(pedersen.HashPairs, m.storage[a])
		if m.class[a].IsZero() && m.nonce[a].IsZero() && root.IsZero() {
			continue
		}
		leaves[a] = pedersen.Hash(pedersen.Hash(pedersen.Hash(m.class[a], root), m.nonce[a]), felt.Zero())
	}
	classes := map[felt.Felt]felt.Felt{}
	for c, compiled := range m.compiledHashes {
		if !compiled.IsZero() {
			classes[c] = poseidon.Hash(felt.MustShortString("CONTRACT_CLASS_LEAF_V0"), compiled)
		}
	}
	return Roots{naive(pedersen.HashPairs, leaves), naive(poseidon.HashPairs, classes)}
}

// randomDiff changes a few contracts; zeros are frequent, so leaves and whole contracts come and go.
func randomDiff(r *rand.Rand) *Diff {
	address := func() felt.Felt { return felt.FromUint64(1 + r.Uint64N(6)).Mul(powerOfTwo(r.IntN(2) * 100)) }
	list := func(n uint64) (out []Entry) {
		for k := range n {
			if r.IntN(3) == 0 {
				out = append(out, Entry{felt.FromUint64(k * 37), felt.FromUint64(r.Uint64N(2))})
			}
		}
		return out
	}
	var d Diff
	touched := map[felt.Felt]bool{}
	for range r.IntN(6) {
		a := address()
		if touched[a] {
			continue
		}
		touched[a] = true
		d.Storage = append(d.Storage, Storage{a, list(8)})
		if r.IntN(2) == 0 {
			d.Contracts = append(d.Contracts, Entry{a, felt.FromUint64(r.Uint64N(3))})
		}
		if r.IntN(2) == 0 {
			d.Nonces = append(d.Nonces, Entry{a, felt.FromUint64(r.Uint64N(3))})
		}
	}
	d.Classes = list(5)
	return &d
}

func TestStateAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 5))
		store := NewMemory()
		state, m := NewState(store), newModel()
		state.work.least = 1 + 63*int(seed%2)    // walk side by side, or not
		state.KeepBytes(int64(r.IntN(6)) * 4000) // nearly everything is evicted and read again
		for block := range 25 {
			d := randomDiff(r)
			m.apply(d)
			got, err := state.Apply(d)
			if err != nil {
				t.Fatal(err)
			}
			if want := m.roots(); got != want {
				t.Fatalf("seed %d, block %d: %v, want %v", seed, block, got, want)
			}
			if r.IntN(3) == 0 {
				dirty, puts := state.Dirty(), 0
				put := func(key, value []byte) error { puts++; return store.Put(key, value) }
				if err := state.Flush(put); err != nil {
					t.Fatal(err)
				}
				if puts != dirty+2 { // the two roots are always written
					t.Fatalf("%d were dirty, %d written", dirty, puts)
				}
				if n := state.Dirty(); n != 0 {
					t.Fatalf("%d dirty pages after a flush", n)
				}
			}
			if r.IntN(6) == 0 {
				if err := state.Flush(store.Put); err != nil {
					t.Fatal(err)
				}
				state = NewState(store)
			}
			checkProofs(t, state, 0, known{m, got})
		}
	}
}

func TestRootRule(t *testing.T) {
	one := felt.One()
	both := poseidon.HashMany(felt.MustShortString("STARKNET_STATE_V0"), one, one)
	alone := poseidon.HashMany(felt.MustShortString("STARKNET_STATE_V0"), one, felt.Zero())
	for _, c := range []struct {
		roots Roots
		mixed bool
		want  felt.Felt
	}{
		{Roots{}, false, felt.Zero()},
		{Roots{}, true, felt.Zero()},
		{Roots{Contracts: one}, false, one},
		{Roots{Contracts: one}, true, alone},
		{Roots{one, one}, false, both},
		{Roots{one, one}, true, both},
	} {
		if got := c.roots.Root(c.mixed); got != c.want {
			t.Errorf("%v mixed=%v: %s, want %s", c.roots, c.mixed, got, c.want)
		}
	}
}

func TestDiffRepeats(t *testing.T) {
	e := Entry{felt.One(), felt.One()}
	for _, d := range []*Diff{
		{Nonces: []Entry{e, e}},
		{Contracts: []Entry{e, e}},
		{Classes: []Entry{e, e}},
		{Storage: []Storage{{Address: felt.One(), Entries: []Entry{e, e}}}},
		{Storage: []Storage{{Address: felt.One()}, {Address: felt.One()}}},
	} {
		if _, err := NewState(NewMemory()).Apply(d); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// BenchmarkTransfers is a block of 1,000 transfers between distinct accounts on a token with 2^17 balances.
func BenchmarkTransfers(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() felt.Felt {
		var buf [32]byte
		for i := range buf {
			buf[i] = byte(r.Uint32())
		}
		buf[0] &= 7
		return felt.Reduce(buf[:])
	}
	keys := make([]Entry, 1<<17)
	for i := range keys {
		keys[i] = Entry{random(), felt.One()}
	}
	state := NewState(NewMemory())
	state.KeepBytes(1 << 40)
	token := felt.FromUint64(77)
	if _, err := state.Apply(&Diff{Storage: []Storage{{token, keys}}}); err != nil {
		b.Fatal(err)
	}
	n := uint64(1)
	for b.Loop() {
		n++
		at := r.IntN(len(keys) - 2000)
		list := slices.Clone(keys[at : at+2000])
		for i := range list {
			list[i].Value = felt.FromUint64(n)
		}
		if _, err := state.Apply(&Diff{Storage: []Storage{{token, list}}}); err != nil {
			b.Fatal(err)
		}
	}
}
