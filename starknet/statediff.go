package starknet

import (
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// Pair is an entry of a state-diff list; what the two felts are, the list says.
type Pair struct{ Key, Value felt.Felt }

// ContractStorage is what changed in the storage of a contract.
type ContractStorage struct {
	Address felt.Felt
	Entries []Pair
}

// StateDiff is what a block changed. Canonical form: every list ascending by its first felt, without repeats and without
// contracts that have no entries; Sort makes it so.
type StateDiff struct {
	Storage            []ContractStorage
	Deployed           []Pair      // address, class hash
	Replaced           []Pair      // address, class hash
	Nonces             []Pair      // address, nonce
	Declared           []Pair      // class hash, compiled class hash
	DeprecatedDeclared []felt.Felt // hashes of Cairo 0 classes
	Migrated           []Pair      // class hash, its compiled class hash in the Blake2s form
}

func byKey(a, b Pair) int { return a.Key.Cmp(b.Key) }

func (d *StateDiff) lists() [5]*[]Pair {
	return [5]*[]Pair{&d.Deployed, &d.Replaced, &d.Nonces, &d.Declared, &d.Migrated}
}

// Sort puts the diff into canonical order. It does not remove repeats; Check finds them.
func (d *StateDiff) Sort() {
	for _, l := range d.lists() {
		slices.SortFunc(*l, byKey)
	}
	slices.SortFunc(d.DeprecatedDeclared, felt.Felt.Cmp)
	d.Storage = slices.DeleteFunc(d.Storage, func(c ContractStorage) bool { return len(c.Entries) == 0 })
	slices.SortFunc(d.Storage, func(a, b ContractStorage) int { return a.Address.Cmp(b.Address) })
	for i := range d.Storage {
		slices.SortFunc(d.Storage[i].Entries, byKey)
	}
}

// Check reports the first departure from canonical form.
func (d *StateDiff) Check() error {
	names := [5]string{"deployed", "replaced", "nonces", "declared", "migrated"}
	for i, l := range d.lists() {
		if err := ascending(names[i], len(*l), func(k int) felt.Felt { return (*l)[k].Key }); err != nil {
			return err
		}
	}
	if err := ascending("deprecated declared", len(d.DeprecatedDeclared), func(k int) felt.Felt { return d.DeprecatedDeclared[k] }); err != nil {
		return err
	}
	if err := ascending("storage", len(d.Storage), func(k int) felt.Felt { return d.Storage[k].Address }); err != nil {
		return err
	}
	for i := range d.Storage {
		c := &d.Storage[i]
		if len(c.Entries) == 0 {
			return fmt.Errorf("state diff: storage of %s: no entries", c.Address)
		}
		if err := ascending("storage of "+c.Address.Hex(), len(c.Entries), func(k int) felt.Felt { return c.Entries[k].Key }); err != nil {
			return err
		}
	}
	return nil
}

func ascending(name string, n int, at func(int) felt.Felt) error {
	for i := 1; i < n; i++ {
		if c := at(i - 1).Cmp(at(i)); c >= 0 {
			return fmt.Errorf("state diff: %s: %s does not follow %s in ascending order", name, at(i), at(i-1))
		}
	}
	return nil
}

// Length is the number that the block header counts: one for each changed slot, class, nonce.
func (d *StateDiff) Length() int {
	n := len(d.DeprecatedDeclared)
	for _, l := range d.lists() {
		n += len(*l)
	}
	for i := range d.Storage {
		n += len(d.Storage[i].Entries)
	}
	return n
}

// Commitment hashes a diff in canonical form.
func (d *StateDiff) Commitment() felt.Felt {
	var s poseidon.Sponge
	s.Write(text("STARKNET_STATE_DIFF0"))
	writeMerged(&s, d.Deployed, d.Replaced)
	writeMerged(&s, d.Declared, d.Migrated)
	s.Write(num(len(d.DeprecatedDeclared)))
	s.Write(d.DeprecatedDeclared...)
	s.Write(felt.One(), felt.Zero()) // one data availability mode, the first
	contracts := 0
	for i := range d.Storage {
		if len(d.Storage[i].Entries) > 0 {
			contracts++
		}
	}
	s.Write(num(contracts))
	for i := range d.Storage {
		c := &d.Storage[i]
		if len(c.Entries) == 0 {
			continue
		}
		s.Write(c.Address, num(len(c.Entries)))
		for _, e := range c.Entries {
			s.Write(e.Key, e.Value)
		}
	}
	writeMerged(&s, d.Nonces, nil)
	return s.Sum()
}

// writeMerged writes the count and the pairs of two sorted lists in common order.
func writeMerged(s *poseidon.Sponge, a, b []Pair) {
	s.Write(num(len(a) + len(b)))
	for len(a) > 0 || len(b) > 0 {
		var next Pair
		if len(b) == 0 || (len(a) > 0 && a[0].Key.Cmp(b[0].Key) <= 0) {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		s.Write(next.Key, next.Value)
	}
}
