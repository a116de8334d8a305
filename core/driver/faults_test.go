package driver

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// A build that breaks is built again from the same transactions; an execution that has ended stops the node with its name.
func TestExecutionFails(t *testing.T) { synctest.Test(t, executionFails) }

func executionFails(t *testing.T) {
	w := newWorld(t)
	n := w.start()
	txs := []*ordov1.Transaction{w.tx(1, 0, plain, 0), w.tx(2, 0, breaks, 0), w.tx(1, 1, plain, 0)}
	w.submit(txs...)
	w.await(chainview.Accepted, txs...)
	w.chainIsSound()

	w.execution.Mu.Lock()
	w.execution.Down = true
	w.execution.Mu.Unlock()
	w.submit(w.tx(1, 2, plain, 0))
	stopsWith(t, n, "execution", "gone")
	if err := w.submitOne(w.tx(1, 3, plain, 0)); !errors.Is(err, ErrStopped) {
		t.Errorf("submit to a stopped node: %v", err)
	}
	if _, _, err := n.CreateBlock(ctx(t)); !errors.Is(err, ErrStopped) {
		t.Errorf("demand of a stopped node: %v", err)
	}
}

func stopsWith(t *testing.T, n *Driver, parts ...string) {
	t.Helper()
	select {
	case <-n.Done():
	case <-ctx(t).Done():
		t.Fatal("the node goes on")
	}
	for _, part := range parts {
		if n.Err() == nil || !strings.Contains(n.Err().Error(), part) {
			t.Errorf("stopped with %v, want %q in it", n.Err(), part)
		}
	}
}

func TestStorageTellsAWrongHash(t *testing.T) { synctest.Test(t, storageTellsAWrongHash) }

func storageTellsAWrongHash(t *testing.T) {
	w := newWorld(t)
	w.storage.WrongHash = true
	n := w.start()
	w.submit(w.tx(1, 0, plain, 0))
	w.await(chainview.Accepted, w.tx(1, 0, plain, 0))
	w.submit(w.tx(1, 1, plain, 0))
	stopsWith(t, n, "storage", "block 2", "its hash is")
}

// An ordering plugin that has ended loses nothing: arrival decides, and the block says so.
func TestOrderByArrivalWhenOrderingIsDown(t *testing.T) { synctest.Test(t, orderByArrival) }

func orderByArrival(t *testing.T) {
	w := newWorld(t)
	w.options.ScoreTimeout = 600 * time.Millisecond
	n := w.start()
	a := w.tx(1, 0, plain, 0)
	w.submit(a)
	w.await(chainview.Accepted, a)
	w.ordering.Mu.Lock()
	w.ordering.Down = true
	w.ordering.Mu.Unlock()
	b := w.tx(1, 1, plain, 0)
	w.submit(b)
	w.await(chainview.Accepted, b)
	w.ordering.Mu.Lock()
	w.ordering.Down = false
	w.ordering.Mu.Unlock()
	time.Sleep(2 * w.options.ScoreTimeout) // it is asked again after a pause
	c := w.tx(1, 2, plain, 0)
	w.submit(c)
	w.await(chainview.Accepted, c)
	var degraded []bool
	for _, b := range w.storage.Stored[1:] {
		degraded = append(degraded, b.Header.Degraded)
	}
	if len(degraded) != 3 || degraded[0] || !degraded[1] || degraded[2] {
		t.Errorf("degraded: %v", degraded)
	}
	if n.Err() != nil {
		t.Error(n.Err())
	}
}

// A policy whose scores move: the pool is ranked anew, again and again, and nothing stands still meanwhile.
func TestOrderingMovesAllTheTime(t *testing.T) { synctest.Test(t, orderingMoves) }

func orderingMoves(t *testing.T) {
	w := newWorld(t)
	w.ordering.Restless = true
	n := w.start()
	var all []*ordov1.Transaction
	for account := range uint64(5) {
		for nonce := range uint64(5) {
			all = append(all, w.tx(account+1, nonce, plain, account))
		}
	}
	waiting := w.tx(9, 1, plain, 0) // behind a gap: it is ranked for ever
	w.submit(append(all, waiting)...)
	w.await(chainview.Accepted, all...)
	w.ordering.Mu.Lock()
	before := w.ordering.Calls
	w.ordering.Mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	w.ordering.Mu.Lock()
	calls := w.ordering.Calls - before
	w.ordering.Mu.Unlock()
	if calls > 40 {
		t.Errorf("%d calls in 0.2 s for one transaction that waits", calls)
	}
	if n.Err() != nil {
		t.Error(n.Err())
	}
}
