package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// proofFile is a request for storage proofs and its answer in one object, or the answer alone.
type proofFile struct {
	Params json.RawMessage `json:"params"`
	Result *proofAnswer    `json:"result"`
}

type proofAnswer struct {
	Classes   []proofNode `json:"classes_proof"`
	Contracts struct {
		Nodes  []proofNode `json:"nodes"`
		Leaves []proofLeaf `json:"contract_leaves_data"`
	} `json:"contracts_proof"`
	Storage [][]proofNode `json:"contracts_storage_proofs"`
	Roots   *struct {
		Contracts felt.Felt `json:"contracts_tree_root"`
		Classes   felt.Felt `json:"classes_tree_root"`
	} `json:"global_roots"`
}

type proofLeaf struct {
	Nonce       felt.Felt `json:"nonce"`
	Class       felt.Felt `json:"class_hash"`
	StorageRoot felt.Felt `json:"storage_root"`
}

type proofNode struct {
	Hash felt.Felt `json:"node_hash"`
	Node struct {
		Left   *felt.Felt `json:"left"`
		Right  *felt.Felt `json:"right"`
		Path   *felt.Felt `json:"path"`
		Child  *felt.Felt `json:"child"`
		Length *uint8     `json:"length"`
	} `json:"node"`
}

// proofParams is what was asked for.
type proofParams struct {
	Classes   []felt.Felt `json:"class_hashes"`
	Contracts []felt.Felt `json:"contract_addresses"`
	Storage   []struct {
		Contract felt.Felt   `json:"contract_address"`
		Keys     []felt.Felt `json:"storage_keys"`
	} `json:"contracts_storage_keys"`
}

// Proof checks an answer of starknet_getStorageProof: that every node has its hash, and that the paths lead from the roots to
// what was asked for, or, where the request is not in the file, that all nodes lie on paths from the roots. With a state root,
// the roots must make it.
func Proof(name string, data []byte, stateRoot *felt.Felt) *File {
	f := &File{Name: name, Kind: "storage proof"}
	var in proofFile
	err := json.Unmarshal(data, &in)
	if err == nil && in.Result == nil {
		in.Result = &proofAnswer{}
		err = json.Unmarshal(data, in.Result)
	}
	if err == nil && in.Result.Roots == nil {
		err = errors.New("no answer of starknet_getStorageProof: global_roots are missing")
	}
	var params *proofParams
	if err == nil && in.Params != nil {
		params, err = readProofParams(in.Params)
	}
	if err == nil && params != nil && (len(in.Result.Contracts.Leaves) != len(params.Contracts) || len(in.Result.Storage) != len(params.Storage)) {
		err = errors.New("the answer does not fit the request: another number of contracts")
	}
	if err != nil {
		f.Err = err
		f.Error = err.Error()
		return f
	}
	f.Input = &feeder.File{Kind: f.Kind}
	p := &proofCheck{file: f, answer: in.Result}
	p.run(params, stateRoot)
	return f
}

// readProofParams reads parameters by name or by position.
func readProofParams(raw json.RawMessage) (*proofParams, error) {
	p := &proofParams{}
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		return p, json.Unmarshal(raw, p)
	}
	return p, json.Unmarshal(raw, &[]any{new(any), &p.Classes, &p.Contracts, &p.Storage})
}

type proofCheck struct {
	file   *File
	answer *proofAnswer
}

func (p *proofCheck) item(name, expected, computed string, right bool, note string) {
	i := Item{Name: name, Expected: expected, Computed: computed, Verdict: OK, Note: note}
	if !right {
		i.Verdict = Mismatch
	}
	p.file.Items = append(p.file.Items, i)
}

