package trie

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

func (m *model) clone() *model {
	out := &model{map[felt.Felt]map[felt.Felt]felt.Felt{}, maps.Clone(m.class), maps.Clone(m.nonce), maps.Clone(m.compiledHashes)}
	for a, list := range m.storage {
		out.storage[a] = maps.Clone(list)
	}
	return out
}

// undo is the diff that leads from m to `before`.
func (m *model) undo(before *model) *Diff {
	var d Diff
	list := func(now, then map[felt.Felt]felt.Felt) (out []Entry) {
		for k, v := range now {
			if then[k] != v {
				out = append(out, Entry{k, then[k]})
			}
		}
		return out
	}
	d.Contracts, d.Nonces, d.Classes = list(m.class, before.class), list(m.nonce, before.nonce), list(m.compiledHashes, before.compiledHashes)
	for a := range m.storage {
		if entries := list(m.storage[a], before.storage[a]); len(entries) > 0 {
			d.Storage = append(d.Storage, Storage{a, entries})
		}
	}
	return &d
}

// known is a state that was, with its roots.
type known struct {
	*model
	roots Roots
}

// checkProofs proves everything that the model has, and some that it has not, as it was some updates ago; each node must be
// there once, and each proof must give the value.
func checkProofs(t *testing.T, state *State, back int, want known) {
	t.Helper()
	v, err := state.Prover(back)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Roots(); got != want.roots {
		t.Fatalf("%d updates back: roots %v, want %v", back, got, want.roots)
	}
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%d updates back: %v", back, err)
		}
	}
	var contracts, classes Nodes
	leaves := map[felt.Felt]Contract{}
	addresses := map[felt.Felt]bool{felt.FromUint64(12345): true, felt.MustHex("0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"): true}
	for _, list := range []map[felt.Felt]felt.Felt{want.class, want.nonce} {
		for a := range list {
			addresses[a] = true
		}
	}
	for a := range want.storage {
		addresses[a] = true
	}
	for a := range addresses {
		leaf, err := v.Contract(a, &contracts)
		fail(err)
		if leaf.Class != want.class[a] || leaf.Nonce != want.nonce[a] {
			t.Fatalf("%d updates back: contract %s is %v", back, a, leaf)
		}
		leaves[a] = leaf
		var nodes Nodes
		keys := append(slices.Collect(maps.Keys(want.storage[a])), felt.FromUint64(999), felt.FromUint64(1))
		for _, k := range keys {
			fail(v.Storage(a, k, &nodes))
		}
		proof := open(t, pedersen.HashPairs, nodes)
		for _, k := range keys {
			value, err := proof.Value(leaf.StorageRoot, k)
			fail(err)
			if value != want.storage[a][k] {
				t.Fatalf("%d updates back: storage %s of %s: proof gives %s, want %s", back, k, a, value, want.storage[a][k])
			}
		}
	}
	proof := open(t, pedersen.HashPairs, contracts)
	for a := range addresses {
		got, err := proof.Value(want.roots.Contracts, a)
		fail(err)
		if got != leaves[a].Leaf() {
			t.Fatalf("%d updates back: contract %s: proof gives %s, its data %s", back, a, got, leaves[a].Leaf())
		}
	}
	keys := append(slices.Collect(maps.Keys(want.compiledHashes)), felt.FromUint64(7))
	for _, k := range keys {
		fail(v.Class(k, &classes))
	}
	proof = open(t, poseidon.HashPairs, classes)
	for _, k := range keys {
		got, err := proof.Value(want.roots.Classes, k)
		fail(err)
		if got != ClassLeaf(want.compiledHashes[k]) {
			t.Fatalf("%d updates back: class %s: proof gives %s", back, k, got)
		}
	}
}

// open checks the nodes of a proof.
func open(t *testing.T, hash HashPairs, nodes Nodes) Proof {
	t.Helper()
	proof, err := NewProof(hash, nodes.List)
	if err != nil {
		t.Fatal(err)
	}
	if len(proof) != len(nodes.List) {
		t.Fatalf("%d nodes, %d of them different", len(nodes.List), len(proof))
	}
	return proof
}

