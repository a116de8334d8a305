package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/client"
)

// TestCheck shows what the checks find. A case is a small world:
//
//	tx NAME SENDER NONCE [acked] [refused] [replaced=NAME] [dropped=WHY]
//	block NAME...         the next block, as it is at the end
//	first NAME...         as it was first seen; like the block when it is not said
//	shown BLOCK NAME...   its pre-confirmed order
//	parent BLOCK HASH     of the block, instead of the right one
//	network               several nodes took the transactions
//	died one|several      over the time of all that was shown
func TestCheck(t *testing.T) {
	datadriven.RunTest(t, "testdata/check", func(t *testing.T, d *datadriven.TestData) string {
		e := evidence{sights: map[uint64]*sight{}}
		watch := newObserver(client.Node{}, newLedger())
		now := time.Unix(1_800_000_000, 0)
		var first []client.Block
		for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			word := strings.Fields(line)
			switch word[0] {
			case "tx":
				x := entry{hash: word[1], kind: "transfer"}
				fmt.Sscan(word[2]+" "+word[3], &x.sender, &x.nonce)
				for _, more := range word[4:] {
					if more == "acked" {
						x.acked = now
					}
					if by, ok := strings.CutPrefix(more, "replaced="); ok {
						x.replaced = by
					}
					if more == "refused" {
						x.refused, x.refusedAt = "55 Account validation failed", now
					}
					if why, ok := strings.CutPrefix(more, "dropped="); ok {
						x.dropped = why
					}
				}
				e.entries = append(e.entries, x)
			case "block":
				n := len(e.blocks)
				e.blocks = append(e.blocks, client.Block{Number: uint64(n), Hash: fmt.Sprintf("h%d", n), Parent: fmt.Sprintf("h%d", n-1), Transactions: word[1:]})
				first = append(first, e.blocks[n])
			case "first":
				first[len(first)-1].Transactions = word[1:]
			case "shown":
				var number uint64
				fmt.Sscan(word[1], &number)
				watch.saw(number, word[2:], now)
			case "network":
				e.network = true
			case "parent":
				e.blocks[len(e.blocks)-1].Parent = word[1]
			case "died":
				e.windows = append(e.windows, window{from: now, to: now.Add(time.Second), single: word[1] == "one", text: "kill"})
			default:
				t.Fatalf("%s: %q", d.Pos, line)
			}
		}
		e.first, e.sights = first, watch.sights
		v := check(e)
		var out strings.Builder
		fmt.Fprintf(&out, "%d included, %d orders (%d over one end, %d over several, %d not kept), without a block %v\n",
			v.included, v.orders, v.ordersOverDeath, v.ordersOverMany, v.ordersNotKept, v.without)
		for _, w := range v.wrong {
			out.WriteString(timeOfDay.ReplaceAllString(w, "TIME") + "\n")
		}
		return out.String()
	})
}
