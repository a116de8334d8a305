// Package fee orders transactions by tip, then by arrival.
package fee

import "github.com/ordo-sequencer/ordo/sdk"

// Service scores a transaction by its tip per unit of L2 gas: what the sequencer earns on top of the base price.
func Service() *sdk.Service {
	return sdk.ScoreBy("fee", func(t sdk.Tx) uint64 { return t.Tip }, sdk.Version("0.1.0"))
}
