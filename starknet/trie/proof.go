package trie

import (
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
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

// Hash is the node's own hash.
func (n *ProofNode) Hash(hash func(a, b felt.Felt) felt.Felt) felt.Felt {
	if n.Length == 0 {
		return hash(n.Left, n.Right)
	}
	return hash(n.Child, n.Path).Add(felt.FromUint64(uint64(n.Length)))
}

// ContractProof leads to a contract's leaf in the contracts trie, and names what the leaf is made of.
type ContractProof struct {
	Nodes        []ProofNode
	Class, Nonce felt.Felt
	StorageRoot  felt.Felt
}

// ProveContract proves a contract, or that there is none, under Roots.Contracts.
func (s *State) ProveContract(address felt.Felt) (ContractProof, error) {
	if err := s.open(); err != nil {
		return ContractProof{}, err
	}
	nodes, err := s.contracts.prove(address, &s.work)
	if err != nil {
		return ContractProof{}, err
	}
	a, err := s.account(address)
	if err != nil {
		return ContractProof{}, err
	}
	return ContractProof{Nodes: nodes, Class: a.class, Nonce: a.nonce, StorageRoot: a.storage.root.hash()}, nil
}

// ProveStorage proves the value of a key, or that it has none, under the contract's storage root.
func (s *State) ProveStorage(address, key felt.Felt) ([]ProofNode, error) {
	a, err := s.account(address)
	if err != nil {
		return nil, err
	}
	return a.storage.prove(key, &s.work)
}

// ProveClass proves a class, or that there is none, under Roots.Classes.
func (s *State) ProveClass(class felt.Felt) ([]ProofNode, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	return s.classes.prove(class, &s.work)
}

func (t *tree) prove(key felt.Felt, w *work) ([]ProofNode, error) {
	p, err := pathOf(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, key)
	}
	var nodes []ProofNode
	r, at := t.root, uint8(0)
	for r.full {
		if r.depth > at {
			nodes = append(nodes, ProofNode{Child: r.node, Path: r.path.segment(at, r.depth), Length: r.depth - at})
		}
		if r.depth == Height || r.path.common(p) < r.depth {
			break // the leaf, or an edge that leads elsewhere: either settles the question
		}
		page, slot, err := t.load(&r, w)
		if err != nil {
			return nil, err
		}
		b := page.slots[slot]
		nodes = append(nodes, ProofNode{Left: b.kids[0].top, Right: b.kids[1].top})
		r, at = b.kids[p.bit(b.depth)], b.depth+1
	}
	return nodes, nil
}

// Verify follows a proof from the root and returns the value that it proves for the key, 0 for a key that is not there.
func Verify(hash func(a, b felt.Felt) felt.Felt, root, key felt.Felt, nodes []ProofNode) (felt.Felt, error) {
	p, err := pathOf(key)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("%w: %s", err, key)
	}
	want, at := root, uint8(0)
	for i := range nodes {
		n := &nodes[i]
		if n.Hash(hash) != want || int(at)+max(1, int(n.Length)) > Height {
			return felt.Felt{}, fmt.Errorf("%w: node %d", ErrProof, i)
		}
		switch {
		case n.Length == 0 && p.bit(at) == 0:
			want, at = n.Left, at+1
		case n.Length == 0:
			want, at = n.Right, at+1
		case n.Path != p.segment(at, at+n.Length):
			if i != len(nodes)-1 {
				return felt.Felt{}, fmt.Errorf("%w: nodes after the edge that leaves the path", ErrProof)
			}
			return felt.Felt{}, nil
		default:
			want, at = n.Child, at+n.Length
		}
	}
	if root.IsZero() && len(nodes) == 0 {
		return felt.Felt{}, nil
	}
	if at != Height {
		return felt.Felt{}, fmt.Errorf("%w: ends at depth %d", ErrProof, at)
	}
	return want, nil
}
