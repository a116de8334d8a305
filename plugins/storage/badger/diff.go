package badger

import (
	"bytes"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

const (
	feltSize = felt.Size
	pairSize = 2 * feltSize
)

var zeroFelt = make([]byte, feltSize)

func isZero(f []byte) bool { return bytes.Equal(f, zeroFelt) }

// checkDiff refuses what is not in canonical form, or names keys that the tries cannot hold. It returns the length that
// the header counts.
func checkDiff(d *ordov1.StateDiff) (int, error) {
	n := 0
	for _, l := range []struct {
		name   string
		packed []byte
		stride int
	}{
		{"deployed", d.GetDeployed(), pairSize},
		{"replaced", d.GetReplaced(), pairSize},
		{"nonces", d.GetNonces(), pairSize},
		{"declared", d.GetDeclared(), pairSize},
		{"migrated", d.GetMigrated(), pairSize},
		{"deprecated_declared", d.GetDeprecatedDeclared(), feltSize},
	} {
		if err := checkList(l.name, l.packed, l.stride); err != nil {
			return 0, err
		}
		n += len(l.packed) / l.stride
	}
	if err := disjoint("deployed", "replaced", d.GetDeployed(), d.GetReplaced()); err != nil {
		return 0, err
	}
	if err := disjoint("declared", "migrated", d.GetDeclared(), d.GetMigrated()); err != nil {
		return 0, err
	}
	var last []byte
	for _, c := range d.GetStorage() {
		if err := checkKey("storage address", c.GetAddress()); err != nil {
			return 0, err
		}
		if last != nil && bytes.Compare(last, c.Address) >= 0 {
			return 0, fmt.Errorf("storage: address 0x%x is not above the one before", c.Address)
		}
		last = c.Address
		if len(c.Entries) == 0 {
			return 0, fmt.Errorf("storage of 0x%x: no entries", c.Address)
		}
		if err := checkList("storage", c.Entries, pairSize); err != nil {
			return 0, fmt.Errorf("contract 0x%x: %w", c.Address, err)
		}
		n += len(c.Entries) / pairSize
	}
	return n, nil
}

func checkList(name string, packed []byte, stride int) error {
	if len(packed)%stride != 0 {
		return fmt.Errorf("%s: %d bytes are not a multiple of %d", name, len(packed), stride)
	}
	var last []byte
	for i := 0; i < len(packed); i += stride {
		k := packed[i : i+feltSize]
		if err := checkKey(name, k); err != nil {
			return err
		}
		if last != nil && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%s: 0x%x is not above the one before", name, k)
		}
		last = k
		if stride == pairSize {
			if err := checkFelt(name, packed[i+feltSize:i+pairSize]); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkKey(name string, k []byte) error {
	if len(k) != feltSize {
		return fmt.Errorf("%s: a key of %d bytes, want %d", name, len(k), feltSize)
	}
	if k[0] >= 8 {
		return fmt.Errorf("%s: key 0x%x is not below 2^251", name, k)
	}
	return nil
}

func checkFelt(name string, f []byte) error {
	if len(f) != feltSize {
		return fmt.Errorf("%s: a felt of %d bytes, want %d", name, len(f), feltSize)
	}
	if f[0] < 8 { // below 2^251: nearly always
		return nil
	}
	if _, err := felt.FromBytes(f); err != nil {
		return fmt.Errorf("%s: 0x%x: %w", name, f, err)
	}
	return nil
}

func disjoint(nameA, nameB string, a, b []byte) error {
	for len(a) > 0 && len(b) > 0 {
		switch c := bytes.Compare(a[:feltSize], b[:feltSize]); {
		case c == 0:
			return fmt.Errorf("0x%x is both in %s and in %s", a[:feltSize], nameA, nameB)
		case c < 0:
			a = a[pairSize:]
		default:
			b = b[pairSize:]
		}
	}
	return nil
}

// trieDiff is a checked diff as the tries take it.
func trieDiff(d *ordov1.StateDiff) (*trie.Diff, error) {
	var out trie.Diff
	var err error
	add := func(to *[]trie.Entry, packed []byte) {
		list, e := felt.Unpack(packed)
		if e != nil {
			err = e
		}
		for i := 0; i+1 < len(list); i += 2 {
			*to = append(*to, trie.Entry{Key: list[i], Value: list[i+1]})
		}
	}
	for _, c := range d.GetStorage() {
		address, e := felt.FromBytes(c.GetAddress())
		if e != nil {
			err = e
		}
		s := trie.Storage{Address: address}
		add(&s.Entries, c.Entries)
		out.Storage = append(out.Storage, s)
	}
	add(&out.Contracts, d.GetDeployed())
	add(&out.Contracts, d.GetReplaced())
	add(&out.Nonces, d.GetNonces())
	add(&out.Classes, d.GetDeclared())
	add(&out.Classes, d.GetMigrated())
	if err != nil {
		return nil, fmt.Errorf("state diff: %w", err)
	}
	return &out, nil
}
