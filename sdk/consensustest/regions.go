package consensustest

import (
	"fmt"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/sdk/regions"
)

// Regions is a Scenario.Latency: node k is in region k modulo their number, such as Regions("us-east", "eu-west", "ap-northeast"). The names
// are those of ordo localnet delay. It panics on a name that is not known: a scenario is written by hand.
func Regions(names ...string) [][]time.Duration {
	table := make([][]time.Duration, len(names))
	for i, from := range names {
		for _, to := range names {
			trip := regions.RoundTrip(from, to)
			if trip == 0 {
				panic(fmt.Sprintf("consensustest: there is no region %q: want some of %s", from, strings.Join(regions.Names(), ", ")))
			}
			table[i] = append(table[i], trip/2)
		}
	}
	return table
}
