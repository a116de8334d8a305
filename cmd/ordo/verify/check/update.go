package check

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

type update struct {
	*feeder.StateUpdate
	file   *File
	block  *block  // that it belongs to, where it is among the files
	rooted bool    // its roots were checked
	twin   *update // the same update from an earlier file, which is checked instead
	parent bool    // its old root was compared

	// classes: each Cairo 0 class that it declares is used by a later update, so a wrong hash would be found there
	classes bool
}

// same reports whether two files hold the same update.
func (u *update) same(w *update) bool {
	return u.BlockHash == w.BlockHash && u.NewRoot == w.NewRoot && u.OldRoot == w.OldRoot && u.Diff.Length() == w.Diff.Length() &&
		u.Diff.Commitment() == w.Diff.Commitment()
}

// updateChains pairs updates with blocks and checks, root by root, those that lead on from genesis.
func (r *run) updateChains() {
	var single []*update
	for _, u := range r.updates {
		if u.twin == nil {
			single = append(single, u)
		}
	}
	all := r.updates
	r.updates = single
	r.updateRoots()
	r.updates = all
}

func (r *run) updateRoots() {
	for _, u := range r.updates {
		if u.block == nil {
			u.block = r.blockOf(u)
		}
		if u.block != nil {
			r.withBlock(u)
		}
	}
	for _, u := range r.updates {
		if u.OldRoot.IsZero() && !u.rooted {
			r.follow(u)
		}
	}
	// An update whose old root leads nowhere may be a genesis whose old root is wrong.
	for _, u := range r.updates {
		if !u.rooted && u.block == nil && !u.parent {
			c := &chain{}
			if roots, err := c.try(u); err == nil && u.accepts(roots, u.NewRoot) {
				r.follow(u)
			}
		}
	}
}

func (r *run) blockOf(u *update) *block {
	if b := r.byHash[u.BlockHash]; b != nil {
		return b
	}
	for _, b := range r.blocks {
		// A wrong block hash must not hide the rest: the root finds the block too.
		if !b.Pending && b.Header.StateRoot == u.NewRoot {
			return b
		}
	}
	return nil
}

func (r *run) withBlock(u *update) {
	f, b := u.file, u.block
	f.felts("block hash of the state update", &u.BlockHash, &b.Hash)
	f.felts("new root is the block's state root", &u.NewRoot, &b.Header.StateRoot)
	if b.Complete {
		got := u.Diff.Commitment()
		f.felts("state diff commitment", &b.Header.StateDiffCommitment, &got)
		n := fmt.Sprint(u.Diff.Length())
		i := Item{Name: "state diff length", Expected: fmt.Sprint(b.Header.StateDiffLength), Computed: n, Verdict: OK}
		if i.Expected != n {
			i.Verdict = Mismatch
		}
		f.add(i)
	}
	if p := r.byHash[b.Header.ParentHash]; p != nil {
		f.felts("old root is the parent's state root", &u.OldRoot, &p.Header.StateRoot)
		u.parent = true
	}
	r.oldHashes(u)
}

// oldHashes compares the block hash that the protocol stores in contract 0x1, ten blocks later, with the block.
func (r *run) oldHashes(u *update) {
	for _, c := range u.Diff.Storage {
		if c.Address != felt.One() {
			continue
		}
		for _, e := range c.Entries {
			if b := r.byHash[e.Value]; b != nil {
				n := felt.FromUint64(b.Header.Number)
				u.file.felts("old block hash in contract 0x1", &e.Key, &n)
			}
		}
	}
}

// finish says what stayed open.
func (u *update) finish() {
	f, prefix := u.file, ""
	if u.Path != "" {
		prefix = u.Path + "."
	}
	switch {
	case u.twin != nil:
		i := Item{Name: "state update", Expected: "as " + u.twin.file.Name, Computed: "the same", Verdict: OK}
		if !u.twin.file.Verified() {
			i.Verdict, i.Note = Unchecked, "see there"
		}
		f.add(i)
		f.Uncovered = append(f.Uncovered, u.twin.file.Uncovered...)
	case u.rooted && u.block == nil:
		f.gap(prefix+"block_hash", "the block is not among the files")
		if len(u.Diff.DeprecatedDeclared) > 0 && !u.classes {
			f.gap(prefix+"state_diff.old_declared_contracts", "Cairo 0 classes are not in the state root, and not all of these are used")
		}
	case !u.rooted && u.block == nil:
		f.add(Item{Name: "state root", Expected: u.NewRoot.Hex(), Verdict: Unchecked,
			Note: "neither its block nor right updates from genesis up to it are among the files"})
		f.gap(prefix+"everything", "")
	case !u.rooted && !u.block.Complete:
		f.gap(prefix+"state_diff", "blocks hash it since 0.13.2, and the updates from genesis are not among the files")
		if !u.parent {
			f.gap(prefix+"old_root", "neither the parent block nor the updates from genesis are among the files")
		}
	case !u.rooted && !u.parent:
		f.gap(prefix+"old_root", "neither the parent block nor the updates from genesis are among the files")
	}
}

