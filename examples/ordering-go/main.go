// Command ordering-go is an ordering policy in five lines: last in, first out.
package main

import "github.com/ordo-sequencer/ordo/sdk"

func main() {
	sdk.ServeScore("youngest", func(t sdk.Tx) uint64 { return t.ArrivalSeq })
}
