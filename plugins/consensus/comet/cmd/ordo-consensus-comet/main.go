// Command ordo-consensus-comet is the consensus plugin comet as a program.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(comet.Service()) }
