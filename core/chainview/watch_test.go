package chainview

import (
	"context"
	"testing"
	"testing/synctest"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestAwaitTransaction: each call waits for its own transaction, and nothing is left of calls that gave up.
func TestAwaitTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fresh()
		c.Open(1, &ordov1.BlockContext{Number: 5})
		run := func(r Record) bool { return r.Status >= PreConfirmed || r.Rejected != nil }
		var looks [4]int
		done := make(chan Record, 9)
		impatient, leave := context.WithCancel(t.Context())
		for _, n := range []uint64{1, 2, 3} {
			c.Received(tx(n))
			ctx := t.Context()
			if n == 3 {
				ctx = impatient
			}
			go func() {
				r, _ := c.AwaitTransaction(ctx, word(n), func(r Record) bool { looks[n]++; return run(r) })
				done <- r
			}()
			synctest.Wait()
		}
		for n := range uint64(100) {
			c.Received(tx(n + 1000))
		}
		synctest.Wait()
		if looks[1] != 1 || looks[2] != 1 || len(done) > 0 {
			t.Errorf("woken by others: %v", looks)
		}
		c.Candidates(1, []*ordov1.Transaction{tx(1), tx(2)}, nil)
		rejected := ok(2)
		rejected.Status = ordov1.TransactionResult_REJECTED
		c.Preconfirm(1, []*ordov1.TransactionResult{ok(1), rejected}, nil)
		synctest.Wait()
		first, second := <-done, <-done
		if first.Rejected != nil {
			first, second = second, first
		}
		if first.Status != PreConfirmed || second.Status != Candidate || second.Rejected != rejected {
			t.Errorf("%v and %v", first, second)
		}
		leave()
		synctest.Wait()
		if r := <-done; r.Status != Received {
			t.Errorf("the one that gave up saw %v", r)
		}
		if r, err := c.AwaitTransaction(impatient, word(77), func(Record) bool { return true }); err != nil || r.Status != Unknown {
			t.Error(r, err)
		}
		if len(c.watches) != 0 {
			t.Errorf("%d watches are left", len(c.watches))
		}
		// What was rejected waits again when its build is dropped.
		c.ResetPreconfirmed(1)
		if r := c.Status(word(2)); r.Status != Received || r.Rejected != nil {
			t.Error(r)
		}
	})
}
