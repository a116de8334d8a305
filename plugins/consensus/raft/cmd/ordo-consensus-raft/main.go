// Command ordo-consensus-raft is the consensus plugin raft: validators replicate a log, and survive crashes of fewer than half of them.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/consensus/raft"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(raft.Service()) }
