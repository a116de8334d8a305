package devnet

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// await submits a transaction to the chain and begins to wait for its answer.
func await(t *testing.T, a *Answers, tx *ordov1.Transaction) <-chan error {
	a.chain.Received(tx)
	done := make(chan error, 1)
	go func() { done <- a.Await(t.Context(), tx.Hash)[0] }()
	synctest.Wait()
	return done
}

// waits fails the test when the answer is there.
func waits(t *testing.T, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatal("it did not wait:", err)
	default:
	}
}

// TestAnswersWaitForTheBlock when each transaction has a block: not the result but the block with its root ends the wait.
func TestAnswersWaitForTheBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 0)
		done := await(t, WhenAccepted(c), tx)
		c.Candidates(1, []*ordov1.Transaction{tx}, nil)
		c.Preconfirm(1, ran(tx), nil)
		header := &ordov1.BlockHeader{Context: blockContext(1), Hash: fe(0xb10c1)}
		c.Decide(chainview.NewBlock(header, []*ordov1.Transaction{tx}, ran(tx), &ordov1.StateDiff{}, nil))
		time.Sleep(2 * stuckWait)
		waits(t, done)
		c.Accept(header)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAnswersComeWhenItHasRun in the open block: not before, also when the executor gives it back once, and not after.
func TestAnswersComeWhenItHasRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 0)
		done := await(t, WhenRun(c), tx)
		c.Candidates(1, []*ordov1.Transaction{tx}, nil)
		waits(t, done)
		c.ResetPreconfirmed(1)
		c.Open(2, blockContext(1))
		c.Candidates(2, []*ordov1.Transaction{tx}, nil)
		time.Sleep(2 * stuckWait)
		waits(t, done)
		c.Preconfirm(2, ran(tx), nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAnswersLeaveWhatCannotRun: a transaction with a gap before its nonce is answered for after a short wait, and several that
// were submitted together share it.
func TestAnswersLeaveWhatCannotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain()
		var hashes [][]byte
		for n := range uint64(10) {
			c.Received(account(0x500+n, 9+n))
			hashes = append(hashes, fe(0x500+n))
		}
		for _, a := range []*Answers{WhenRun(c), WhenAccepted(c)} {
			began := time.Now()
			if err := errors.Join(a.Await(t.Context(), hashes...)...); err != nil || time.Since(began) != stuckWait {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		}
	})
}

// TestAnswersOfAFullBlock: what the executor gave back is answered for after a moment; its block may be minutes away.
func TestAnswersOfAFullBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 0)
		done := await(t, WhenRun(c), tx)
		c.Candidates(1, []*ordov1.Transaction{tx}, nil)
		c.Closed(1)
		began := time.Now()
		if err := <-done; err != nil || time.Since(began) > stuckWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestAnswersTellARejection as admission would: when the transaction leaves, and while its block is open.
func TestAnswersTellARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := func(err error) {
			t.Helper()
			var why *gateway.Rejection
			if !errors.As(err, &why) || why.Code != ordov1.RejectionCode_INSUFFICIENT_BALANCE || why.Reason != "too poor" {
				t.Errorf("got %v", err)
			}
		}
		c, tx := newChain(), account(0x501, 0)
		done := await(t, WhenAccepted(c), tx)
		c.Drop(chainview.Key(tx.Hash), fmt.Errorf("block 5: %w", &pipeline.Rejection{Code: ordov1.RejectionCode_INSUFFICIENT_BALANCE, Reason: "too poor"}))
		told(<-done)

		tx = account(0x502, 0)
		done = await(t, WhenRun(c), tx)
		c.Candidates(1, []*ordov1.Transaction{tx}, nil)
		c.Preconfirm(1, []*ordov1.TransactionResult{{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED,
			Rejection: ordov1.RejectionCode_INSUFFICIENT_BALANCE, Reason: "too poor"}}, nil)
		told(<-done)
	})
}

// TestAnswersAtOnce do not wait.
func TestAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tx := newChain(), account(0x501, 0)
		if err := <-await(t, AtOnce(c), tx); err != nil || c.Status(chainview.Key(tx.Hash)).Status != chainview.Received {
			t.Error(err)
		}
	})
}
