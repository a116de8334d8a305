// Command ordo-storage-badger is the storage plugin badger.
package main

import (
	"github.com/ordo-sequencer/ordo/plugins/storage/badger"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() { sdk.Serve(badger.Service()) }
