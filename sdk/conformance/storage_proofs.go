package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// storage_proofs.json has, for each block of storage_chain.json, a request for much of the state after it, and the answer: all of
// its nodes hash to what they are listed under, and to the root of the block. So a store can be tested without a hash function.
//
//go:embed storage_proofs.json
var storageProofsJSON []byte

type storageProof struct {
	request *ordov1.ProofsRequest
	answer  *ordov1.ProofsResponse
}

func loadStorageProofs(t *testing.T) (out []storageProof) {
	t.Helper()
	var file []struct{ Request, Answer json.RawMessage }
	if err := json.Unmarshal(storageProofsJSON, &file); err != nil {
		t.Fatal(err)
	}
	for _, p := range file {
		one := storageProof{&ordov1.ProofsRequest{}, &ordov1.ProofsResponse{}}
		if err := errors.Join(protojson.Unmarshal(p.Request, one.request), protojson.Unmarshal(p.Answer, one.answer)); err != nil {
			t.Fatal(err)
		}
		out = append(out, one)
	}
	return out
}

func storageProofs(t *testing.T, s *Storage) {
	if !s.can(sdk.CapProofs) {
		_, err := s.Read.Proofs(timeout(t), &ordov1.ProofsRequest{})
		mustBe(t, "proofs without the capability", err, codes.Unimplemented)
		return
	}
	if out, err := s.Read.Proofs(timeout(t), &ordov1.ProofsRequest{Contracts: make([]byte, 32)}); err != nil || !out.OutOfReach {
		t.Fatalf("proofs of an empty store: %s, %v", hexed(out), err)
	}
	c, proofs := loadStorageChain(t), loadStorageProofs(t)
	for i, b := range c.blocks {
		s.mustCommit(t, b)
		s.mustHaveRoots(t, c.blocks[:i+1], i)
		if i == len(c.blocks)/2 && s.Restart != nil {
			s = s.Restart(t)
		}
		lowest := s.reach(t, i)
		for height := range i + 1 {
			if height >= lowest {
				s.mustProve(t, c, proofs[height])
			} else if out := s.proofs(t, proofs[height].request); !out.OutOfReach {
				t.Fatalf("block %d is proven, %d is the lowest", height, lowest)
			}
		}
	}
}

// reach wants the head to be provable, and nothing above it, and returns the lowest height that is.
func (s *Storage) reach(t *testing.T, head int) int {
	t.Helper()
	out := s.proofs(t, &ordov1.ProofsRequest{Height: uint64(head) + 1, Classes: make([]byte, 32)})
	if !out.OutOfReach || out.Highest != uint64(head) || out.Lowest > out.Highest {
		t.Fatalf("proofs above the newest block %d: %s", head, hexed(out))
	}
	if len(out.ClassesRoot)+len(out.ContractsRoot)+len(out.ContractLeaves)+len(out.Storage) > 0 {
		t.Fatalf("an answer that is out of reach has contents: %s", hexed(out))
	}
	return int(out.Lowest)
}

func (s *Storage) proofs(t *testing.T, r *ordov1.ProofsRequest) *ordov1.ProofsResponse {
	t.Helper()
	out, err := s.Read.Proofs(timeout(t), r)
	if err != nil {
		t.Fatalf("proofs at block %d: %v", r.Height, err)
	}
	if out.Height != r.Height {
		t.Fatalf("proofs at block %d: the answer is for %d", r.Height, out.Height)
	}
	return out
}

