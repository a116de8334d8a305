// Command ordo-ordering-fifo is the ordering plugin fifo.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/ordering/fifo"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(fifo.Service()) }
