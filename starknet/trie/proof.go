package trie

import (
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// ErrProof means that a proof does not lead from the root to the key.
var ErrProof = errors.New("trie: proof does not verify")

// ProofNode is a node on the way from a root to a key. Length 0: a binary node with Left and Right. Otherwise an edge over
// Child, along the Length bits of Path.
type ProofNode struct {
	Left, Right felt.Felt
	Child, Path felt.Felt
	Length      uint8
}

// Node is a node of a proof with its hash.
type Node struct {
	Hash felt.Felt
	ProofNode
}

// Nodes gathers the nodes on the paths from one root to any number of keys, each node once.
type Nodes struct {
	List []Node
	seen map[felt.Felt]struct{}
}

func (n *Nodes) add(node Node) {
	if _, known := n.seen[node.Hash]; known {
		return
	}
	if n.seen == nil {
		n.seen = make(map[felt.Felt]struct{})
	}
	n.seen[node.Hash] = struct{}{}
	n.List = append(n.List, node)
}

// Contract is what the leaf of a contract is made of.
type Contract struct {
	Class, Nonce, StorageRoot felt.Felt
}

// Leaf is the leaf of the contract in the contracts trie, 0 where there is none.
func (c Contract) Leaf() felt.Felt {
	if c == (Contract{}) {
		return felt.Felt{}
	}
	return pedersen.Hash(pedersen.Hash(pedersen.Hash(c.Class, c.StorageRoot), c.Nonce), felt.Felt{})
}

// ClassLeaf is the leaf of a class in the classes trie, 0 where there is none.
func ClassLeaf(compiled felt.Felt) felt.Felt {
	if compiled.IsZero() {
		return felt.Felt{}
	}
	return poseidon.Hash(felt.MustShortString(classLeafVersion), compiled)
}

// Proof is a set of proof nodes by their hashes: what a client has in hand. Every node in it hashes to its key.
type Proof map[felt.Felt]ProofNode

// NewProof checks that every node has the hash under which it is listed, and could be a node of a trie at all.
func NewProof(hash HashPairs, nodes []Node) (Proof, error) {
	a, b := make([]felt.Felt, len(nodes)), make([]felt.Felt, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.Length > Height:
			return nil, fmt.Errorf("%w: node %s: an edge of %d bits", ErrProof, n.Hash, n.Length)
		case n.Length == 0:
			a[i], b[i] = n.Left, n.Right
		default:
			if p, err := pathOf(n.Path); err != nil || p.segment(0, Height-n.Length) != (felt.Felt{}) {
				return nil, fmt.Errorf("%w: node %s: the path of its edge has more than %d bits", ErrProof, n.Hash, n.Length)
			}
			a[i], b[i] = n.Child, n.Path
		}
	}
	hashParallel(hash, a, a, b)
	proof := make(Proof, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if got := a[i].Add(felt.FromUint64(uint64(n.Length))); got != n.Hash {
			return nil, fmt.Errorf("%w: node %s hashes to %s", ErrProof, n.Hash, got)
		}
		proof[n.Hash] = n.ProofNode
	}
	return proof, nil
}

// Value follows the proof from a root and returns the leaf that it proves for the key, 0 for a key that is not there.
func (p Proof) Value(root, key felt.Felt) (felt.Felt, error) {
	return p.Follow(root, key, func(felt.Felt) {})
}

// Follow is Value, and tells visit the hash of each node on the path.
func (p Proof) Follow(root, key felt.Felt, visit func(hash felt.Felt)) (felt.Felt, error) {
	want, err := pathOf(key)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("%w: %s", err, key)
	}
	if root.IsZero() {
		return felt.Felt{}, nil // the empty trie
	}
	at, hash := uint8(0), root
	for at < Height {
		n, ok := p[hash]
		if !ok {
			return felt.Felt{}, fmt.Errorf("%w: key %s: node %s at depth %d is missing", ErrProof, key, hash, at)
		}
		visit(hash)
		switch {
		case n.Length == 0 && want.bit(at) == 0:
			hash, at = n.Left, at+1
		case n.Length == 0:
			hash, at = n.Right, at+1
		case n.Length > Height-at:
			return felt.Felt{}, fmt.Errorf("%w: key %s: the edge at depth %d is longer than the way left", ErrProof, key, at)
		case n.Path != want.segment(at, at+n.Length):
			return felt.Felt{}, nil // the edge leads elsewhere
		default:
			hash, at = n.Child, at+n.Length
		}
	}
	return hash, nil
}
