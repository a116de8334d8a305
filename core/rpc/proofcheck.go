package rpc

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// checkProofs wants an answer that fits the question, roots that make the state root of the block, nodes that hash to what they are
// listed under, and a path to every key that lies in them; every node must lie on one of these paths, and be there once. It costs
// about 2 us a node, under the limit on reads, and so no client is the first to find that storage is wrong.
func checkProofs(h *ordov1.BlockHeader, q *ordov1.ProofsRequest, out *ordov1.ProofsResponse) error {
	if out.Height != q.Height || len(out.ContractLeaves) != 3*len(q.Contracts) || len(out.Storage) != len(q.Storage) {
		return fmt.Errorf("the answer does not fit the question")
	}
	roots, err := checkRoots(h, out)
	if err != nil {
		return err
	}
	classes, err := openProof(poseidon.HashPairs, out.Classes, len(q.Classes))
	if err != nil {
		return fmt.Errorf("classes: %w", err)
	}
	for c := range felt.Rows(q.Classes) {
		if _, err := classes.follow(roots.Classes, c); err != nil {
			return fmt.Errorf("class 0x%x: %w", c, err)
		}
	}
	if err := classes.spent(); err != nil {
		return fmt.Errorf("classes: %w", err)
	}
	leaves, err := checkContracts(q, out, roots.Contracts)
	if err != nil {
		return err
	}
	for i, s := range q.Storage {
		if err := checkSlots(s, out.Storage[i], leaves); err != nil {
			return fmt.Errorf("storage of 0x%x: %w", s.Contract, err)
		}
	}
	return nil
}

// checkRoots wants roots of the tries that make the state root in the header.
func checkRoots(h *ordov1.BlockHeader, out *ordov1.ProofsResponse) (roots trie.Roots, err error) {
	version, err := starknet.ParseVersion(h.GetContext().GetStarknetVersion())
	if err != nil {
		return roots, err
	}
	if roots.Classes, err = felt.FromBytes(out.ClassesRoot); err != nil {
		return roots, fmt.Errorf("classes root: %w", err)
	}
	if roots.Contracts, err = felt.FromBytes(out.ContractsRoot); err != nil {
		return roots, fmt.Errorf("contracts root: %w", err)
	}
	want, err := felt.FromBytes(h.GetStateRoot())
	if err != nil {
		return roots, fmt.Errorf("state root: %w", err)
	}
	if got := roots.Root(!version.Before(starknet.V0_14_0)); got != want {
		return roots, fmt.Errorf("the roots make the state root %s, the header has %s", got, want)
	}
	return roots, nil
}

// checkContracts follows the contracts to their leaves, and returns what these are made of.
func checkContracts(q *ordov1.ProofsRequest, out *ordov1.ProofsResponse, root felt.Felt) (map[string]trie.Contract, error) {
	contracts, err := openProof(pedersen.HashPairs, out.Contracts, len(q.Contracts))
	if err != nil {
		return nil, fmt.Errorf("contracts: %w", err)
	}
	data, err := felt.Unpack(out.ContractLeaves)
	if err != nil {
		return nil, fmt.Errorf("contract leaves: %w", err)
	}
	leaves := make(map[string]trie.Contract, len(data)/3)
	for a := range felt.Rows(q.Contracts) {
		c := trie.Contract{Class: data[0], Nonce: data[1], StorageRoot: data[2]}
		data = data[3:]
		leaf, err := contracts.follow(root, a)
		if err == nil && leaf != c.Leaf() {
			err = fmt.Errorf("the path ends at %s, the leaf is %s", leaf, c.Leaf())
		}
		if err != nil {
			return nil, fmt.Errorf("contract 0x%x: %w", a, err)
		}
		leaves[string(a)] = c
	}
	if err := contracts.spent(); err != nil {
		return nil, fmt.Errorf("contracts: %w", err)
	}
	return leaves, nil
}

