package rpc

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

type stateDiff struct {
	Storage            []storageDiff   `json:"storage_diffs"`
	DeprecatedDeclared hexFelts        `json:"deprecated_declared_classes"`
	Declared           []compiledClass `json:"declared_classes"`
	Migrated           []compiledClass `json:"migrated_compiled_classes,omitempty"`
	Deployed           []deployed      `json:"deployed_contracts"`
	Replaced           []replaced      `json:"replaced_classes"`
	Nonces             []nonceUpdate   `json:"nonces"`
}

type storageDiff struct {
	Address hexFelt        `json:"address"`
	Entries []storageEntry `json:"storage_entries"`
}

type storageEntry struct {
	Key   hexFelt `json:"key"`
	Value hexFelt `json:"value"`
}

type compiledClass struct {
	Class    hexFelt `json:"class_hash"`
	Compiled hexFelt `json:"compiled_class_hash"`
}

type deployed struct {
	Address hexFelt `json:"address"`
	Class   hexFelt `json:"class_hash"`
}

type replaced struct {
	Contract hexFelt `json:"contract_address"`
	Class    hexFelt `json:"class_hash"`
}

type nonceUpdate struct {
	Contract hexFelt `json:"contract_address"`
	Nonce    hexFelt `json:"nonce"`
}

// newStateDiff shows a diff; only, when not nil, are the contracts to show. Declared classes belong to no contract.
func newStateDiff(d *ordov1.StateDiff, only map[Key]bool) *stateDiff {
	shown := func(address []byte) bool { return only == nil || len(address) == 32 && only[Key(address)] }
	out := &stateDiff{
		Storage: []storageDiff{}, DeprecatedDeclared: d.GetDeprecatedDeclared(), Declared: compiledClasses(d.GetDeclared()),
		Migrated: compiledClasses(d.GetMigrated()), Deployed: []deployed{}, Replaced: []replaced{}, Nonces: []nonceUpdate{},
	}
	for _, c := range d.GetStorage() {
		if !shown(c.Address) {
			continue
		}
		entries := make([]storageEntry, 0, len(c.Entries)/64)
		for key, value := range felt.Pairs(c.Entries) {
			entries = append(entries, storageEntry{key, value})
		}
		out.Storage = append(out.Storage, storageDiff{c.Address, entries})
	}
	for key, value := range felt.Pairs(d.GetDeployed()) {
		if shown(key) {
			out.Deployed = append(out.Deployed, deployed{key, value})
		}
	}
	for key, value := range felt.Pairs(d.GetReplaced()) {
		if shown(key) {
			out.Replaced = append(out.Replaced, replaced{key, value})
		}
	}
	for key, value := range felt.Pairs(d.GetNonces()) {
		if shown(key) {
			out.Nonces = append(out.Nonces, nonceUpdate{key, value})
		}
	}
	return out
}

func compiledClasses(packed []byte) []compiledClass {
	list := make([]compiledClass, 0, len(packed)/64)
	for key, value := range felt.Pairs(packed) {
		list = append(list, compiledClass{key, value})
	}
	return list
}
