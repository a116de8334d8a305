package node

import (
	"errors"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Life is one life of a plugin, as its restart found it.
type Life struct {
	Capabilities []string // as Describe told
	Generation   uint64
}

// Lost says that a stage's process is gone, or is about to be killed. It returns at once. Everything of the old life is
// cancelled and awaited before the machine hears of it: no answer of a dead process is ever used. Once per life.
func (n *Node) Lost(stage ordov1.Stage, why error) {
}

// Back says that a new life of a stage answers, configured. It returns when the node has taken it up: execution has adopted
// the tip, storage has told its head, consensus and the roots have their streams again. An error means that this life is of
// no use either: lose it, and try another.
func (n *Node) Back(stage ordov1.Stage, life Life) error {
	return nil
}

// Health is what a node says of one stage.
type Health struct {
	Stage      ordov1.Stage
	Generation uint64 // of the life at work, or of the last one
	Away       bool
	Why        string // why it is away, or what keeps it from its work ("no room on the device")
}

// Health tells how the four stages are.
func (n *Node) Health() []Health { return nil }

// ErrNoRoom is why Submit refuses when the disk of the journal is full. The next one may be taken.
var ErrNoRoom = errors.New("the disk of the journal is full: make room")
