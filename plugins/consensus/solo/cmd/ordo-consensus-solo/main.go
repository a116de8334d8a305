// Command ordo-consensus-solo is the consensus plugin solo.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/consensus/solo"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(solo.Service()) }
