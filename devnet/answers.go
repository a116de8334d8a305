package devnet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const (
	answerWait = 10 * time.Second       // for the block of a transaction that the executor has
	stuckWait  = 500 * time.Millisecond // for a transaction that may wait for an earlier nonce
)

// Answers decides when the answer about a submitted transaction is sent. Clients of starknet-devnet read nonce, receipt and
// state right after sending and build the next transaction from that, so the answer comes when what the transaction did can be
// read. It is an rpc.Extension without methods.
type Answers struct {
	chain  *chainview.Chain
	enough chainview.Status
}

// AtOnce answers when a transaction is admitted.
func AtOnce(c *chainview.Chain) *Answers { return &Answers{chain: c, enough: chainview.Unknown} }

// WhenRun answers when a transaction has run in the open block.
func WhenRun(c *chainview.Chain) *Answers { return &Answers{chain: c, enough: chainview.PreConfirmed} }

// WhenAccepted answers when the block of a transaction is accepted, for nodes that make a block for every transaction.
func WhenAccepted(c *chainview.Chain) *Answers { return &Answers{chain: c, enough: chainview.Accepted} }

var _ rpc.Extension = (*Answers)(nil)

// Methods implements rpc.Extension.
func (a *Answers) Methods(*rpc.Server) map[string]rpc.Method { return nil }

// Submitted implements rpc.Extension.
func (a *Answers) Submitted([]byte) {}

// OneByOne implements rpc.Extension: when each answer waits for a block, the next transaction may need what that block did.
func (a *Answers) OneByOne() bool { return a.enough == chainview.Accepted }

// Await implements rpc.Extension. It waits for each transaction until that is far enough, must wait for an earlier nonce or for
// a block with room, or has left.
func (a *Answers) Await(ctx context.Context, hashes ...[]byte) []error {
	errs := make([]error, len(hashes))
	if a.enough == chainview.Unknown {
		return errs
	}
	w := wait{chain: a.chain, enough: a.enough, until: time.Now().Add(stuckWait)}
	for i, hash := range hashes {
		errs[i] = w.one(ctx, hash)
	}
	return errs
}

// wait is one Await.
type wait struct {
	chain  *chainview.Chain
	enough chainview.Status
	// until is when a transaction that cannot run yet is not waited for any more. All that were submitted together have the
	// same moment: it is put off by each that does run.
	until time.Time
}

// one waits for one transaction and returns why it is in no block.
func (w *wait) one(ctx context.Context, hash []byte) error {
	begun := time.Now()
	last := begun.Add(answerWait)
	at := func(until time.Time, holds func(chainview.Record) bool) (chainview.Record, error) {
		if until.After(last) {
			until = last
		}
		limited, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		return w.chain.AwaitTransaction(limited, chainview.Key(hash), holds)
	}
	r, err := at(w.until, func(r chainview.Record) bool { return r.Status >= chainview.Candidate })
	for err == nil && r.Status < w.enough && r.Rejected == nil {
		// The executor has it, but may give it back when the block is full.
		r, err = at(last, func(r chainview.Record) bool {
			return r.Status >= w.enough || r.Status < chainview.Candidate || r.Rejected != nil
		})
		if err == nil && r.Status < chainview.Candidate {
			r, err = at(time.Now().Add(stuckWait), func(r chainview.Record) bool { return r.Status >= chainview.Candidate })
		}
	}
	if now := time.Now(); err == nil && now.Sub(begun) > time.Millisecond {
		w.until = now.Add(stuckWait)
	}
	return inNoBlock(r)
}

// inNoBlock is why a transaction is in no block; nil when it is in one, or may yet be.
func inNoBlock(r chainview.Record) error {
	if r.Rejected != nil && r.Rejected.Rejection != ordov1.RejectionCode_INVALID_NONCE {
		return &gateway.Rejection{Code: r.Rejected.Rejection, Reason: r.Rejected.Reason}
	}
	if r.Status != chainview.Dropped {
		return nil // one that is rejected for its nonce stays when an earlier one is missing
	}
	var rejected *pipeline.Rejection
	if errors.As(r.Why, &rejected) {
		return &gateway.Rejection{Code: rejected.Code, Reason: rejected.Reason}
	}
	return rpc.Unexpected(fmt.Sprintf("the transaction was dropped: %v", r.Why))
}
