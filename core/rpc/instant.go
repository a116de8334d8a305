package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const (
	settleWait     = 10 * time.Second       // for the block of a transaction that the executor has
	settlePatience = 500 * time.Millisecond // for a transaction that may wait for an earlier nonce
)

// instant: the node makes a block for every transaction.
func (s *Server) instant() bool { return s.Devnet != nil && s.Devnet.Instant }

// blockWait waits for what was sent. Development nodes answer for a transaction when what it did can be read: clients of
// starknet-devnet read nonce, receipt and state right after sending, and build the next transaction from that. On a node that
// makes a block for every transaction its block is accepted by then; on one with open blocks it is in the pre-confirmed one.
type blockWait struct {
	s      *Server
	enough chainview.Status // Unknown: nothing is waited for
	// until is when a transaction that cannot run yet is not waited for any more. Of many that were sent together all have
	// the same moment: it is put off by each that does run.
	until time.Time
}

func (s *Server) newBlockWait() *blockWait {
	w := &blockWait{s: s, until: time.Now().Add(settlePatience)}
	switch {
	case s.instant():
		w.enough = chainview.Accepted
	case s.AnswerRun:
		w.enough = chainview.PreConfirmed
	}
	return w
}

// wait returns when a transaction is settled, when it must wait for an earlier nonce or a block with room, or with the reason
// why it is in no block.
func (w *blockWait) wait(ctx context.Context, hash []byte) error {
	if w.enough == chainview.Unknown {
		return nil
	}
	begun := time.Now()
	last := begun.Add(settleWait)
	at := func(until time.Time, holds func(chainview.Record) bool) (chainview.Record, error) {
		if until.After(last) {
			until = last
		}
		limited, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		return w.s.Chain.AwaitTransaction(limited, Key(hash), holds)
	}
	r, err := at(w.until, func(r chainview.Record) bool { return r.Status >= chainview.Candidate })
	for err == nil && r.Status < w.enough && r.Rejected == nil {
		// The executor has it, but may give it back when the block is full.
		r, err = at(last, func(r chainview.Record) bool {
			return r.Status >= w.enough || r.Status < chainview.Candidate || r.Rejected != nil
		})
		if err == nil && r.Status < chainview.Candidate {
			r, err = at(time.Now().Add(settlePatience), func(r chainview.Record) bool { return r.Status >= chainview.Candidate })
		}
	}
	if now := time.Now(); err == nil && now.Sub(begun) > time.Millisecond {
		w.until = now.Add(settlePatience)
	}
	return notYetInBlock(r)
}

// notYetInBlock is why a transaction is in no block, nil when it is in one, or may yet be.
func notYetInBlock(r chainview.Record) error {
	if r.Rejected != nil && r.Rejected.Refusal != ordov1.Refusal_INVALID_NONCE {
		return &gateway.Rejection{Code: r.Rejected.Refusal, Reason: r.Rejected.Reason}
	}
	if r.Status != chainview.Dropped {
		return nil // one that is rejected for its nonce stays when an earlier one is missing
	}
	var rejected *pipeline.Rejection
	if errors.As(r.Why, &rejected) {
		return &gateway.Rejection{Code: rejected.Refusal, Reason: rejected.Reason}
	}
	return withData(errUnexpected, fmt.Sprintf("the transaction was dropped: %v", r.Why))
}
