package badger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// everything asks for all that a state has, and for something that it has not.
func everything(states []flat, height uint64) *ordov1.ProofsRequest {
	r := &ordov1.ProofsRequest{Height: height}
	seen, slots := map[string]bool{}, map[string]*ordov1.StorageKeys{}
	for _, state := range states {
		for _, k := range slices.Sorted(maps.Keys(state)) {
			words := strings.Fields(k)
			if seen[k] {
				continue
			}
			seen[k] = true
			key := felt.MustHex(words[1]).Append(nil)
			switch words[0] {
			case "class":
				r.Contracts = append(r.Contracts, key...)
			case "compiled":
				r.Classes = append(r.Classes, key...)
			case "storage":
				if slots[words[1]] == nil {
					slots[words[1]] = &ordov1.StorageKeys{Contract: key}
					r.Storage = append(r.Storage, slots[words[1]])
					if !seen["class "+words[1]] {
						seen["class "+words[1]] = true
						r.Contracts = append(r.Contracts, key...)
					}
				}
				slots[words[1]].Keys = felt.MustHex(words[2]).Append(slots[words[1]].Keys)
			}
		}
	}
	absent := felt.FromUint64(987654321).Append(nil)
	r.Classes, r.Contracts = append(r.Classes, absent...), append(r.Contracts, absent...)
	r.Storage = append(r.Storage, &ordov1.StorageKeys{Contract: absent, Keys: absent})
	return r
}

// checkProofs opens an answer with the verifier, and compares what it proves with a state and its root.
func checkProofs(r *ordov1.ProofsRequest, out *ordov1.ProofsResponse, state flat, root felt.Felt) error {
	roots := trie.Roots{Contracts: f(out.ContractsRoot), Classes: f(out.ClassesRoot)}
	if got := roots.Root(true); got != root {
		return fmt.Errorf("the roots hash to %s, the state root is %s", got, root)
	}
	open := func(hash trie.HashPairs, n *ordov1.ProofNodes) (trie.Proof, error) {
		nodes, err := unpackNodes(n)
		if err != nil {
			return nil, err
		}
		proof, err := trie.NewProof(hash, nodes)
		if err == nil && len(proof) != len(nodes) {
			err = fmt.Errorf("%d nodes are there twice", len(nodes)-len(proof))
		}
		return proof, err
	}
	contracts, err := open(pedersen.HashPairs, out.Contracts)
	if err != nil {
		return err
	}
	leaves := map[string]trie.Contract{}
	i := 0
	for a := range felt.Rows(r.Contracts) {
		leaf := out.ContractLeaves[i*3*feltSize : (i+1)*3*feltSize]
		c := trie.Contract{Class: f(leaf[:feltSize]), Nonce: f(leaf[feltSize : 2*feltSize]), StorageRoot: f(leaf[2*feltSize:])}
		i++
		if got, err := contracts.Value(roots.Contracts, f(a)); err != nil || got != c.Leaf() {
			return fmt.Errorf("contract %x: %s is proven, its data make %s: %v", a, got, c.Leaf(), err)
		}
		if c.Class != state[name("class", a)] || c.Nonce != state[name("nonce", a)] {
			return fmt.Errorf("contract %x is %v", a, c)
		}
		leaves[string(a)] = c
	}
	classes, err := open(poseidon.HashPairs, out.Classes)
	if err != nil {
		return err
	}
	for c := range felt.Rows(r.Classes) {
		want := trie.ClassLeaf(state[name("compiled", c)])
		if got, err := classes.Value(roots.Classes, f(c)); err != nil || got != want {
			return fmt.Errorf("class %x: %s is proven, want %s: %v", c, got, want, err)
		}
	}
	if len(out.Storage) != len(r.Storage) {
		return fmt.Errorf("%d storage proofs for %d contracts", len(out.Storage), len(r.Storage))
	}
	for i, s := range r.Storage {
		proof, err := open(pedersen.HashPairs, out.Storage[i])
		if err != nil {
			return err
		}
		for k := range felt.Rows(s.Keys) {
			got, err := proof.Value(leaves[string(s.Contract)].StorageRoot, f(k))
			if want := state[name("storage", s.Contract, k)]; err != nil || got != want {
				return fmt.Errorf("storage %x of %x: %s is proven, want %s: %v", k, s.Contract, got, want, err)
			}
		}
	}
	return nil
}

