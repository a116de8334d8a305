// Package starknet is the arithmetic of the Starknet protocol: hashes of transactions, classes, commitments and blocks over plain
// structs.
// Everything here is a pure function; nothing reads or writes.
//
// New blocks have a version from 0.13.2 to 0.14.x; what differs between them is chosen by Version. The forms that blocks
// before 0.13.2 have are in old.go, for verifiers.
//
// It imports nothing of ordo (wire alone knows the messages of the plugin protocol), so that plugins, core and tools share
// it. There is no promise of compatibility before 1.0, see docs/adr/0008.
package starknet

import "github.com/ordo-sequencer/ordo/starknet/felt"

// StateRoot combines the roots of the two tries.
//
// A state without Sierra classes had the contracts root itself as its root until 0.14.0; since then it is hashed with the
// empty classes root like any other.
func StateRoot(contracts, classes felt.Felt, v Version) felt.Felt {
	switch {
	case contracts.IsZero() && classes.IsZero():
		return felt.Zero()
	case classes.IsZero() && v.Before(V0_14_0):
		return contracts
	}
	return poseidonMany(text("STARKNET_STATE_V0"), contracts, classes)
}
