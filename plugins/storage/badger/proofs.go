package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

// provedAtOnce is how many keys are proven before the tries are left to the root worker, which may wait.
const provedAtOnce = 64

// Proofs proves values of the state at one of the last heights. The tries hold one height only; what is needed for the ones
// before is remembered (trie.State.KeepPast), so roots go on while proofs are made.
func (s *Store) Proofs(ctx context.Context, r *ordov1.ProofsRequest) (*ordov1.ProofsResponse, error) {
	if s.opts.ProofBlocks == 0 {
		return nil, status.Error(codes.Unimplemented, "proofs: switched off (proof_blocks is 0)")
	}
	p, err := newProving(r)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "proofs: %v", err)
	}
	v, head, err := s.read() // Close waits until it is closed
	if err != nil {
		return nil, err
	}
	if head == nil {
		return &ordov1.ProofsResponse{Height: r.GetHeight(), OutOfReach: true}, nil
	}
	defer v.close()
	select {
	case s.proving <- struct{}{}:
		defer func() { <-s.proving }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	for first := true; first || len(p.tasks) > 0; first = false {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		if err := s.roots.prove(r.GetHeight(), &p.reach, p.some); err != nil {
			return nil, err
		}
		if p.outside {
			return &ordov1.ProofsResponse{Height: r.GetHeight(), OutOfReach: true, Lowest: p.lowest, Highest: p.highest}, nil
		}
	}
	return p.answer(r.GetHeight()), nil
}

// reach is what heights can be proven, and whether the one asked for is not among them.
type reach struct {
	lowest, highest uint64
	outside         bool
}

// prove calls f with the tries as they were after a block, if that is within reach.
func (w *rootWorker) prove(height uint64, r *reach, f func(*trie.Prover) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failedState() {
		return status.Error(codes.Internal, "proofs: storage has failed: see its log")
	}
	if w.ahead {
		return status.Error(codes.Unavailable, "proofs: the root of a block waits for room on the disk")
	}
	if r.outside = w.next == 0; r.outside {
		return nil
	}
	newest := w.next - 1
	if most := min(newest, uint64(w.s.opts.ProofBlocks-1)); height != newest && !w.deepened && uint64(w.state.Past()) < most {
		if err := w.deepen(); err != nil {
			w.s.fail(fmt.Errorf("tries of past blocks: %w", err), false)
			return status.Errorf(codes.Internal, "proofs: %v", err)
		}
	}
	r.highest = newest
	r.lowest = newest - min(newest, uint64(min(w.state.Past(), w.s.opts.ProofBlocks-1)))
	if r.outside = height < r.lowest || height > r.highest; r.outside {
		return nil
	}
	back := int(newest - height)
	p, err := w.state.Prover(back)
	if err == nil {
		err = w.sameRoot(height, p.Roots())
	}
	if err == nil {
		err = f(p)
	}
	if errors.Is(err, trie.ErrDamaged) {
		w.s.opts.Log.Warn("trie pages are damaged: rebuilding them from the flat state", "error", err)
		if err = w.rebuild(w.next); err == nil {
			err = status.Error(codes.Unavailable, "proofs: the tries were damaged and were built again: ask once more")
		}
	}
	if err != nil && status.Code(err) == codes.Unknown {
		err = status.Errorf(codes.DataLoss, "proofs: %v", err)
	}
	return err
}

// sameRoot compares roots of the tries with the stored root of a block.
func (w *rootWorker) sameRoot(height uint64, roots trie.Roots) error {
	v := w.s.eng.view()
	defer v.close()
	header, err := w.s.header(v, height)
	if err != nil {
		return err
	}
	stored, _, err := w.s.root(v, height)
	if err != nil {
		return err
	}
	if header == nil || stored == nil {
		return fmt.Errorf("header or root of block %d is missing", height)
	}
	root, err := stateRoot(roots, header)
	if err != nil {
		return err
	}
	if b := root.Bytes(); !bytes.Equal(b[:], stored) {
		return fmt.Errorf("%w: root %s at block %d, 0x%x is stored", trie.ErrDamaged, root, height, stored)
	}
	return nil
}

// deepenBytes is about what a change of one leaf is remembered with.
const deepenBytes = 2 << 10

// deepen makes states provable that were before this process began, or before the tries were built anew: it takes the last
// blocks out of the tries and puts them in again. It is done once, at the first request that is not for the newest state, and stops at what
// ProofMemory holds. w.mu is held: nothing else sees the tries in between.
func (w *rootWorker) deepen() error {
	w.deepened = true
	v := w.s.eng.view()
	defer v.close()
	high, changes := w.next, int64(0)
	least := high - min(high, uint64(w.s.opts.ProofBlocks-1))
	for w.next > least && !w.state.Full() {
		undo, err := w.s.diff(v, tableUndo, w.next-1)
		if err != nil {
			return err
		}
		if changes += entries(undo); changes > w.s.opts.ProofMemory/deepenBytes {
			break
		}
		if _, err := w.applyUndo(undo); err != nil {
			return w.rebuildAfter(err, high)
		}
		w.next--
	}
	for ; w.next < high; w.next++ {
		d, err := w.s.diff(v, tableDiff, w.next)
		if err != nil {
			return err
		}
		if _, err := w.apply(d); err != nil {
			return w.rebuildAfter(err, high)
		}
	}
	return w.checkRoot(v)
}

