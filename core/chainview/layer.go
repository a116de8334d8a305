package chainview

import (
	"bytes"
	"slices"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
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
		pairs(contract.Entries, func(k, v Key) { put(&l.storage, slot{address, k}, v) })
	}
	for _, list := range [][]byte{diff.GetDeployed(), diff.GetReplaced()} {
		pairs(list, func(k, v Key) { put(&l.classHashes, k, v) })
	}
	pairs(diff.GetNonces(), func(k, v Key) { put(&l.nonces, k, v) })
	for _, list := range [][]byte{diff.GetDeclared(), diff.GetMigrated()} {
		pairs(list, func(k, v Key) { put(&l.compiled, k, v) })
	}
	return l
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func pairs(packed []byte, each func(k, v Key)) {
	for ; len(packed) >= 64; packed = packed[64:] {
		each(Key(packed[:32]), Key(packed[32:64]))
	}
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
			pairs(contract.Entries, func(k, v Key) { entries[k] = v })
		}
		pairs(d.GetDeployed(), func(k, v Key) { deployed[k] = v })
		pairs(d.GetReplaced(), func(k, v Key) {
			if _, here := deployed[k]; here {
				deployed[k] = v // deployed in the same block: its class at the end is what counts
			} else {
				replaced[k] = v
			}
		})
		pairs(d.GetNonces(), func(k, v Key) { nonces[k] = v })
		pairs(d.GetDeclared(), func(k, v Key) { declared[k] = v })
		pairs(d.GetMigrated(), func(k, v Key) { migrated[k] = v })
		for b := d.GetDeprecatedDeclared(); len(b) >= 32; b = b[32:] {
			deprecated[Key(b[:32])] = true
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
