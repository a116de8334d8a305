package trie

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// Diff is what a block changes, as far as the state root is concerned. Lists may come in any order; a key twice in one
// list is an error.
type Diff struct {
	Storage   []Storage
	Contracts []Entry // (address, class hash): deployed and replaced
	Nonces    []Entry // (address, nonce)
	Classes   []Entry // (class hash, compiled class hash): declared and migrated; not the classes of Cairo 0
}

// Storage is the change of one contract's storage; a value of 0 removes its key.
type Storage struct {
	Address felt.Felt
	Entries []Entry
}

// Roots are the roots of the two tries that make up a state.
type Roots struct {
	Contracts, Classes felt.Felt
}

// Root is the state root. Before Starknet 0.14.0 a state without classes has the contracts root itself; from then on
// (mixed) the two roots are always hashed together, save in the empty state.
func (r Roots) Root(mixed bool) felt.Felt {
	if r.Classes.IsZero() && (!mixed || r.Contracts.IsZero()) {
		return r.Contracts
	}
	return poseidon.HashMany(felt.MustShortString("STARKNET_STATE_V0"), r.Contracts, r.Classes)
}

// State is the commitment to a whole Starknet state.
type State struct {
	store     Store
	contracts tree
	classes   tree
	accounts  map[felt.Felt]*account
	work      work
	pedersen  HashPairs
	dirty     int   // accounts that changed since the last flush
	limit     int64 // bytes that pages and contracts may take in memory
	history   history
	opened    bool
}

// account is the part of a contract that its leaf is made of. It has the height of the tries, not of the chain's head,
// which may be ahead.
type account struct {
	class, nonce felt.Felt
	storage      tree
	dirty        bool
	used         uint64
}

// NewState opens the state that a store holds; an empty store is the empty state.
func NewState(store Store) *State {
	return &State{
		store:     store,
		contracts: tree{prefix: []byte{contractsTree}, store: store},
		classes:   tree{prefix: []byte{classesTree}, store: store},
		accounts:  make(map[felt.Felt]*account),
		pedersen:  pedersen.HashPairs,
		work:      newWork(),
		limit:     256 << 20,
	}
}

// KeepBytes bounds the memory that pages and contracts take, about. What changed since the last flush stays whatever it
// takes: flush when Full says so.
func (s *State) KeepBytes(n int64) { s.limit = n }

// HashWith replaces the Pedersen hash by another implementation of it, to compare them. It may be called between blocks.
func (s *State) HashWith(pedersen HashPairs) { s.pedersen = pedersen }

// open reads the two roots on first use.
func (s *State) open() error {
	if s.opened {
		return nil
	}
	for _, t := range []*tree{&s.contracts, &s.classes} {
		data, err := s.store.Get(t.prefix)
		if err != nil {
			return fmt.Errorf("trie: read root: %w", err)
		}
		if data == nil {
			continue
		}
		d := decoder{rest: data}
		t.root = d.root()
		if d.bad || len(d.rest) != 0 {
			return fmt.Errorf("%w: root does not decode", ErrDamaged)
		}
	}
	s.opened = true
	return nil
}

func (s *State) account(address felt.Felt) (*account, error) {
	if a := s.accounts[address]; a != nil {
		a.used = s.work.now
		return a, nil
	}
	a, err := s.readAccount(address)
	if err != nil {
		return nil, err
	}
	s.accounts[address] = a
	return a, nil
}

// readAccount reads a contract that is not in memory.
func (s *State) readAccount(address felt.Felt) (*account, error) {
	a := &account{used: s.work.now}
	a.storage = tree{prefix: storagePrefix(address), store: s.store}
	data, err := s.store.Get(a.storage.prefix)
	if err != nil {
		return nil, fmt.Errorf("trie: read contract %s: %w", address, err)
	}
	if data != nil {
		d := decoder{rest: data}
		a.class, a.nonce, a.storage.root = d.felt(), d.felt(), d.root()
		if d.bad || len(d.rest) != 0 {
			return nil, fmt.Errorf("%w: contract %s does not decode", ErrDamaged, address)
		}
	}
	return a, nil
}

// Roots returns the current roots.
func (s *State) Roots() (Roots, error) {
	if err := s.open(); err != nil {
		return Roots{}, err
	}
	return Roots{s.contracts.root.hash(), s.classes.root.hash()}, nil
}

func (s *State) change(a *account) {
	if !a.dirty {
		a.dirty = true
		s.dirty++
	}
}

func (r *ref) hash() felt.Felt { return r.top }

// Apply changes the state and returns its new roots.
func (s *State) Apply(diff *Diff) (Roots, error) { return s.apply(diff, s.history.keep > 0) }