// Every state that is remembered can be proven, whatever is written out, evicted or taken back in between.
func TestProofsOfPastStates(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 8))
		store := NewMemory()
		state, m := NewState(store), newModel()
		state.work.least = 1 + 63*int(seed%2)
		state.KeepBytes(int64(r.IntN(6)) * 4000)
		state.KeepPast(5, 1<<20)
		states := []known{{model: m, roots: m.roots()}}
		for range 25 {
			last := states[len(states)-1]
			if r.IntN(5) == 0 && len(states) > 1 {
				before := states[len(states)-2]
				got, err := state.Undo(last.undo(before.model))
				if err != nil || got != before.roots {
					t.Fatalf("undo gives %v, %v, want %v", got, err, before.roots)
				}
				states = states[:len(states)-1]
			} else {
				d, next := randomDiff(r), last.clone()
				next.apply(d)
				got, err := state.Apply(d)
				if err != nil {
					t.Fatal(err)
				}
				states = append(states, known{next, got})
			}
			if r.IntN(3) == 0 {
				if err := state.Flush(store.Put); err != nil {
					t.Fatal(err)
				}
			}
			pages := state.work.pages.pages.Load()
			for back := range state.Past() + 1 {
				checkProofs(t, state, back, states[len(states)-1-back])
			}
			if now := state.work.pages.pages.Load(); now != pages {
				t.Fatalf("%d pages in memory, %d after the proofs", pages, now)
			}
			if _, err := state.Prover(state.Past() + 1); err == nil {
				t.Fatal("a state that is not remembered can be proven")
			}
		}
		if state.Past() == 0 {
			t.Fatal("no past state was proven")
		}
	}
}

// What is remembered is bounded in updates and in bytes.
func TestPastIsBounded(t *testing.T) {
	x := newTransfers(1 << 12)
	state := NewState(NewMemory())
	if err := x.genesis(func(d *Diff) error { _, err := state.Apply(d); return err }); err != nil {
		t.Fatal(err)
	}
	apply := func(n int) {
		if _, err := state.Apply(x.block(n)); err != nil {
			t.Fatal(err)
		}
	}
	state.KeepPast(3, 1<<30)
	for range 5 {
		apply(20)
	}
	if state.Past() != 3 {
		t.Errorf("%d states are remembered, want 3", state.Past())
	}
	one := state.history.bytes / 3
	state.KeepPast(1000, 4*one)
	for range 20 {
		apply(20)
		if state.history.bytes > 4*one {
			t.Fatalf("%d bytes are remembered, the bound is %d", state.history.bytes, 4*one)
		}
	}
	if n := state.Past(); n < 2 || n > 5 {
		t.Errorf("%d states are remembered in the memory for 4", n)
	}
	apply(1500)
	if state.Past() != 0 {
		t.Errorf("an update that is larger than the bound is remembered")
	}
	state.KeepPast(0, 0)
	apply(20)
	if state.Past() != 0 || len(state.work.retired) != 0 {
		t.Error("something is remembered without KeepPast")
	}
}

