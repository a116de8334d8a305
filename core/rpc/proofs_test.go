package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// provenFrom is the lowest height that fakeStorage proves.
const provenFrom = 1

// tries are those of the state after a block.
func (f *fakeStorage) tries(height uint64) *trie.State {
	state := trie.NewState(trie.NewMemory())
	entries := func(lists ...[]byte) (out []trie.Entry) {
		for _, packed := range lists {
			for k, v := range felt.Pairs(packed) {
				out = append(out, trie.Entry{Key: felt.Reduce(k), Value: felt.Reduce(v)})
			}
		}
		return out
	}
	for _, b := range f.Stored[:height+1] {
		d := b.StateDiff
		diff := &trie.Diff{Contracts: entries(d.Deployed, d.Replaced), Nonces: entries(d.Nonces), Classes: entries(d.Declared, d.Migrated)}
		for _, c := range d.Storage {
			diff.Storage = append(diff.Storage, trie.Storage{Address: felt.Reduce(c.Address), Entries: entries(c.Entries)})
		}
		if _, err := state.Apply(diff); err != nil {
			panic(err)
		}
	}
	return state
}

// trueRoots gives the headers the state roots that proofs are compared with.
func (f *fakeStorage) trueRoots() {
	for _, b := range f.Stored {
		roots, err := f.tries(b.Header.Context.Number).Roots()
		if err != nil {
			panic(err)
		}
		b.Header.StateRoot = roots.Root(true).Append(nil)
	}
}

func (f *fakeStorage) Proofs(ctx context.Context, q *ordov1.ProofsRequest) (*ordov1.ProofsResponse, error) {
	if f.noProofs {
		return f.UnimplementedStorageReadServer.Proofs(ctx, q)
	}
	top := uint64(len(f.Stored) - 1)
	out := &ordov1.ProofsResponse{Height: q.Height, Lowest: provenFrom, Highest: top}
	if out.OutOfReach = q.Height < provenFrom || q.Height > top; out.OutOfReach {
		return out, nil
	}
	prover, err := f.tries(q.Height).Prover(0)
	if err != nil {
		return nil, err
	}
	out.ClassesRoot, out.ContractsRoot = prover.Roots().Classes.Append(nil), prover.Roots().Contracts.Append(nil)
	var classes, contracts trie.Nodes
	for k := range felt.Rows(q.Classes) {
		if err := prover.Class(felt.Reduce(k), &classes); err != nil {
			return nil, err
		}
	}
	for a := range felt.Rows(q.Contracts) {
		leaf, err := prover.Contract(felt.Reduce(a), &contracts)
		if err != nil {
			return nil, err
		}
		out.ContractLeaves = leaf.StorageRoot.Append(leaf.Nonce.Append(leaf.Class.Append(out.ContractLeaves)))
	}
	for _, s := range q.Storage {
		var nodes trie.Nodes
		for k := range felt.Rows(s.Keys) {
			if err := prover.Storage(felt.Reduce(s.Contract), felt.Reduce(k), &nodes); err != nil {
				return nil, err
			}
		}
		out.Storage = append(out.Storage, packed(nodes))
	}
	out.Classes, out.Contracts = packed(classes), packed(contracts)
	if f.badProofs != nil {
		f.badProofs(out)
	}
	return out, nil
}

func packed(nodes trie.Nodes) *ordov1.ProofNodes {
	out := &ordov1.ProofNodes{}
	for _, n := range nodes.List {
		if n.Length == 0 {
			out.Binary = n.Right.Append(n.Left.Append(n.Hash.Append(out.Binary)))
			continue
		}
		out.Edges, out.Lengths = n.Path.Append(n.Child.Append(n.Hash.Append(out.Edges))), append(out.Lengths, n.Length)
	}
	return out
}

// ask calls the method and returns its answer, or its error, as the client reads it.
func ask(t testing.TB, s *Server, method, params string) (string, *Error) {
	t.Helper()
	result, failed := s.Call(t.Context(), method, json.RawMessage(params))
	if failed != nil {
		return "", failed
	}
	var w jsonWriter
	if err := w.value(result, true); err != nil {
		t.Fatal(err)
	}
	return string(w.buf), nil
}

