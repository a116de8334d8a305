package bench

import (
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ordo-sequencer/ordo/test/client"
)

// TestLoadCounts: a block may bring a transaction before its sender has the answer; each counts once, and frees its slot.
func TestLoadCounts(t *testing.T) {
	l := &load{waiting: map[string]*pending{}, accepted: map[string]bool{}, bar: progressbar.DefaultSilent(-1)}
	s := &sender{slots: make(chan struct{}, 3)}
	begun := time.Now()
	l.submitted("0x1", begun, s)
	l.block(client.Block{Transactions: []string{"0x1", "0x2", "0x77"}})
	l.submitted("0x2", begun, s)
	l.submitted("0x3", begun, s)
	l.block(client.Block{Transactions: []string{"0x88"}})
	l.settle(begun)
	if r := l.report; r.Submitted != 3 || r.Accepted != 2 || r.Lost != 1 || r.Blocks != 1 || len(s.slots) != 2 {
		t.Errorf("%d slots free, report %+v", len(s.slots), r)
	}
	if got := spanOf([]time.Duration{3 * time.Millisecond, time.Millisecond, 2 * time.Millisecond}); got.P50 != 2 || got.P99 != 2 {
		t.Errorf("p50 and p99 are %v", got)
	}
}