// checkSlots follows keys of one contract. The root of its storage is in its leaf; where the client did not ask for that, it is the
// one node that no other node leads to.
func checkSlots(s *ordov1.StorageKeys, nodes *ordov1.ProofNodes, leaves map[string]trie.Contract) error {
	slots, err := openProof(pedersen.HashPairs, nodes, len(s.Keys))
	if err != nil {
		return err
	}
	root := slots.top()
	if leaf, proven := leaves[string(s.Contract)]; proven {
		root = leaf.StorageRoot
	}
	for k := range felt.Rows(s.Keys) {
		if _, err := slots.follow(root, k); err != nil {
			return fmt.Errorf("key 0x%x: %w", k, err)
		}
	}
	return slots.spent()
}

// openedProof is a list of nodes that have their hashes, and which of them were used.
type openedProof struct {
	trie.Proof
	used map[felt.Felt]struct{}
}

// openProof hashes the nodes of a list that leads to keys of so many bytes.
func openProof(hash trie.HashPairs, n *ordov1.ProofNodes, keys int) (*openedProof, error) {
	const row = 3 * felt.Size
	binary, edges := n.GetBinary(), n.GetEdges()
	if len(binary)%row != 0 || len(edges) != row*len(n.GetLengths()) {
		return nil, fmt.Errorf("a node is cut short")
	}
	// Checked before anything is hashed.
	if count := len(binary)/row + len(n.GetLengths()); count > keys/felt.Size*(trie.Height+1) {
		return nil, fmt.Errorf("%d nodes are too many for %d keys", count, keys/felt.Size)
	}
	nodes := make([]trie.Node, 0, len(binary)/row+len(n.GetLengths()))
	read := func(packed []byte) (node trie.Node, a, b felt.Felt, err error) {
		if node.Hash, err = felt.FromBytes(packed[:felt.Size]); err == nil {
			a, err = felt.FromBytes(packed[felt.Size : 2*felt.Size])
		}
		if err == nil {
			b, err = felt.FromBytes(packed[2*felt.Size : row])
		}
		return node, a, b, err
	}
	var err error
	for ; len(binary) > 0 && err == nil; binary = binary[row:] {
		var node trie.Node
		node, node.Left, node.Right, err = read(binary)
		nodes = append(nodes, node)
	}
	for _, length := range n.GetLengths() {
		if err != nil {
			break
		}
		var node trie.Node
		if node, node.Child, node.Path, err = read(edges); err == nil && length == 0 {
			err = fmt.Errorf("an edge of no bits")
		}
		node.Length, edges = length, edges[row:]
		nodes = append(nodes, node)
	}
	if err != nil {
		return nil, err
	}
	proof, err := trie.NewProof(hash, nodes)
	if err != nil {
		return nil, err
	}
	if len(proof) != len(nodes) {
		return nil, fmt.Errorf("%d nodes, %d of them different", len(nodes), len(proof))
	}
	return &openedProof{proof, make(map[felt.Felt]struct{}, len(nodes))}, nil
}

// follow leads from a root to the leaf of a key, and remembers the nodes that it used.
func (p *openedProof) follow(root felt.Felt, key []byte) (felt.Felt, error) {
	k, err := felt.FromBytes(bytes.Clone(key))
	if err != nil {
		return felt.Felt{}, err
	}
	return p.Follow(root, k, func(hash felt.Felt) { p.used[hash] = struct{}{} })
}

// spent wants every node to lie on a path that was followed.
func (p *openedProof) spent() error {
	if len(p.used) != len(p.Proof) {
		return fmt.Errorf("%d nodes, %d of them on the paths", len(p.Proof), len(p.used))
	}
	return nil
}

// top is the node that no other leads to; 0 when there is none.
func (p *openedProof) top() felt.Felt {
	below := make(map[felt.Felt]struct{}, 2*len(p.Proof))
	for _, n := range p.Proof {
		below[n.Left], below[n.Right], below[n.Child] = struct{}{}, struct{}{}, struct{}{}
	}
	for hash := range p.Proof {
		if _, ok := below[hash]; !ok {
			return hash
		}
	}
	return felt.Felt{}
}
