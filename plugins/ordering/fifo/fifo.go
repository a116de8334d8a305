// Package fifo orders transactions first in, first out.
package fifo

import "github.com/ordo-sequencer/ordo/sdk"

// Service gives every transaction the same score, so that arrival decides, and says so.
func Service() *sdk.Service {
	return sdk.ScoreBy("fifo", func(sdk.Tx) uint64 { return 0 }, sdk.ByArrival(), sdk.Version("0.1.0"))
}