func (p *proofCheck) run(params *proofParams, stateRoot *felt.Felt) {
	a := p.answer
	roots := trie.Roots{Contracts: a.Roots.Contracts, Classes: a.Roots.Classes}
	p.file.gap("global_roots.block_hash", "of the header, which is not in the proof")
	if stateRoot == nil {
		p.file.gap("global_roots", "whether they make the state root of the block: give it with --state-root")
	} else if got := roots.Root(true); got == *stateRoot || roots.Root(false) != *stateRoot {
		p.item("state root", stateRoot.Hex(), got.Hex(), got == *stateRoot, "")
	} else {
		p.item("state root", stateRoot.Hex(), stateRoot.Hex(), true, "the form of before 0.14.0")
	}
	classes := p.open("classes_proof", poseidon.HashPairs, a.Classes)
	contracts := p.open("contracts_proof", pedersen.HashPairs, a.Contracts.Nodes)
	storage := make([]trie.Proof, len(a.Storage))
	for i := range a.Storage {
		storage[i] = p.open(fmt.Sprintf("contracts_storage_proofs[%d]", i), pedersen.HashPairs, a.Storage[i])
	}
	if params == nil {
		p.reach("classes_proof", classes, roots.Classes)
		p.reach("contracts_proof", contracts, roots.Contracts)
		p.file.gap("contracts_proof.contract_leaves_data", "the request is not in the file, so the addresses are not known")
		p.file.gap("contracts_storage_proofs", "only each node's hash: the request is not in the file, so the contracts are not known")
		return
	}
	if classes != nil {
		for _, c := range params.Classes {
			leaf, err := classes.Value(roots.Classes, c)
			p.value("class "+c.Hex(), leaf, nil, err)
		}
	}
	leaves := map[felt.Felt]felt.Felt{}
	for i, address := range params.Contracts {
		l := trie.Contract{Class: a.Contracts.Leaves[i].Class, Nonce: a.Contracts.Leaves[i].Nonce, StorageRoot: a.Contracts.Leaves[i].StorageRoot}
		leaves[address] = l.StorageRoot
		if contracts != nil {
			leaf, want := felt.Felt{}, l.Leaf()
			leaf, err := contracts.Value(roots.Contracts, address)
			p.value("contract "+address.Hex(), leaf, &want, err)
		}
	}
	for i, of := range params.Storage {
		root, known := leaves[of.Contract]
		if !known {
			p.file.gap("contracts_storage_proofs["+strconv.Itoa(i)+"]", "its contract is not among contract_addresses, so its storage root is not proven")
			continue
		}
		for _, k := range of.Keys {
			if storage[i] != nil {
				leaf, err := storage[i].Value(root, k)
				p.value("storage "+of.Contract.Hex()+" "+k.Hex(), leaf, nil, err)
			}
		}
	}
}

// value is the end of a path; want is nil where only the path is checked.
func (p *proofCheck) value(name string, leaf felt.Felt, want *felt.Felt, err error) {
	switch {
	case err != nil:
		p.item(name, "a path from the root", "", false, err.Error())
	case want != nil:
		p.item(name, want.Hex(), leaf.Hex(), leaf == *want, "")
	case leaf.IsZero():
		p.item(name, leaf.Hex(), leaf.Hex(), true, "absent")
	default:
		p.item(name, leaf.Hex(), leaf.Hex(), true, "")
	}
}

// open hashes the nodes of a list; nil when one of them is wrong.
func (p *proofCheck) open(name string, hash trie.HashPairs, list []proofNode) trie.Proof {
	nodes := make([]trie.Node, len(list))
	for i, n := range list {
		nodes[i].Hash = n.Hash
		switch in := n.Node; {
		case in.Left != nil && in.Right != nil && in.Path == nil && in.Child == nil && in.Length == nil:
			nodes[i].Left, nodes[i].Right = *in.Left, *in.Right
		case in.Path != nil && in.Child != nil && in.Length != nil && *in.Length > 0 && in.Left == nil && in.Right == nil:
			nodes[i].Path, nodes[i].Child, nodes[i].Length = *in.Path, *in.Child, *in.Length
		default:
			p.item(name, "", "", false, fmt.Sprintf("node %d is neither a binary node nor an edge", i))
			return nil
		}
	}
	proof, err := trie.NewProof(hash, nodes)
	if err != nil {
		p.item(name, "", "", false, err.Error())
		return nil
	}
	count := strconv.Itoa(len(list)) + " nodes"
	p.item(name, count, count, true, "")
	return proof
}

// reach wants every node to lie below the root.
func (p *proofCheck) reach(name string, proof trie.Proof, root felt.Felt) {
	if len(proof) == 0 {
		return
	}
	seen := map[felt.Felt]bool{}
	for todo := []felt.Felt{root}; len(todo) > 0; {
		hash := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n, ok := proof[hash]
		if !ok || seen[hash] {
			continue
		}
		seen[hash] = true
		todo = append(todo, n.Left, n.Right, n.Child)
	}
	p.item(name+" below its root", fmt.Sprintf("%d nodes", len(proof)), fmt.Sprintf("%d nodes", len(seen)), len(seen) == len(proof), "")
}
