// Command ordo-ordering-fee is the ordering plugin fee.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/ordering/fee"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(fee.Service()) }
