package engine

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

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

// ahead is how far beyond a node's next height a bell may be for. CometBFT gives a bell once, to peers that are at most one height behind its
// sender, and that may have committed one block less: one that is refused there never comes again.
const ahead = 2

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

// heard is the bell of the mempool that asks for most, of the newest height that has one: another for the same need not be rung. Safe for
// concurrent use.
type heard struct {
	mu     sync.Mutex
	height uint64
	what   bridge.Bell
}

// add takes note of a bell that the mempool has taken.
func (h *heard) add(bell []byte) {
	height, what := binary.BigEndian.Uint64(bell[len(bellTag)+1:]), bridge.Bell(bell[len(bellTag)])
	h.mu.Lock()
	defer h.mu.Unlock()
	if height > h.height || height == h.height && what > h.what {
		h.height, h.what = height, what
	}
}

// enough says whether a bell of a height would tell nothing new.
func (h *heard) enough(height int64, what bridge.Bell) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.height == uint64(height) && h.what >= what
}

// forget has the next bell rung in any case: peers may have lost the one that was heard.
func (h *heard) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.height, h.what = 0, bridge.NoBell
}

// wishes says whether a bell of the mempool asks for a block, empty if need be.
func wishes(bell []byte) bool { return bridge.Bell(bell[len(bellTag)]) == bridge.BlockWish }