// mustProve asks for all at once, then for one key after the other.
func (s *Storage) mustProve(t *testing.T, c *storageChain, p storageProof) {
	t.Helper()
	state := modelAfter(c.blocks[:p.request.Height+1])
	whole := s.mustMatch(t, p.request, p.answer)
	// The same keys once more, in the other order, are the same nodes.
	twice := proto.CloneOf(p.request)
	for k := range slices.Chunk(p.request.Classes, 32) {
		twice.Classes = append(bytes.Clone(k), twice.Classes...)
	}
	if err := sameNodes(s.proofs(t, twice).Classes, p.answer.Classes); err != nil {
		t.Fatalf("block %d: classes asked for twice: %v", p.request.Height, err)
	}
	i := 0
	for address := range slices.Chunk(p.request.Contracts, 32) {
		out := s.proofs(t, &ordov1.ProofsRequest{Height: p.request.Height, Contracts: address})
		want := p.answer.ContractLeaves[i*96 : (i+1)*96]
		i++
		if !bytes.Equal(out.ContractLeaves, want) {
			t.Fatalf("block %d: contract 0x%x: leaf %x, want %x", p.request.Height, address, out.ContractLeaves, want)
		}
		leaf, err := follow(out.Contracts, whole.contracts, p.answer.ContractsRoot, address)
		if absent := bytes.Equal(want, make([]byte, 96)); err != nil || absent != isZero(leaf) {
			t.Fatalf("block %d: contract 0x%x: the path ends at %x: %v", p.request.Height, address, leaf, err)
		}
	}
	for class := range slices.Chunk(p.request.Classes, 32) {
		out := s.proofs(t, &ordov1.ProofsRequest{Height: p.request.Height, Classes: class})
		leaf, err := follow(out.Classes, whole.classes, p.answer.ClassesRoot, class)
		if err != nil || isZero(leaf) != isZero(state.compiled[string(class)]) {
			t.Fatalf("block %d: class 0x%x: the path ends at %x: %v", p.request.Height, class, leaf, err)
		}
	}
	for at, of := range p.request.Storage {
		for k := range slices.Chunk(of.Keys, 32) {
			r := &ordov1.ProofsRequest{Height: p.request.Height, Contracts: of.Contract, Storage: []*ordov1.StorageKeys{{Contract: of.Contract, Keys: k}}}
			out := s.proofs(t, r)
			leaf, err := follow(out.Storage[0], whole.storage[at], out.ContractLeaves[64:], k)
			want := state.storage[string(of.Contract)+string(k)]
			if err != nil || !bytes.Equal(leaf, want) && !(isZero(leaf) && isZero(want)) {
				t.Fatalf("block %d: storage 0x%x of 0x%x: the path ends at %x, want %x: %v", p.request.Height, k, of.Contract, leaf, want, err)
			}
		}
	}
}

// trueNodes are the nodes of an answer that is known to be right, by their hashes.
type trueNodes struct {
	classes, contracts map[string]string
	storage            []map[string]string
}

// mustMatch compares an answer with the one that is known.
func (s *Storage) mustMatch(t *testing.T, r *ordov1.ProofsRequest, want *ordov1.ProofsResponse) (all trueNodes) {
	t.Helper()
	out := s.proofs(t, r)
	if out.OutOfReach || !bytes.Equal(out.ClassesRoot, want.ClassesRoot) || !bytes.Equal(out.ContractsRoot, want.ContractsRoot) {
		t.Fatalf("block %d: out of reach %v, roots %x and %x, want %x and %x", r.Height, out.OutOfReach, out.ClassesRoot, out.ContractsRoot, want.ClassesRoot, want.ContractsRoot)
	}
	if !bytes.Equal(out.ContractLeaves, want.ContractLeaves) || len(out.Storage) != len(want.Storage) {
		t.Fatalf("block %d: leaves %x, want %x; %d storage proofs, want %d", r.Height, out.ContractLeaves, want.ContractLeaves, len(out.Storage), len(want.Storage))
	}
	check := func(what string, got, want *ordov1.ProofNodes) map[string]string {
		if err := sameNodes(got, want); err != nil {
			t.Fatalf("block %d: %s: %v", r.Height, what, err)
		}
		nodes, _ := nodesOf(want)
		return nodes
	}
	all.classes, all.contracts = check("classes", out.Classes, want.Classes), check("contracts", out.Contracts, want.Contracts)
	for i := range want.Storage {
		all.storage = append(all.storage, check(fmt.Sprintf("storage %d", i), out.Storage[i], want.Storage[i]))
	}
	return all
}

