package trie

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Prover proves values of a state as it was some updates ago. It reads pages without keeping them, so it neither changes the
// state nor takes memory from it; asked for keys in order, it reads each page once. It must not be used after the next update.
type Prover struct {
	s                  *State
	newer              []*version // what the updates since replaced, oldest first
	contracts, classes ref
	recent             readPages

	address felt.Felt // of the contract asked for last
	last    *pastAccount
	storage tree
}

// readPages are the pages of each band that were read last.
type readPages [Height/pageLevels + 1]struct {
	of     []byte // prefix of the tree
	prefix path
	page   *storedPage
}

// Prover returns a prover of the state as it was `back` updates ago, 0 for the current state. At most Past states can be proven
// beside it.
func (s *State) Prover(back int) (*Prover, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if back < 0 || back > s.Past() {
		return nil, fmt.Errorf("trie: %d updates back: %d are remembered", back, s.Past())
	}
	v := &Prover{s: s, contracts: s.contracts.root, classes: s.classes.root}
	if v.newer = s.history.versions[s.Past()-back:]; back > 0 {
		v.contracts, v.classes = v.newer[0].contracts, v.newer[0].classes
	}
	return v, nil
}

// Roots are the roots of the state that is proven.
func (v *Prover) Roots() Roots { return Roots{v.contracts.hash(), v.classes.hash()} }

// Class adds the path to a class, or to where it would be.
func (v *Prover) Class(class felt.Felt, to *Nodes) error {
	return v.walk(&v.s.classes, v.classes, class, to)
}

// Contract adds the path to a contract, or to where it would be, and tells what its leaf is made of.
func (v *Prover) Contract(address felt.Felt, to *Nodes) (Contract, error) {
	if err := v.walk(&v.s.contracts, v.contracts, address, to); err != nil {
		return Contract{}, err
	}
	if err := v.account(address); err != nil {
		return Contract{}, err
	}
	return Contract{Class: v.last.class, Nonce: v.last.nonce, StorageRoot: v.last.root.hash()}, nil
}

// Storage adds the path to a key in the storage of a contract, or to where it would be.
func (v *Prover) Storage(address, key felt.Felt, to *Nodes) error {
	if err := v.account(address); err != nil {
		return err
	}
	return v.walk(&v.storage, v.last.root, key, to)
}

// account finds the contract as it was.
func (v *Prover) account(address felt.Felt) error {
	if v.last != nil && v.address == address {
		return nil
	}
	a := v.s.accounts[address]
	if a == nil {
		var err error
		if a, err = v.s.readAccount(address); err != nil {
			return err
		}
	}
	last := pastAccount{a.class, a.nonce, a.storage.root}
	for _, newer := range v.newer {
		if before, changed := newer.accounts[address]; changed {
			last = before
			break
		}
	}
	v.address, v.last, v.storage = address, &last, a.storage
	return nil
}

func (v *Prover) walk(t *tree, r ref, key felt.Felt, to *Nodes) error {
	p, err := pathOf(key)
	if err != nil {
		return fmt.Errorf("%w: %s", err, key)
	}
	for at := uint8(0); r.full; {
		if r.depth > at {
			to.add(Node{Hash: r.top, ProofNode: ProofNode{Child: r.node, Path: r.path.segment(at, r.depth), Length: r.depth - at}})
		}
		if r.depth == Height || r.path.common(p) < r.depth {
			return nil // the leaf, or an edge that leads elsewhere: either settles the question
		}
		b, err := v.branch(t, &r)
		if err != nil {
			return err
		}
		to.add(Node{Hash: b.hash, ProofNode: ProofNode{Left: b.kids[0].top, Right: b.kids[1].top}})
		r, at = b.kids[p.bit(b.depth)], b.depth+1
	}
	return nil
}

// branch finds the branch behind a ref: in the tries where it is still there, else among what was replaced since.
func (v *Prover) branch(t *tree, r *ref) (*branch, error) {
	id, slot := pageOf(r.depth, r.path)
	b, err := v.stored(t, id, slot)
	if err != nil {
		return nil, err
	}
	if b != nil && b.hash == r.node && b.path == r.path {
		return b, nil
	}
	for _, newer := range v.newer {
		if b := newer.find(r); b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: no branch %s at depth %d", ErrDamaged, r.node, r.depth)
}

// stored returns the branch that the tries have in a slot now, nil when there is none.
func (v *Prover) stored(t *tree, id pageID, slot int) (*branch, error) {
	if p := t.pages[id]; p != nil {
		return p.slots[slot], nil
	}
	last := &v.recent[id.band]
	if last.page == nil || last.prefix != id.prefix || !slices.Equal(last.of, t.prefix) {
		data, err := t.store.Get(id.appendKey(slices.Clip(t.prefix)))
		if err != nil {
			return nil, fmt.Errorf("trie: read page: %w", err)
		}
		p, err := openPage(data, id)
		if err != nil {
			return nil, err
		}
		last.of, last.prefix, last.page = t.prefix, id.prefix, p
	}
	return last.page.branch(slot)
}

// storedPage is a page as it is stored: a branch of it is decoded when it is asked for. On a path lie few branches of a page.
type storedPage struct {
	id    pageID
	data  []byte
	at    [pageSlots]int // where the branch of a slot begins; 0: there is none
	slots [pageSlots]*branch
}

// openPage finds the branches of a page. No data is an empty page.
func openPage(data []byte, id pageID) (*storedPage, error) {
	p := &storedPage{id: id, data: data}
	if data == nil {
		return p, nil
	}
	d := decoder{rest: data}
	bitmap := binary.BigEndian.Uint16(d.take(2))
	for i := range p.at {
		if bitmap&(1<<i) == 0 {
			continue
		}
		p.at[i] = len(data) - len(d.rest)
		depth, _ := slotPosition(id, i)
		d.take(felt.Size)
		for range 2 {
			d.skipRef(depth + 1)
		}
	}
	if d.bad || len(d.rest) != 0 || bitmap == 0 || bitmap>>pageSlots != 0 {
		return nil, fmt.Errorf("%w: page of band %d does not decode", ErrDamaged, id.band)
	}
	return p, nil
}

func (p *storedPage) branch(slot int) (*branch, error) {
	if p.at[slot] == 0 || p.slots[slot] != nil {
		return p.slots[slot], nil
	}
	d := decoder{rest: p.data[p.at[slot]:]}
	b := d.branch(p.id, slot)
	if d.bad {
		return nil, fmt.Errorf("%w: page of band %d does not decode", ErrDamaged, p.id.band)
	}
	p.slots[slot] = b
	return b, nil
}
