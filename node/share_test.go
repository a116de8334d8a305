package node

import (
	"testing"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestOldTransactionsAreSentAgain: what waited before and still waits is sent again, the oldest first and so many at a time; what is new, or of L1, is not.
func TestOldTransactionsAreSentAgain(t *testing.T) {
	var pool []driver.Waiting
	add := func(n int, kind ordov1.TransactionType) {
		for range n {
			hash := mempool.Key{byte(len(pool)), byte(len(pool) >> 8), 1}
			pool = append(pool, driver.Waiting{Hash: hash, Tx: &ordov1.Transaction{Type: kind, Hash: hash[:]}})
		}
	}
	add(2, ordov1.TransactionType_L1_HANDLER)
	add(3, ordov1.TransactionType_INVOKE)
	old, before := stillWaiting(pool, nil)
	if len(old) != 0 {
		t.Errorf("%d new ones are sent again", len(old))
	}
	add(2*againCount, ordov1.TransactionType_INVOKE)
	if old, before = stillWaiting(pool, before); len(old) != 3 {
		t.Errorf("%d are sent again, 3 of a client waited before", len(old))
	}
	if old, before = stillWaiting(pool, before); len(old) != againCount {
		t.Errorf("%d at a time", len(old))
	}
	if old, _ = stillWaiting(pool[:0], before); len(old) != 0 {
		t.Errorf("%d that do not wait any more are sent again", len(old))
	}
}