// nodesOf reads nodes by their hashes: 64 bytes of a binary node, 65 of an edge.
func nodesOf(n *ordov1.ProofNodes) (map[string]string, error) {
	if len(n.GetBinary())%96 != 0 || len(n.GetEdges()) != 96*len(n.GetLengths()) {
		return nil, fmt.Errorf("%d bytes of binary nodes, %d of edges and %d lengths", len(n.GetBinary()), len(n.GetEdges()), len(n.GetLengths()))
	}
	out := map[string]string{}
	put := func(hash []byte, node string) error {
		if _, there := out[string(hash)]; there {
			return fmt.Errorf("node 0x%x is there twice", hash)
		}
		out[string(hash)] = node
		return nil
	}
	for b := range slices.Chunk(n.GetBinary(), 96) {
		if err := put(b[:32], string(b[32:])); err != nil {
			return nil, err
		}
	}
	for i, length := range n.GetLengths() {
		e := n.Edges[i*96 : (i+1)*96]
		if err := put(e[:32], string(e[32:])+string(rune(length))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func sameNodes(got, want *ordov1.ProofNodes) error {
	g, err := nodesOf(got)
	if err != nil {
		return err
	}
	w, err := nodesOf(want)
	if err != nil {
		return err
	}
	for hash, node := range w {
		switch other, there := g[hash]; {
		case !there:
			return fmt.Errorf("node 0x%x is missing", hash)
		case other != node:
			return fmt.Errorf("node 0x%x is %x, want %x", hash, other, node)
		}
	}
	if len(g) != len(w) {
		return fmt.Errorf("%d nodes, %d lie on the paths", len(g), len(w))
	}
	return nil
}

// follow goes down from the root to the leaf of a key, nil where there is none. Every node must be one that is known to be right,
// and all must lie on the way.
func follow(n *ordov1.ProofNodes, known map[string]string, root, key []byte) (leaf []byte, err error) {
	nodes, err := nodesOf(n)
	if err != nil {
		return nil, err
	}
	for hash, node := range nodes {
		if known[hash] != node {
			return nil, fmt.Errorf("node 0x%x is %x, want %x", hash, node, known[hash])
		}
	}
	bit := func(b []byte, i int) byte { return b[i/8] >> (7 - i%8) & 1 }
	at, hash, used := 5, root, 0 // bits of 256
	for ; at < 256 && !isZero(root); used++ {
		node, there := nodes[string(hash)]
		if !there {
			return nil, fmt.Errorf("node 0x%x at depth %d is missing", hash, at-5)
		}
		if len(node) == 64 {
			side := int(bit(key, at)) * 32
			hash, at = []byte(node[side:side+32]), at+1
			continue
		}
		length := int([]rune(node[64:])[0])
		path := []byte(node[32:64])
		elsewhere := false
		for i := range length {
			elsewhere = elsewhere || bit(path, 256-length+i) != bit(key, at+i)
		}
		if hash, at = []byte(node[:32]), at+length; elsewhere {
			hash, at, used = nil, 256, used+1
			break
		}
	}
	if used != len(nodes) {
		return nil, fmt.Errorf("%d nodes, %d lie on the path", len(nodes), used)
	}
	if isZero(root) {
		return nil, nil
	}
	return hash, nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func storageProofsRefused(t *testing.T, s *Storage) {
	if !s.can(sdk.CapProofs) {
		t.Skip("no capability proofs")
	}
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks[0])
	s.mustHaveRoots(t, c.blocks[:1], 0)
	zero, many := make([]byte, 32), make([]byte, 32*sdk.MaxProofKeys)
	half := make([]byte, 32*sdk.MaxProofKeys/2)
	storage := func(contract, keys []byte) []*ordov1.StorageKeys {
		return []*ordov1.StorageKeys{{Contract: contract, Keys: keys}}
	}
	for what, r := range map[string]*ordov1.ProofsRequest{
		"a class too many":        {Classes: append(many[:len(many):len(many)], zero...)},
		"a contract too many":     {Classes: half, Contracts: append(half[:len(half):len(half)], zero...)},
		"a storage key too many":  {Classes: many, Storage: storage(zero, zero)},
		"a contract without keys": {Classes: many, Storage: storage(zero, nil)},
		"half a class hash":       {Classes: zero[1:]},
		"half an address":         {Contracts: zero[1:]},
		"half a key":              {Storage: storage(zero, zero[1:])},
		"half a contract":         {Storage: storage(zero[1:], zero)},
		"a key of 2^251":          {Storage: storage(zero, append([]byte{8}, zero[1:]...))},
	} {
		_, err := s.Read.Proofs(timeout(t), r)
		mustBe(t, what, err, codes.InvalidArgument)
	}
	out := s.proofs(t, &ordov1.ProofsRequest{Contracts: many})
	if out.OutOfReach || len(out.ContractLeaves) != 3*len(many) {
		t.Errorf("%d keys: %d bytes of leaves", sdk.MaxProofKeys, len(out.ContractLeaves))
	}
}
