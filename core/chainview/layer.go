package chainview

import (
	"bytes"
	"slices"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// layer is what some transactions changed, ready for look-ups. It never changes once it is in a view. A map that would be
// empty is nil: most changes touch only two kinds.
type layer struct {
	storage     map[slot]Key
	nonces      map[Key]Key
	classHashes map[Key]Key
	compiled    map[Key]Key // class hash to compiled class hash
	classes     map[Key]*ordov1.Class
}

type slot struct{ contract, key Key }

func newLayer(diff *ordov1.StateDiff) *layer {
	l := &layer{}
	for _, contract := range diff.GetStorage() {
		address := key(contract.Address)
		for k, v := range felt.Pairs(contract.Entries) {
			put(&l.storage, slot{address, Key(k)}, Key(v))
		}
	}
	for _, list := range [][]byte{diff.GetDeployed(), diff.GetReplaced()} {
		for k, v := range felt.Pairs(list) {
			put(&l.classHashes, Key(k), Key(v))
		}
	}
	for k, v := range felt.Pairs(diff.GetNonces()) {
		put(&l.nonces, Key(k), Key(v))
	}
	for _, list := range [][]byte{diff.GetDeclared(), diff.GetMigrated()} {
		for k, v := range felt.Pairs(list) {
			put(&l.compiled, Key(k), Key(v))
		}
	}
	return l
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func (l *layer) size() int {
	return 1 + len(l.storage) + len(l.nonces) + len(l.classHashes) + len(l.compiled) + len(l.classes)
}

// push adds a layer, newest last. Layers of about the same size are merged into new ones, so that a block of many small
// chunks keeps few of them and a look-up stays short.
func push(layers []*layer, top *layer) []*layer {
	layers = slices.Clone(layers)
	for len(layers) > 0 && layers[len(layers)-1].size() <= 2*top.size() {
		top = merge(layers[len(layers)-1], top)
		layers = layers[:len(layers)-1]
	}
	return append(layers, top)
}

func merge(older, newer *layer) *layer {
	return &layer{
		storage: joined(older.storage, newer.storage), nonces: joined(older.nonces, newer.nonces),
		classHashes: joined(older.classHashes, newer.classHashes), compiled: joined(older.compiled, newer.compiled),
		classes: joined(older.classes, newer.classes),
	}
}

func joined[K comparable, V any](older, newer map[K]V) map[K]V {
	switch {
	case len(newer) == 0:
		return older // shared: neither changes any more
	case len(older) == 0:
		return newer
	}
	all := make(map[K]V, len(older)+len(newer))
	for k, v := range older {
		all[k] = v
	}
	for k, v := range newer {
		all[k] = v
	}
	return all
}

// Merge joins state diffs, later ones win, into one in canonical form.
func Merge(diffs []*ordov1.StateDiff) *ordov1.StateDiff {
	storage := map[Key]map[Key]Key{}
	var deployed, replaced, nonces, declared, migrated = map[Key]Key{}, map[Key]Key{}, map[Key]Key{}, map[Key]Key{}, map[Key]Key{}
	deprecated := map[Key]bool{}
	for _, d := range diffs {
		for _, contract := range d.GetStorage() {
			entries := storage[key(contract.Address)]
			if entries == nil {
				entries = map[Key]Key{}
				storage[key(contract.Address)] = entries
			}
			for k, v := range felt.Pairs(contract.Entries) {
				entries[Key(k)] = Key(v)
			}
		}
		for k, v := range felt.Pairs(d.GetDeployed()) {
			deployed[Key(k)] = Key(v)
		}
		for k, v := range felt.Pairs(d.GetReplaced()) {
			if _, here := deployed[Key(k)]; here {
				deployed[Key(k)] = Key(v) // deployed in the same block: its class at the end is what counts
			} else {
				replaced[Key(k)] = Key(v)
			}
		}
		for k, v := range felt.Pairs(d.GetNonces()) {
			nonces[Key(k)] = Key(v)
		}
		for k, v := range felt.Pairs(d.GetDeclared()) {
			declared[Key(k)] = Key(v)
		}
		for k, v := range felt.Pairs(d.GetMigrated()) {
			migrated[Key(k)] = Key(v)
		}
		for hash := range felt.Rows(d.GetDeprecatedDeclared()) {
			deprecated[Key(hash)] = true
		}
	}
	out := &ordov1.StateDiff{Deployed: packed(deployed), Replaced: packed(replaced), Nonces: packed(nonces), Declared: packed(declared), Migrated: packed(migrated)}
	for _, address := range sorted(storage) {
		out.Storage = append(out.Storage, &ordov1.ContractStorage{Address: bytes.Clone(address[:]), Entries: packed(storage[address])})
	}
	for _, hash := range sorted(deprecated) {
		out.DeprecatedDeclared = append(out.DeprecatedDeclared, hash[:]...)
	}
	return out
}

func packed(m map[Key]Key) []byte {
	var out []byte
	for _, k := range sorted(m) {
		v := m[k]
		out = append(append(out, k[:]...), v[:]...)
	}
	return out
}

func sorted[V any](m map[Key]V) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
	return keys
}
