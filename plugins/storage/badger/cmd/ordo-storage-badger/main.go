// Command ordo-storage-badger is the storage plugin badger; with `db` as its first word it works on a database that no
// node has open (package db).
package main

import (
	"os"

	"github.com/ordo-sequencer/ordo/plugins/storage/badger"
	"github.com/ordo-sequencer/ordo/plugins/storage/badger/db"
	"github.com/ordo-sequencer/ordo/sdk"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "db" {
		os.Exit(db.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	sdk.Serve(badger.Service())
}