// chain is a run of updates from genesis on.
type chain struct {
	applied  []*update
	root     felt.Felt
	declares bool               // genesis declares classes, so every class is declared before it is used
	classes  map[felt.Felt]bool // declared
	used     map[felt.Felt]bool // by a contract
}

// try applies an update to the chain's state and returns the roots. The state is rebuilt: chains in files are short, and a
// wrong update leaves nothing behind.
func (c *chain) try(u *update) (roots trie.Roots, err error) {
	state := trie.NewState(trie.NewMemory())
	for _, a := range append(c.applied[:len(c.applied):len(c.applied)], u) {
		if roots, err = state.Apply(trieDiff(&a.Diff)); err != nil {
			return roots, err
		}
	}
	return roots, nil
}

// accepts reports whether the roots combine to want. The rule changed in 0.14.0; where no block says which version it is,
// both forms are right.
func (u *update) accepts(roots trie.Roots, want felt.Felt) bool {
	for _, v := range u.versions() {
		if starknet.StateRoot(roots.Contracts, roots.Classes, v) == want {
			return true
		}
	}
	return false
}

func (u *update) versions() []starknet.Version {
	if u.block != nil {
		if v, err := starknet.ParseVersion(u.block.Header.Version); err == nil {
			return []starknet.Version{v}
		}
	}
	return []starknet.Version{starknet.V0_13_2, starknet.V0_14_0}
}

// follow checks genesis and then whatever follows, as far as it goes.
func (r *run) follow(genesis *update) {
	c := &chain{classes: make(map[felt.Felt]bool), used: make(map[felt.Felt]bool), declares: len(genesis.Diff.DeprecatedDeclared)+len(genesis.Diff.Declared) > 0}
	for u := genesis; u != nil; u = r.next(c) {
		c.check(u)
	}
	for _, u := range c.applied {
		u.classes = c.declares
		for _, h := range u.Diff.DeprecatedDeclared {
			u.classes = u.classes && c.used[h]
		}
	}
}

func (c *chain) check(u *update) {
	f := u.file
	u.rooted, u.parent = true, true
	roots, err := c.try(u)
	if err != nil {
		f.add(Item{Name: "state root", Expected: u.NewRoot.Hex(), Verdict: Mismatch, Note: err.Error()})
		return
	}
	f.felts("old root", &u.OldRoot, &c.root)
	got := starknet.StateRoot(roots.Contracts, roots.Classes, u.versions()[0])
	if u.accepts(roots, u.NewRoot) {
		got = u.NewRoot
	}
	f.felts(fmt.Sprintf("state root, update %d from genesis", len(c.applied)), &u.NewRoot, &got)
	c.root = got
	c.applied = append(c.applied, u)
	c.classHashes(u)
}

// classHashes finds classes that are used without a declaration.
func (c *chain) classHashes(u *update) {
	for _, h := range u.Diff.DeprecatedDeclared {
		c.classes[h] = true
	}
	for _, p := range u.Diff.Declared {
		c.classes[p.Key] = true
	}
	if !c.declares {
		return
	}
	for _, list := range [][]starknet.Pair{u.Diff.Deployed, u.Diff.Replaced} {
		for _, p := range list {
			c.used[p.Value] = true
			if !c.classes[p.Value] {
				u.file.add(Item{Name: "class of " + p.Key.Hex(), Expected: p.Value.Hex(), Computed: "declared nowhere", Verdict: Mismatch})
			}
		}
	}
}

// next finds the update that continues the chain: by its old root, those that change nothing first; or, since either root
// of a file may be wrong, by the root that it leads to.
func (r *run) next(c *chain) *update {
	if len(c.applied) == 0 {
		return nil
	}
	var moving *update
	for _, u := range r.updates {
		if u.rooted || u.OldRoot != c.root {
			continue
		}
		if u.NewRoot == u.OldRoot {
			return u
		}
		if moving == nil {
			moving = u
		}
	}
	if moving != nil {
		return moving
	}
	for _, u := range r.updates {
		if u.rooted || u.block != nil {
			continue
		}
		if roots, err := c.try(u); err == nil && u.accepts(roots, u.NewRoot) {
			return u
		}
	}
	return nil
}

func trieDiff(d *starknet.StateDiff) *trie.Diff {
	entries := func(lists ...[]starknet.Pair) []trie.Entry {
		var out []trie.Entry
		for _, l := range lists {
			for _, p := range l {
				out = append(out, trie.Entry{Key: p.Key, Value: p.Value})
			}
		}
		return out
	}
	t := &trie.Diff{Contracts: entries(d.Deployed, d.Replaced), Nonces: entries(d.Nonces), Classes: entries(d.Declared, d.Migrated)}
	for _, c := range d.Storage {
		t.Storage = append(t.Storage, trie.Storage{Address: c.Address, Entries: entries(c.Entries)})
	}
	return t
}