// TestStorageProofVerifies: what a client reads leads from the roots in the answer, which make the state root of the header, to
// what getStorageAt, getNonce and getClassHashAt say.
func TestStorageProofVerifies(t *testing.T) {
	w := newWorld(t)
	text, failed := ask(t, w.server, "starknet_getStorageProof", `{"block_id":"latest","class_hashes":["0xc1","0xc2","0xc3"],"contract_addresses":["0x99","0x77","0x5"],
		"contracts_storage_keys":[{"contract_address":"0x99","storage_keys":["0x1","0x2","0x3"]},{"contract_address":"0x77","storage_keys":["0x1"]}]}`)
	if failed != nil {
		t.Fatal(failed)
	}
	type node struct {
		Hash string `json:"node_hash"`
		Node struct {
			Left, Right, Child, Path string
			Length                   uint8
		}
	}
	var answer struct {
		Classes   []node `json:"classes_proof"`
		Contracts struct {
			Nodes  []node
			Leaves []struct {
				Nonce       string
				Class       string `json:"class_hash"`
				StorageRoot string `json:"storage_root"`
			} `json:"contract_leaves_data"`
		} `json:"contracts_proof"`
		Storage [][]node `json:"contracts_storage_proofs"`
		Roots   struct {
			Contracts string `json:"contracts_tree_root"`
			Classes   string `json:"classes_tree_root"`
		} `json:"global_roots"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	number := func(s string) felt.Felt {
		if s == "" {
			return felt.Felt{}
		}
		return felt.MustHex(s)
	}
	proof := func(hash trie.HashPairs, list []node) trie.Proof {
		t.Helper()
		var nodes []trie.Node
		for _, n := range list {
			nodes = append(nodes, trie.Node{Hash: number(n.Hash), ProofNode: trie.ProofNode{Left: number(n.Node.Left), Right: number(n.Node.Right),
				Child: number(n.Node.Child), Path: number(n.Node.Path), Length: n.Node.Length}})
		}
		out, err := trie.NewProof(hash, nodes)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	leads := func(p trie.Proof, root felt.Felt, key string, want felt.Felt) {
		t.Helper()
		if got, err := p.Value(root, number(key)); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", key, got, err, want)
		}
	}
	roots := trie.Roots{Contracts: number(answer.Roots.Contracts), Classes: number(answer.Roots.Classes)}
	if got := roots.Root(true).Append(nil); string(got) != string(w.storage.Stored[2].Header.StateRoot) {
		t.Errorf("the roots make %x, the header has %x", got, w.storage.Stored[2].Header.StateRoot)
	}
	classes := proof(poseidon.HashPairs, answer.Classes)
	leads(classes, roots.Classes, "0xc1", trie.ClassLeaf(number("0xcc1")))
	leads(classes, roots.Classes, "0xc2", trie.ClassLeaf(number("0xcc")))
	leads(classes, roots.Classes, "0xc3", felt.Felt{})
	contracts := proof(pedersen.HashPairs, answer.Contracts.Nodes)
	for i, want := range []struct{ address, nonce, class string }{{"0x99", "0x0", "0xc0"}, {"0x77", "0x3", "0xc1"}, {"0x5", "0x0", "0x0"}} {
		l := answer.Contracts.Leaves[i]
		if l.Nonce != want.nonce || l.Class != want.class {
			t.Errorf("leaf %d: %v, want %v", i, l, want)
		}
		leads(contracts, roots.Contracts, want.address, trie.Contract{Class: number(l.Class), Nonce: number(l.Nonce), StorageRoot: number(l.StorageRoot)}.Leaf())
	}
	token := proof(pedersen.HashPairs, answer.Storage[0])
	for key, value := range map[string]uint64{"0x1": 101, "0x2": 7, "0x3": 0} {
		leads(token, number(answer.Contracts.Leaves[0].StorageRoot), key, felt.FromUint64(value))
	}
	if len(answer.Storage) != 2 || len(answer.Storage[1]) != 0 {
		t.Errorf("a contract without storage: %v", answer.Storage[1:])
	}
}

// TestStorageProofKeysAreBounded: over all three lists together, and by name.
func TestStorageProofKeysAreBounded(t *testing.T) {
	w := newWorld(t)
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"0x1",`, n), ",") }
	for _, c := range []struct {
		params string
		ok     bool
	}{
		{fmt.Sprintf(`["latest",[%s]]`, many(1024)), true},
		{fmt.Sprintf(`["latest",[%s]]`, many(1025)), false},
		{fmt.Sprintf(`["latest",[%s],[%s]]`, many(1000), many(24)), true},
		{fmt.Sprintf(`["latest",[%s],[%s]]`, many(1000), many(25)), false},
		{fmt.Sprintf(`["latest",null,null,[{"contract_address":"0x99","storage_keys":[%s]}]]`, many(1024)), true},
		{fmt.Sprintf(`["latest",null,["0x1"],[{"contract_address":"0x99","storage_keys":[%s]}]]`, many(1024)), false},
		{fmt.Sprintf(`["latest",null,null,[%s]]`, strings.TrimSuffix(strings.Repeat(`{"contract_address":"0x99","storage_keys":[]},`, 1024), ",")), true},
		{fmt.Sprintf(`["latest",null,null,[%s]]`, strings.TrimSuffix(strings.Repeat(`{"contract_address":"0x99","storage_keys":[]},`, 1025), ",")), false},
	} {
		_, failed := ask(t, w.server, "starknet_getStorageProof", c.params)
		if c.ok && failed != nil || !c.ok && (failed == nil || failed.Code != InvalidParams || !strings.Contains(failed.Message, "limits.proof_keys")) {
			t.Errorf("%.60s...: %v", c.params, failed)
		}
	}
}