// TestConformanceProofs wants the proofs of the conformance tests to be what this package computes, and each of them to verify
// against the root of its block.
func TestConformanceProofs(t *testing.T) {
	const file = "../../../sdk/conformance/storage_proofs.json"
	type entry struct {
		Request json.RawMessage `json:"request"`
		Answer  json.RawMessage `json:"answer"`
	}
	c, tries := richChain(9), trie.NewState(trie.NewMemory())
	var out []entry
	short := func(m proto.Message) json.RawMessage {
		var line bytes.Buffer
		if err := json.Compact(&line, must(protojson.Marshal(m))); err != nil {
			t.Fatal(err)
		}
		return line.Bytes()
	}
	for i, b := range c.blocks {
		if _, err := tries.Apply(must(trieDiff(b.diff))); err != nil {
			t.Fatal(err)
		}
		r := everything(c.states[max(0, i-2):i+1], uint64(i))
		p := must(newProving(r))
		for len(p.tasks) > 0 {
			if err := p.some(must(tries.Prover(0))); err != nil {
				t.Fatal(err)
			}
		}
		answer := p.answer(uint64(i))
		if err := checkProofs(r, answer, c.states[i], c.roots[i]); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		out = append(out, entry{short(r), short(answer)})
	}
	data := append(must(json.MarshalIndent(out, "", " ")), '\n')
	if *rewriteChain {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if stored := must(os.ReadFile(file)); !bytes.Equal(stored, data) {
		t.Error("storage_proofs.json is not what this package computes: if the change is meant, run go test with -rewrite-chain")
	}
}

func unpackNodes(n *ordov1.ProofNodes) (out []trie.Node, err error) {
	binary, err := felt.Unpack(n.GetBinary())
	if err != nil {
		return nil, err
	}
	for ; len(binary) > 0; binary = binary[3:] {
		out = append(out, trie.Node{Hash: binary[0], ProofNode: trie.ProofNode{Left: binary[1], Right: binary[2]}})
	}
	edges, err := felt.Unpack(n.GetEdges())
	if err != nil {
		return nil, err
	}
	for _, length := range n.GetLengths() {
		out = append(out, trie.Node{Hash: edges[0], ProofNode: trie.ProofNode{Child: edges[1], Path: edges[2], Length: length}})
		edges = edges[3:]
	}
	return out, nil
}

func proofOptions(blocks int) Options {
	o := testOptions()
	o.ProofBlocks = blocks
	return o
}

// The state of each of the last blocks is proven against its root: while blocks come, after a start, and after a revert.
func TestProofsOfTheLastBlocks(t *testing.T) {
	t.Parallel()
	const kept = 4
	for seed := range uint64(3) {
		c, dir := newTestChain(900+seed), t.TempDir()
		s := must(Open(dir, proofOptions(kept)))
		check := func(when string) {
			t.Helper()
			waitRoots(t, s, c)
			head := len(c.blocks) - 1
			for h := range c.blocks {
				r := everything(c.states, uint64(h))
				out, err := s.Proofs(t.Context(), r)
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				if want := h <= head-kept; out.OutOfReach != want || out.Highest != uint64(head) {
					t.Fatalf("%s: block %d of %d: out of reach %v, %d to %d", when, h, head, out.OutOfReach, out.Lowest, out.Highest)
				} else if !want {
					if err := checkProofs(r, out, c.states[h], c.roots[h]); err != nil {
						t.Fatalf("%s: block %d: %v", when, h, err)
					}
				}
			}
			above := must(s.Proofs(t.Context(), &ordov1.ProofsRequest{Height: uint64(head) + 1}))
			if !above.OutOfReach || above.Highest != uint64(head) {
				t.Fatalf("%s: above the head: %v", when, above)
			}
		}
		for i := range 9 {
			commitAll(t, s, c.grow())
			check(fmt.Sprintf("after block %d", i))
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = must(Open(dir, proofOptions(kept)))
			check("after a start")
		}
		must(s.Revert(t.Context(), &ordov1.RevertRequest{Height: 8}))
		c = c.fork(8, 100+seed)
		check("after a revert")
		commitAll(t, s, c.grow(), c.grow())
		check("after other blocks")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Proofs that are made while blocks arrive are those of the height asked for, or of none.
func TestProofsWhileBlocksArrive(t *testing.T) {
	t.Parallel()
	c := newTestChain(77)
	for range 60 {
		c.grow()
	}
	s := open(t, t.TempDir(), proofOptions(3))
	commitAll(t, s, c.blocks[0])
	var wg sync.WaitGroup
	wg.Go(func() { commitAll(t, s, c.blocks[1:]...) })
	for range 3 {
		wg.Go(func() {
			proven := 0
			for height := uint64(0); height < uint64(len(c.blocks)); {
				r := everything(c.states[:height+1], height)
				out, err := s.Proofs(context.Background(), r)
				switch {
				case err != nil:
					t.Error(err)
					return
				case !out.OutOfReach:
					if err := checkProofs(r, out, c.states[height], c.roots[height]); err != nil {
						t.Errorf("block %d: %v", height, err)
						return
					}
					proven++
					height++
				case height < out.Lowest:
					height = out.Lowest
				}
			}
			if proven == 0 {
				t.Error("nothing was proven")
			}
		})
	}
	wg.Wait()
}

// A request that cannot be answered is refused before anything is read.
func TestProofsRefused(t *testing.T) {
	t.Parallel()
	c := newTestChain(5)
	s := open(t, t.TempDir(), proofOptions(2))
	out, err := s.Proofs(t.Context(), &ordov1.ProofsRequest{})
	if err != nil || !out.OutOfReach {
		t.Errorf("of an empty store: %v, %v", out, err)
	}
	commitAll(t, s, c.grow())
	waitRoots(t, s, c)
	many := make([]byte, sdk.MaxProofKeys*feltSize)
	if _, err := s.Proofs(t.Context(), &ordov1.ProofsRequest{Classes: many}); err != nil {
		t.Errorf("%d keys: %v", sdk.MaxProofKeys, err)
	}
	zero := make([]byte, feltSize)
	for what, r := range map[string]*ordov1.ProofsRequest{
		"a key too many":           {Classes: many, Contracts: zero},
		"many contracts":           {Storage: append(make([]*ordov1.StorageKeys, sdk.MaxProofKeys), &ordov1.StorageKeys{Contract: zero})},
		"a contract without keys":  {Classes: many, Storage: []*ordov1.StorageKeys{{Contract: zero}}},
		"half a key":               {Contracts: zero[1:]},
		"half a contract":          {Storage: []*ordov1.StorageKeys{{Contract: zero[1:], Keys: zero}}},
		"a key of 2^251":           {Storage: []*ordov1.StorageKeys{{Contract: zero, Keys: append([]byte{8}, zero[1:]...)}}},
		"a class beyond the prime": {Classes: bytes.Repeat([]byte{0xff}, feltSize)},
	} {
		if _, err := s.Proofs(t.Context(), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	off := open(t, t.TempDir(), proofOptions(0))
	if _, err := off.Proofs(t.Context(), &ordov1.ProofsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("switched off: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Proofs(t.Context(), &ordov1.ProofsRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("closed: %v", err)
	}
}

// FuzzProofRequest: any bytes are a request that is answered or refused, and what is answered verifies.
func FuzzProofRequest(f *testing.F) {
	c := newTestChain(824)
	dir, o := f.TempDir(), proofOptions(4)
	s := must(Open(dir, o))
	f.Cleanup(func() { _ = s.Close() })
	for range 6 {
		commitAll(f, s, c.grow())
	}
	waitRoots(f, s, c)
	one := felt.One().Append(nil)
	f.Add(uint64(5), one, one, one, one)
	f.Add(uint64(2), bytes.Repeat([]byte{7}, 64), []byte{}, one, bytes.Repeat([]byte{0xff}, 32))
	f.Add(uint64(99), []byte{}, []byte{1}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, height uint64, classes, contracts, contract, keys []byte) {
		r := &ordov1.ProofsRequest{Height: height, Classes: classes, Contracts: append(contracts, contract...),
			Storage: []*ordov1.StorageKeys{{Contract: contract, Keys: keys}}}
		out, err := s.Proofs(context.Background(), r)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if out.OutOfReach != (height > 5 || height < 2) {
			t.Fatalf("block %d: out of reach %v", height, out.OutOfReach)
		}
		if out.OutOfReach {
			return
		}
		if err := checkProofs(r, out, c.states[height], c.roots[height]); err != nil {
			t.Fatal(err)
		}
	})
}
