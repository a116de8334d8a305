package engine

import (
	"crypto/rand"
	"encoding/binary"
)

// A bell is a transaction that wakes CometBFT at one height and is never in a block. CometBFT floods it to all nodes, and the proposer of
// the height asks its core for a block. It holds the height and some random bytes, for a mempool takes nothing twice.
const (
	bellTag  = "bell"
	bellSize = len(bellTag) + 8 + 16
)

func newBell(height int64) []byte {
	bell := append(make([]byte, 0, bellSize), bellTag...)
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
	height := binary.BigEndian.Uint64(tx[len(bellTag):])
	return height > uint64(committed) && height <= uint64(committed)+1+ahead
}
