package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/chain"
	"github.com/ordo-sequencer/ordo/core/ingress"
	"github.com/ordo-sequencer/ordo/core/pipeline"
)

const (
	settleWait     = 10 * time.Second       // for the block of a transaction that the executor has
	settlePatience = 500 * time.Millisecond // for a transaction that may wait for an earlier nonce
)

// instant: the node makes a block for every transaction.
func (s *Server) instant() bool { return s.Devnet != nil && s.Devnet.Instant }

// settle waits, on a node that makes a block for every transaction, until the block of this one is accepted: clients of
// starknet-devnet read nonce and state right after sending. A transaction that cannot run yet is answered for without its block.
func (s *Server) settle(ctx context.Context, hash []byte) error {
	if !s.instant() {
		return nil
	}
	var r chain.Record
	reach := func(stage chain.Stage, patience time.Duration) bool {
		waiting, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.Chain.Await(waiting, func() bool {
			r = s.Chain.Status(Key(hash))
			return r.Stage >= stage
		}) == nil
	}
	if reach(chain.Candidate, settlePatience) {
		reach(chain.Accepted, settleWait)
	}
	if r.Stage != chain.Dropped {
		return nil
	}
	var rejected *pipeline.Rejection
	if errors.As(r.Why, &rejected) {
		return &ingress.Refused{Code: rejected.Refusal, Reason: rejected.Reason}
	}
	return withData(errUnexpected, fmt.Sprintf("the transaction was dropped: %v", r.Why))
}