// TestStorageProofWithoutTheCapability: a store that makes no proofs is error 42, not an unknown method.
func TestStorageProofWithoutTheCapability(t *testing.T) {
	w := newWorld(t)
	w.storage.noProofs = true
	_, failed := ask(t, w.server, "starknet_getStorageProof", `["latest"]`)
	if failed == nil || failed.Code != 42 || !strings.Contains(string(failed.Data), "capability proofs") {
		t.Errorf("%v %s", failed, failed.Data)
	}
	if err := loadSpec(t).CheckError(int(failed.Code), failed.Message, failed.Data); err != nil {
		t.Error(err)
	}
}

// TestWrongProofsAreNotPassedOn: roots that are not the header's and answers that do not fit are a fault of the node.
func TestWrongProofsAreNotPassedOn(t *testing.T) {
	for name, spoil := range map[string]func(*ordov1.ProofsResponse){
		"another root":     func(r *ordov1.ProofsResponse) { r.ContractsRoot = fe(1) },
		"no root":          func(r *ordov1.ProofsResponse) { r.ClassesRoot = nil },
		"another height":   func(r *ordov1.ProofsResponse) { r.Height-- },
		"a leaf too few":   func(r *ordov1.ProofsResponse) { r.ContractLeaves = r.ContractLeaves[96:] },
		"half a node":      func(r *ordov1.ProofsResponse) { r.Contracts.Binary = append(r.Contracts.Binary, 1) },
		"a length too few": func(r *ordov1.ProofsResponse) { r.Contracts.Lengths = r.Contracts.Lengths[1:] },
		"storage too much": func(r *ordov1.ProofsResponse) { r.Storage = append(r.Storage, &ordov1.ProofNodes{}) },
		"a bit flipped":    func(r *ordov1.ProofsResponse) { r.Contracts.Binary[40] ^= 1 },
		"a node missing":   func(r *ordov1.ProofsResponse) { r.Contracts.Binary = r.Contracts.Binary[96:] },
		"a node twice": func(r *ordov1.ProofsResponse) {
			r.Contracts.Binary = append(r.Contracts.Binary, r.Contracts.Binary[:96]...)
		},
		"a node too much":  func(r *ordov1.ProofsResponse) { r.Contracts.Binary = append(r.Contracts.Binary, pairNode(7, 8)...) },
		"many nodes":       func(r *ordov1.ProofsResponse) { r.Contracts.Binary = make([]byte, 96<<12) },
		"an edge of none":  func(r *ordov1.ProofsResponse) { r.Contracts.Lengths[0] = 0 },
		"another leaf":     func(r *ordov1.ProofsResponse) { r.ContractLeaves[63] ^= 1 },
		"no felt":          func(r *ordov1.ProofsResponse) { r.Contracts.Binary[0] = 0xff },
		"another value":    func(r *ordov1.ProofsResponse) { r.Storage[0].Binary[95] ^= 1 },
		"an unasked slot":  func(r *ordov1.ProofsResponse) { r.Storage[1].Binary = append(r.Storage[1].Binary, pairNode(7, 8)...) },
		"an unasked class": func(r *ordov1.ProofsResponse) { r.Classes = &ordov1.ProofNodes{Binary: pairNode(7, 8)} },
	} {
		w := newWorld(t)
		w.storage.badProofs = spoil
		if _, failed := ask(t, w.server, "starknet_getStorageProof",
			`["latest",[],["0x99","0x77"],[{"contract_address":"0x99","storage_keys":["0x1","0x2"]},{"contract_address":"0x77","storage_keys":["0x1"]}]]`); failed == nil || failed.Code != InternalError {
			t.Errorf("%s: %v", name, failed)
		}
	}
}

// pairNode is a binary node that has its hash.
func pairNode(left, right uint64) []byte {
	l, r := felt.FromUint64(left), felt.FromUint64(right)
	return r.Append(l.Append(pedersen.Hash(l, r).Append(nil)))
}

// FuzzProofParams: any parameters are a request within the bounds, or an error of the client's.
func FuzzProofParams(f *testing.F) {
	f.Add(`["0x1"]`, `["0x2"]`, `[{"contract_address":"0x99","storage_keys":["0x1"]}]`)
	f.Add(`[]`, `null`, `[{}]`)
	f.Add(`["0x800000000000000000000000000000000000000000000000000000000000000"]`, `{}`, `[{"contract_address":1,"storage_keys":[[]],"more":0}]`)
	s := &Server{Options: Options{Limits: Limits{ProofKeys: 6}}}
	f.Fuzz(func(t *testing.T, classes, contracts, storage string) {
		p := jsonin.NewObject(map[string]json.RawMessage{"class_hashes": json.RawMessage(classes), "contract_addresses": json.RawMessage(contracts),
			"contracts_storage_keys": json.RawMessage(storage)})
		q := s.proofRequest(p)
		if p.Err() != nil {
			if _, ok := clientError(p.Err()); !ok {
				t.Fatal(p.Err())
			}
			return
		}
		n := len(q.Classes) + len(q.Contracts)
		for _, k := range q.Storage {
			if len(k.Contract) != felt.Size || k.Contract[0] >= 8 {
				t.Fatalf("contract %x", k.Contract)
			}
			n += max(felt.Size, len(k.Keys))
		}
		if n%felt.Size != 0 || n > 6*felt.Size {
			t.Fatalf("%d bytes of keys", n)
		}
	})
}
