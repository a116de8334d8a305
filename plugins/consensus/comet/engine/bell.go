package engine

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
)

// A bell is a transaction that wakes CometBFT at one height and is never in a block. CometBFT floods it to all nodes, and the proposer of
// the height asks its core for a block. It says what for, holds the height, and some random bytes, for a mempool takes nothing twice.
const (
	bellTag  = "bell"
	bellSize = len(bellTag) + 1 + 8 + 16
)

func newBell(what bridge.Bell, height int64) []byte {
	bell := append(make([]byte, 0, bellSize), bellTag...)
	bell = append(bell, byte(what))
	bell = binary.BigEndian.AppendUint64(bell, uint64(height))
	bell = bell[:bellSize]
	_, _ = rand.Read(bell[bellSize-16:]) // never fails
	return bell
}

// ahead is how far beyond a node's next height a bell may be for: its sender may have committed a block that this node has not.
const ahead = 1

// rings says whether a transaction is a bell for a height that is still to come on a node that has committed one.
func rings(tx []byte, committed int64) bool {
	if len(tx) != bellSize || string(tx[:len(bellTag)]) != bellTag {
		return false
	}
	if what := bridge.Bell(tx[len(bellTag)]); what != bridge.Pending && what != bridge.BlockWish {
		return false
	}
	height := binary.BigEndian.Uint64(tx[len(bellTag)+1:])
	return height > uint64(committed) && height <= uint64(committed)+1+ahead
}

// wishes says whether a bell of the mempool asks for a block, empty if need be.
func wishes(bell []byte) bool { return bridge.Bell(bell[len(bellTag)]) == bridge.BlockWish }