// TestProofsOfKnownRoots proves what real blocks wrote against the roots that the chain has, each also three blocks later.
func TestProofsOfKnownRoots(t *testing.T) {
	var state *State
	var states []known
	datadriven.RunTest(t, "testdata/roots.txt", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "new" {
			state = NewState(NewMemory())
			state.KeepPast(3, 1<<30)
			states = []known{{model: newModel()}}
			return ""
		}
		diff, next := parseDiff(t, d.Input), states[len(states)-1].clone()
		next.apply(diff)
		roots, err := state.Apply(diff)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, known{next, roots})
		for back := range state.Past() + 1 {
			checkProofs(t, state, back, states[len(states)-1-back])
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

// proofOf is a trie of n random leaves, and the proof of some keys: half of them are there.
func proofOf(r *rand.Rand, n int) (root felt.Felt, nodes []Node, values map[felt.Felt]felt.Felt, err error) {
	state := NewState(NewMemory())
	var d Diff
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{felt.FromUint64(r.Uint64()).Mul(felt.MustHex("0x400000000000000000000000")), felt.FromUint64(r.Uint64N(9) + 1)}
	}
	d.Storage = []Storage{{felt.One(), entries}}
	if _, err := state.Apply(&d); err != nil {
		return felt.Felt{}, nil, nil, err
	}
	v, err := state.Prover(0)
	if err != nil {
		return felt.Felt{}, nil, nil, err
	}
	var list Nodes
	values = map[felt.Felt]felt.Felt{}
	for i := range min(n, 6) {
		values[entries[i].Key] = entries[i].Value
		values[entries[i].Key.Add(felt.One())] = felt.Felt{}
	}
	for k := range values {
		if err := v.Storage(felt.One(), k, &list); err != nil {
			return felt.Felt{}, nil, nil, err
		}
	}
	return v.last.root.hash(), list.List, values, nil
}

// A proof with any change in it, or with a node too few, proves nothing else than before.
func TestDamagedProofs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 40} {
		root, nodes, values, err := proofOf(r, n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range nodes {
			for range 4 {
				bad := slices.Clone(nodes)
				flip(&bad[i], r.IntN(5), r.IntN(250))
				if _, err := NewProof(pedersen.HashPairs, bad); !errors.Is(err, ErrProof) {
					t.Fatalf("node %d changed from %v to %v: %v", i, nodes[i], bad[i], err)
				}
			}
			proof, err := NewProof(pedersen.HashPairs, slices.Delete(slices.Clone(nodes), i, i+1))
			if err != nil {
				t.Fatal(err)
			}
			missed := false
			for k, want := range values {
				got, err := proof.Value(root, k)
				if missed = missed || err != nil; err == nil && got != want {
					t.Fatalf("without node %d, key %s is %s, want %s", i, k, got, want)
				}
			}
			if !missed {
				t.Errorf("node %d of %d is not needed", i, len(nodes))
			}
		}
	}
}

// flip changes a bit of a node.
func flip(n *Node, field, bit int) {
	one := felt.One()
	for range bit {
		one = one.Add(one)
	}
	fields := []*felt.Felt{&n.Hash, &n.Left, &n.Right}
	if n.Length > 0 {
		fields = []*felt.Felt{&n.Hash, &n.Child, &n.Path}
	}
	if field < len(fields) {
		*fields[field] = fields[field].Add(one)
		return
	}
	n.Length ^= 1 << (bit % 8)
}

// FuzzProof reads nodes and keys from any bytes: a proof that NewProof takes never proves two values for a key.
func FuzzProof(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add([]byte{0, 1, 2, 3}, uint64(2))
	f.Fuzz(func(t *testing.T, changes []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		root, nodes, values, err := proofOf(r, 1+r.IntN(12))
		if err != nil {
			t.Skip() // the same key twice
		}
		for len(changes) >= 3 {
			at := int(changes[0]) % len(nodes)
			switch changes[1] % 8 {
			case 0:
				nodes = append(nodes, nodes[at])
			case 1:
				nodes[at].Hash = rehash(&nodes[at])
			case 2:
				nodes[at].ProofNode = nodes[(at+1)%len(nodes)].ProofNode
			default:
				flip(&nodes[at], int(changes[1])%8-3, int(changes[2]))
			}
			changes = changes[3:]
		}
		proof, err := NewProof(pedersen.HashPairs, nodes)
		if err != nil {
			if !errors.Is(err, ErrProof) {
				t.Fatal(err)
			}
			return
		}
		for k, want := range values {
			if got, err := proof.Value(root, k); err == nil && got != want {
				t.Fatalf("key %s: %s, want %s", k, got, want)
			}
		}
	})
}

// rehash is what the node hashes to.
func rehash(n *Node) felt.Felt {
	if n.Length == 0 {
		return pedersen.Hash(n.Left, n.Right)
	}
	return pedersen.Hash(n.Child, n.Path).Add(felt.FromUint64(uint64(n.Length)))
}
