package feeder

import (
	"encoding/json"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// StateUpdate is what a block changed and the roots before and after.
type StateUpdate struct {
	Path      string
	BlockHash felt.Felt
	NewRoot   felt.Felt
	OldRoot   felt.Felt
	Diff      starknet.StateDiff // canonical
}

func (d *decoder) stateUpdate(path string, raw json.RawMessage) *StateUpdate {
	o := d.object(path, raw)
	defer o.close()
	u := &StateUpdate{Path: path, BlockHash: o.felt("block_hash"), NewRoot: o.felt("new_root"), OldRoot: o.felt("old_root")}
	s := o.object("state_diff")
	defer s.close()
	if d.err != nil {
		return u
	}
	s.storage(&u.Diff)
	nonces := s.object("nonces")
	for address, raw := range nonces.fields {
		u.Diff.Nonces = append(u.Diff.Nonces, starknet.Pair{Key: d.key(nonces.path, address), Value: d.felt(nonces.at(address), raw)})
	}
	u.Diff.Deployed = s.pairs("deployed_contracts", "address", "class_hash")
	u.Diff.Replaced = s.pairsOr("replaced_classes", "address", "class_hash")
	u.Diff.Declared = s.pairsOr("declared_classes", "class_hash", "compiled_class_hash")
	u.Diff.Migrated = s.pairsOr("migrated_compiled_classes", "class_hash", "compiled_class_hash")
	u.Diff.DeprecatedDeclared = s.feltsOr(s.first("old_declared_contracts", "declared_contracts"))
	u.Diff.Sort()
	if err := u.Diff.Check(); err != nil {
		d.fail(s.path, "%v", err)
	}
	return u
}

func (o *object) storage(diff *starknet.StateDiff) {
	contracts := o.object("storage_diffs")
	for address, raw := range contracts.fields {
		c := starknet.ContractStorage{Address: o.d.key(contracts.path, address)}
		o.d.each(contracts.at(address), raw, func(path string, raw json.RawMessage) {
			e := o.d.object(path, raw)
			c.Entries = append(c.Entries, starknet.Pair{Key: e.felt("key"), Value: e.felt("value")})
			e.close()
		})
		diff.Storage = append(diff.Storage, c)
	}
}

// key reads a felt that is the name of a field.
func (d *decoder) key(path, name string) felt.Felt {
	f, err := felt.ParseHex(name)
	if err != nil {
		d.fail(path, "%v", err)
	}
	return f
}
