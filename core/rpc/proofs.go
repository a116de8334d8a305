package rpc

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

var errProofNotSupported = specError(42, "the node doesn't support storage proofs for blocks that are too far in the past")

func (s *Server) proofMethods() map[string]Method {
	return map[string]Method{
		"starknet_getStorageProof": {
			Params: []string{"block_id", "class_hashes", "contract_addresses", "contracts_storage_keys"}, Call: s.storageProof,
		},
	}
}

// storageProof proves values of the state after an accepted block. What storage answers is checked as a client does it: see checkProofs.
func (s *Server) storageProof(ctx context.Context, p *jsonin.Object) (any, error) {
	q := s.proofRequest(p)
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	if ref.accepted == nil {
		return nil, jsonin.In("block_id", jsonin.Errorf("a pre_confirmed block has no state root, and so no proofs: ask for latest, or for a block by number or hash"))
	}
	q.Height = ref.number
	leave, err := s.reads.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var out *ordov1.ProofsResponse
	err = s.storage.Ask(ctx, func(ctx context.Context) (err error) {
		out, err = s.Storage.Proofs(ctx, q)
		return err
	})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, withData(errProofNotSupported, "the storage plugin of this node makes no proofs (it does not have the capability proofs)")
	case err != nil:
		return nil, fmt.Errorf("read proofs: %w", err)
	case out.OutOfReach:
		return nil, withData(errProofNotSupported, fmt.Sprintf("proofs of the blocks %d to %d are made, not of %d", out.Lowest, out.Highest, q.Height))
	}
	if err := checkProofs(ref.accepted, q, out); err != nil {
		return nil, fmt.Errorf("storage: proofs at block %d: %w", q.Height, err)
	}
	return newStorageProof(ref.accepted, out), nil
}

// proofRequest reads what is to be proven; errors are in p.
func (s *Server) proofRequest(p *jsonin.Object) *ordov1.ProofsRequest {
	q, keys := &ordov1.ProofsRequest{}, 0
	count := func(name string, n int) {
		if keys += n; keys > s.Limits.ProofKeys {
			p.Fail(name, jsonin.Errorf("more than %d keys in one request (limits.proof_keys): class hashes, addresses and storage keys count together", s.Limits.ProofKeys))
		}
	}
	list := func(name string) (packed []byte) {
		if p.Has(name) {
			packed = p.Felts(name)
			count(name, len(packed)/felt.Size)
			p.Fail(name, belowTries(packed))
		}
		return packed
	}
	q.Classes, q.Contracts = list("class_hashes"), list("contract_addresses")
	const storage = "contracts_storage_keys"
	if !p.Has(storage) {
		return q
	}
	for i, raw := range p.List(storage) {
		keys, err := storageKeys(raw)
		p.Fail(storage, jsonin.At(i, err))
		if count(storage, max(1, len(keys.GetKeys())/felt.Size)); p.Err() != nil {
			break
		}
		q.Storage = append(q.Storage, keys)
	}
	return q
}

func storageKeys(raw json.RawMessage) (*ordov1.StorageKeys, error) {
	o, err := jsonin.ParseObject(raw)
	if err != nil {
		return nil, err
	}
	keys := &ordov1.StorageKeys{Contract: o.Felt("contract_address"), Keys: o.Felts("storage_keys")}
	o.Fail("contract_address", belowTries(keys.Contract))
	o.Fail("storage_keys", belowTries(keys.Keys))
	return keys, o.Done()
}

// belowTries wants keys that a trie of height 251 can have.
func belowTries(packed []byte) error {
	i := 0
	for k := range felt.Rows(packed) {
		if k[0] >= 8 {
			return jsonin.At(i, jsonin.Errorf("not below 2^251"))
		}
		i++
	}
	return nil
}

// proofNode is an entry of NODE_HASH_TO_NODE_MAPPING.
type proofNode struct {
	Hash hexFelt `json:"node_hash"`
	Node any     `json:"node"`
}

type binaryNode struct {
	Left  hexFelt `json:"left"`
	Right hexFelt `json:"right"`
}

type edgeNode struct {
	Path   hexFelt `json:"path"`
	Length uint64  `json:"length"`
	Child  hexFelt `json:"child"`
}

type contractLeaf struct {
	Nonce       hexFelt `json:"nonce"`
	Class       hexFelt `json:"class_hash"`
	StorageRoot hexFelt `json:"storage_root"`
}

type storageProof struct {
	Classes   []proofNode `json:"classes_proof"`
	Contracts struct {
		Nodes  []proofNode    `json:"nodes"`
		Leaves []contractLeaf `json:"contract_leaves_data"`
	} `json:"contracts_proof"`
	Storage [][]proofNode `json:"contracts_storage_proofs"`
	Roots   struct {
		Contracts hexFelt `json:"contracts_tree_root"`
		Classes   hexFelt `json:"classes_tree_root"`
		Block     hexFelt `json:"block_hash"`
	} `json:"global_roots"`
}

func newStorageProof(h *ordov1.BlockHeader, from *ordov1.ProofsResponse) *storageProof {
	out := &storageProof{Classes: newProofNodes(from.Classes), Storage: make([][]proofNode, len(from.Storage))}
	out.Contracts.Nodes = newProofNodes(from.Contracts)
	out.Contracts.Leaves = make([]contractLeaf, len(from.ContractLeaves)/(3*felt.Size))
	for i := range out.Contracts.Leaves {
		class, nonce, root := triple(from.ContractLeaves, i)
		out.Contracts.Leaves[i] = contractLeaf{Class: class, Nonce: nonce, StorageRoot: root}
	}
	for i, n := range from.Storage {
		out.Storage[i] = newProofNodes(n)
	}
	out.Roots.Contracts, out.Roots.Classes, out.Roots.Block = from.ContractsRoot, from.ClassesRoot, h.Hash
	return out
}

func newProofNodes(n *ordov1.ProofNodes) []proofNode {
	out := make([]proofNode, 0, len(n.GetBinary())/(3*felt.Size)+len(n.GetLengths()))
	for i := range len(n.GetBinary()) / (3 * felt.Size) {
		hash, left, right := triple(n.Binary, i)
		out = append(out, proofNode{hash, &binaryNode{left, right}})
	}
	for i, length := range n.GetLengths() {
		hash, child, path := triple(n.Edges, i)
		out = append(out, proofNode{hash, &edgeNode{path, uint64(length), child}})
	}
	return out
}

// triple is row i of a packed table of three felts.
func triple(packed []byte, i int) (a, b, c hexFelt) {
	row := packed[i*3*felt.Size:]
	return row[:felt.Size], row[felt.Size : 2*felt.Size], row[2*felt.Size : 3*felt.Size]
}
