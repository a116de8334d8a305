package starknet

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// DeprecatedClass is a Cairo 0 class, reduced to what its hash covers.
type DeprecatedClass struct {
	Bytecode                         []felt.Felt
	Builtins                         []string
	External, L1Handler, Constructor []DeprecatedEntryPoint
	// Hinted is keccak.Sum over program and ABI as the Python compiler prints them, without debug information.
	Hinted felt.Felt
}

// DeprecatedEntryPoint is an offset into the bytecode.
type DeprecatedEntryPoint struct{ Selector, Offset felt.Felt }

// Hash is the class hash.
func (c *DeprecatedClass) Hash() (felt.Felt, error) {
	list := []felt.Felt{felt.Zero()} // version of the hash
	for _, entries := range [][]DeprecatedEntryPoint{c.External, c.L1Handler, c.Constructor} {
		flat := make([]felt.Felt, 0, 2*len(entries))
		for _, e := range entries {
			flat = append(flat, e.Selector, e.Offset)
		}
		list = append(list, pedersenMany(flat...))
	}
	builtins := make([]felt.Felt, len(c.Builtins))
	for i, name := range c.Builtins {
		f, err := felt.FromShortString(name)
		if err != nil {
			return felt.Felt{}, fmt.Errorf("class hash: builtin: %w", err)
		}
		builtins[i] = f
	}
	list = append(list, pedersenMany(builtins...), c.Hinted, pedersenMany(c.Bytecode...))
	return pedersenMany(list...), nil
}