// rebuildAfter builds the tries anew where their pages are damaged.
func (w *rootWorker) rebuildAfter(err error, next uint64) error {
	if !errors.Is(err, trie.ErrDamaged) {
		return err
	}
	w.s.opts.Log.Warn("trie pages are damaged: rebuilding them from the flat state", "error", err)
	err = w.rebuild(next)
	w.deepened = true
	return err
}

// entries is how many values a diff has.
func entries(d *ordov1.StateDiff) (n int64) {
	for _, c := range d.GetStorage() {
		n += int64(len(c.Entries)) / pairSize
	}
	return n + int64(len(d.GetReplaced())+len(d.GetNonces())+len(d.GetMigrated()))/pairSize
}

// proving is a request on its way: what is left to do, and what was found.
type proving struct {
	reach
	tasks              []func(*trie.Prover) error
	roots              trie.Roots
	classes, contracts trie.Nodes
	leaves             []trie.Contract
	storage            []trie.Nodes
}

func newProving(r *ordov1.ProofsRequest) (*proving, error) {
	p := &proving{}
	n := 0
	list := func(name string, packed []byte) ([]felt.Felt, error) {
		if len(packed)/feltSize > sdk.MaxProofKeys {
			return nil, fmt.Errorf("%s: over %d keys", name, sdk.MaxProofKeys)
		}
		out, err := felt.Unpack(packed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, k := range out {
			if !trie.IsKey(k) {
				return nil, fmt.Errorf("%s: %w: %s", name, trie.ErrKeyRange, k)
			}
		}
		if n += len(out); n > sdk.MaxProofKeys {
			return nil, fmt.Errorf("over %d keys in one request", sdk.MaxProofKeys)
		}
		return out, nil
	}
	classes, err := list("classes", r.GetClasses())
	if err != nil {
		return nil, err
	}
	for _, i := range inOrder(classes) {
		p.tasks = append(p.tasks, func(v *trie.Prover) error { return v.Class(classes[i], &p.classes) })
	}
	contracts, err := list("contracts", r.GetContracts())
	if err != nil {
		return nil, err
	}
	p.leaves = make([]trie.Contract, len(contracts))
	for _, i := range inOrder(contracts) {
		p.tasks = append(p.tasks, func(v *trie.Prover) (err error) {
			p.leaves[i], err = v.Contract(contracts[i], &p.contracts)
			return err
		})
	}
	if len(r.GetStorage()) > sdk.MaxProofKeys {
		return nil, fmt.Errorf("storage: over %d contracts", sdk.MaxProofKeys)
	}
	p.storage = make([]trie.Nodes, len(r.GetStorage()))
	for at, s := range r.GetStorage() {
		if err := checkKey("contract", s.GetContract()); err != nil {
			return nil, fmt.Errorf("storage %d: %w", at, err)
		}
		contract, err := felt.FromBytes(s.GetContract())
		if err != nil {
			return nil, fmt.Errorf("storage %d: %w", at, err)
		}
		keys, err := list(fmt.Sprintf("storage %d", at), s.GetKeys())
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			n++ // it counts as one
		}
		for _, i := range inOrder(keys) {
			p.tasks = append(p.tasks, func(v *trie.Prover) error { return v.Storage(contract, keys[i], &p.storage[at]) })
		}
	}
	if n > sdk.MaxProofKeys {
		return nil, fmt.Errorf("over %d keys in one request", sdk.MaxProofKeys)
	}
	return p, nil
}

// inOrder are the places of a list's keys in their order: neighbours share pages.
func inOrder(keys []felt.Felt) []int {
	out := make([]int, len(keys))
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(i, j int) int { return keys[i].Cmp(keys[j]) })
	return out
}

// some does a part of the work.
func (p *proving) some(v *trie.Prover) error {
	p.roots = v.Roots()
	n := min(len(p.tasks), provedAtOnce)
	for _, task := range p.tasks[:n] {
		if err := task(v); err != nil {
			return err
		}
	}
	p.tasks = p.tasks[n:]
	return nil
}

func (p *proving) answer(height uint64) *ordov1.ProofsResponse {
	out := &ordov1.ProofsResponse{Height: height, Lowest: p.lowest, Highest: p.highest,
		ClassesRoot: p.roots.Classes.Append(nil), ContractsRoot: p.roots.Contracts.Append(nil),
		Classes: packNodes(p.classes.List), Contracts: packNodes(p.contracts.List)}
	for _, l := range p.leaves {
		out.ContractLeaves = l.StorageRoot.Append(l.Nonce.Append(l.Class.Append(out.ContractLeaves)))
	}
	for i := range p.storage {
		out.Storage = append(out.Storage, packNodes(p.storage[i].List))
	}
	return out
}

func packNodes(nodes []trie.Node) *ordov1.ProofNodes {
	edges := 0
	for i := range nodes {
		if nodes[i].Length > 0 {
			edges++
		}
	}
	out := &ordov1.ProofNodes{Binary: make([]byte, 0, (len(nodes)-edges)*3*feltSize), Edges: make([]byte, 0, edges*3*feltSize), Lengths: make([]byte, 0, edges)}
	for i := range nodes {
		switch n := &nodes[i]; n.Length {
		case 0:
			out.Binary = n.Right.Append(n.Left.Append(n.Hash.Append(out.Binary)))
		default:
			out.Edges = n.Path.Append(n.Child.Append(n.Hash.Append(out.Edges)))
			out.Lengths = append(out.Lengths, n.Length)
		}
	}
	return out
}