// apply is Apply; keep: the history gets what is replaced.
func (s *State) apply(diff *Diff, keep bool) (Roots, error) {
	if err := s.open(); err != nil {
		return Roots{}, err
	}
	s.work.begin()
	s.work.keeping = keep
	var before *version
	if keep {
		before = &version{contracts: s.contracts.root, classes: s.classes.root, accounts: make(map[felt.Felt]pastAccount, len(diff.Storage)+max(len(diff.Contracts), len(diff.Nonces)))}
	}
	touched := make(map[felt.Felt]*account)
	if err := s.applyStorage(diff.Storage, touched, before); err != nil {
		return Roots{}, err
	}
	set := func(list []Entry, what string, field func(*account) *felt.Felt) error {
		seen := make(map[felt.Felt]bool, len(list))
		for _, e := range list {
			if seen[e.Key] {
				return fmt.Errorf("trie: %s of %s twice in one update", what, e.Key)
			}
			seen[e.Key] = true
			a, err := s.account(e.Key)
			if err != nil {
				return err
			}
			if f := field(a); *f != e.Value {
				before.account(e.Key, a)
				*f = e.Value
				s.change(a)
				touched[e.Key] = a
			}
		}
		return nil
	}
	if err := set(diff.Contracts, "class hash", func(a *account) *felt.Felt { return &a.class }); err != nil {
		return Roots{}, err
	}
	if err := set(diff.Nonces, "nonce", func(a *account) *felt.Felt { return &a.nonce }); err != nil {
		return Roots{}, err
	}
	if err := s.update(&s.contracts, contractLeaves(touched, s.pedersen), s.pedersen); err != nil {
		return Roots{}, err
	}
	if err := s.update(&s.classes, classLeaves(diff.Classes), poseidon.HashPairs); err != nil {
		return Roots{}, err
	}
	if keep {
		before.chunks, s.work.retired = s.work.retired, nil
		s.history.push(before, &s.work.pages.spare)
	}
	if s.Bytes() > s.limit+s.limit/4 && !s.Full() {
		s.evict()
	}
	return Roots{s.contracts.root.hash(), s.classes.root.hash()}, nil
}

// applyStorage updates all storage tries, hashed together.
func (s *State) applyStorage(list []Storage, touched map[felt.Felt]*account, before *version) error {
	for _, c := range list {
		entries, err := items(c.Entries)
		if err != nil {
			return fmt.Errorf("storage of %s: %w", c.Address, err)
		}
		if _, twice := touched[c.Address]; twice {
			return fmt.Errorf("trie: storage of %s twice in one update", c.Address)
		}
		a, err := s.account(c.Address)
		if err != nil {
			return err
		}
		root, err := a.storage.put(a.storage.root, entries, &s.work)
		if err != nil {
			return fmt.Errorf("storage of %s: %w", c.Address, err)
		}
		if root != a.storage.root {
			before.account(c.Address, a)
			a.storage.root = root
			s.change(a)
			s.work.addEdge(&a.storage.root, 0)
		}
		touched[c.Address] = a
	}
	s.work.run(s.pedersen)
	return nil
}

// update changes one trie and hashes it.
func (s *State) update(t *tree, leaves []Entry, hash HashPairs) error {
	list, err := items(leaves)
	if err != nil {
		return err
	}
	if t.root, err = t.put(t.root, list, &s.work); err != nil {
		return err
	}
	s.work.addEdge(&t.root, 0)
	s.work.run(hash)
	return nil
}

// contractLeaves computes P(P(P(class, storage root), nonce), 0), or no leaf where all three are 0. The system contracts
// 0x1 and 0x2 have storage and no class.
func contractLeaves(touched map[felt.Felt]*account, pedersen HashPairs) []Entry {
	out := make([]Entry, 0, len(touched))
	var live []int
	var a, b, nonces []felt.Felt
	for _, address := range slices.SortedFunc(maps.Keys(touched), felt.Felt.Cmp) {
		c := touched[address]
		out = append(out, Entry{Key: address})
		root := c.storage.root.hash()
		if c.class.IsZero() && c.nonce.IsZero() && root.IsZero() {
			continue
		}
		live = append(live, len(out)-1)
		a, b, nonces = append(a, c.class), append(b, root), append(nonces, c.nonce)
	}
	hashParallel(pedersen, a, a, b)
	hashParallel(pedersen, a, a, nonces)
	clear(b)
	hashParallel(pedersen, a, a, b)
	for i, at := range live {
		out[at].Value = a[i]
	}
	return out
}

const classLeafVersion = "CONTRACT_CLASS_LEAF_V0"

func classLeaves(classes []Entry) []Entry {
	version := felt.MustShortString(classLeafVersion)
	out := slices.Clone(classes)
	a, b := make([]felt.Felt, len(out)), make([]felt.Felt, len(out))
	for i, c := range out {
		a[i], b[i] = version, c.Value
	}
	hashParallel(poseidon.HashPairs, a, a, b)
	for i, c := range classes {
		if c.Value.IsZero() { // only a revert takes a class away
			a[i] = felt.Felt{}
		}
		out[i].Value = a[i]
	}
	return out
}
