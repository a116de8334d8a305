package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

var errStopped = errors.New("gateway: the node is stopping")

// Pool takes admitted transactions; *driver.Driver is one. Its sentinel errors reach the caller of Submit wrapped, not changed.
type Pool interface {
	// SubmitAt owns the transaction when it returns nil. class is set for DECLARE; accountNonce is the sender's at the tip.
	SubmitAt(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error
	// Deploying reports whether a DEPLOY_ACCOUNT of this account waits or runs.
	Deploying(account []byte) bool
}

// Chain is what the node knows of the present; *chainview.Chain is one.
type Chain interface {
	// Next is the context of the open block, or of the block that would be built next.
	Next() *ordov1.BlockContext
	// Status tells where a transaction stands.
	Status(hash chainview.Key) chainview.Record
	// Behind says that execution lacks a decided block; CatchUp waits until it does not.
	Behind() bool
	CatchUp(ctx context.Context) error
}

// Options are the parts that a Gateway works with.
type Options struct {
	ChainID   felt.Felt
	Execution ordov1.ExecutionClient
	Storage   ordov1.StorageReadClient // to reject declared classes before compiling them; may be nil
	Pool      Pool
	Chain     Chain
	Limits    Limits           // zero numbers: DefaultLimits
	Crashes   *crash.Ledger    // of the questions that may end execution; may be nil
	Admitted  func(*Broadcast) // told of each transaction that a client sent and that was admitted; must not block; may be nil

	Validators int // Validate calls at a time; default 2
	Batch      int // transactions a call; default 128
}

// Gateway admits transactions. Safe for concurrent use.
type Gateway struct {
	chainID  felt.Felt
	storage  ordov1.StorageReadClient
	reading  retry.Asker
	pool     Pool
	chain    Chain
	limits   Limits
	validate *validator
	trials   *trials
	compile  *compiler
	admitted func(*Broadcast)
}

// New starts the validation workers; Close stops them.
func New(o Options) *Gateway {
	o.Limits = o.Limits.orDefaults()
	return &Gateway{
		chainID:  o.ChainID,
		storage:  o.Storage,
		reading:  retry.Asker{Stage: "storage", Deadline: o.Limits.Validate, Grace: o.Limits.Grace},
		pool:     o.Pool,
		chain:    o.Chain,
		admitted: o.Admitted,
		limits:   o.Limits,
		validate: newValidator(o.Execution, o.Chain, newHasher(o.ChainID), o.Limits, o.Crashes, or(o.Validators, 2), or(o.Batch, 128)),
		trials:   newTrials(o),
		compile:  newCompiler(o.Execution, o.Limits, o.Crashes),
	}
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Close waits for the calls that run. Submit fails afterwards.
func (g *Gateway) Close() { g.validate.close() }

// Submit reads a broadcast transaction, checks it and hands it to the pool. The errors are jsonin.Error (malformed),
// ErrUnsupportedVersion, Refused, an error of the pool, or a fault of the node.
func (g *Gateway) Submit(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, error) {
	b, err := read(raw)
	if err != nil {
		return nil, err
	}
	return b.Transaction, g.Admit(ctx, b)
}

// Admit is Submit for a transaction that is read already. It computes the hash where that is missing: invokes are hashed
// together with those that wait for validation beside them.
func (g *Gateway) Admit(ctx context.Context, b *Broadcast) error {
	err := g.admit(ctx, b)
	if err == nil && g.admitted != nil {
		g.admitted(b)
	}
	return err
}

func (g *Gateway) admit(ctx context.Context, b *Broadcast) error {
	if err := g.limits.check(b); err != nil {
		return err
	}
	tx := b.Transaction
	if len(tx.Hash) == 0 && tx.Type != ordov1.TransactionType_INVOKE {
		if err := b.hash(g.chainID); err != nil {
			return err
		}
	}
	// A repeated transaction is not worth a compilation.
	if len(tx.Hash) > 0 && underway(g.chain, tx) {
		return mempool.ErrDuplicate
	}
	var class *ordov1.Class
	if b.Class != nil {
		var err error
		if class, err = g.declared(ctx, b); err != nil {
			return err
		}
	}
	verdict, err := g.accepted(ctx, tx, class)
	if err != nil {
		return err
	}
	nonce, ok := mempool.Nonce(verdict.AccountNonce)
	if length := len(verdict.AccountNonce); !ok || length != 0 && length != felt.Size {
		return fmt.Errorf("validation: execution answered with %d bytes as the nonce of the account, want a number below 2^64 in %d bytes", length, felt.Size)
	}
	return g.pool.SubmitAt(ctx, tx, class, nonce)
}

// accepted is the verdict of execution where that is good, else a Refused.
func (g *Gateway) accepted(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class) (*ordov1.ValidateResponse_Verdict, error) {
	verdict, err := g.verdict(ctx, tx, class)
	switch {
	case err != nil:
		return nil, err
	case verdict.Rejection == ordov1.RejectionCode_INVALID_NONCE && underway(g.chain, tx):
		return nil, mempool.ErrDuplicate // the same one, sent at the same time, has run meanwhile
	case verdict.Rejection != ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED:
		return nil, &Rejection{Code: verdict.Rejection, Reason: verdict.Reason}
	case verdict.Heavy:
		return verdict, g.trials.run(ctx, tx)
	}
	return verdict, nil
}

// underway reports that the node has the transaction already. One that was accepted does not count: it fails by its nonce.
func underway(c Chain, tx *ordov1.Transaction) bool {
	switch c.Status(chainview.Key(tx.Hash)).Status {
	case chainview.Received, chainview.Candidate, chainview.PreConfirmed:
		return true
	}
	return false
}

// skip reports that validation is skipped: the account has no code yet that could validate, because its deployment is on the
// way. A DECLARE never goes ahead of its account, and nothing is compiled for a signature that was not checked.
func (g *Gateway) skip(tx *ordov1.Transaction) bool {
	return tx.Type == ordov1.TransactionType_INVOKE && len(bytes.Trim(tx.Nonce, "\x00")) > 0 && g.pool.Deploying(tx.Sender)
}

// verdict asks execution. While execution lacks a decided block, a rejection is not the last word: the client may have seen
// what that block did. Then it is asked once more, when execution has caught up.
func (g *Gateway) verdict(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class) (*ordov1.ValidateResponse_Verdict, error) {
	for again := false; ; again = true {
		// In this order: a deployment leaves the pool when its block is decided.
		item := &ordov1.ValidateRequest_Item{Transaction: tx, Class: class, SkipValidate: g.skip(tx)}
		behind := g.chain.Behind()
		verdict, err := g.validate.validate(ctx, item)
		accepted := err == nil && verdict.Rejection == ordov1.RejectionCode_REJECTION_CODE_UNSPECIFIED
		// It may have been lost meanwhile, and a new one has no state at first.
		behind = behind || g.chain.Behind() || status.Code(err) == codes.FailedPrecondition
		if accepted || again || !behind || ctx.Err() != nil {
			return verdict, err
		}
		limited, cancel := context.WithTimeout(ctx, g.limits.Grace)
		late := g.chain.CatchUp(limited)
		cancel()
		if late != nil {
			if err == nil {
				err = fmt.Errorf("it rejected on an old state: %s: %s", verdict.Rejection, verdict.Reason)
			}
			return nil, &retry.Down{Stage: "execution", Cause: err}
		}
	}
}
