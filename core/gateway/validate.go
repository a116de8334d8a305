package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// validator sends transactions to execution in batches. No transaction waits for a batch to fill: a free worker takes what has
// queued up while the others were calling, so a lone transaction goes at once and a flood goes in large batches.
type validator struct {
	execution ordov1.ExecutionClient
	chain     Chain
	hash      *hasher
	queue     chan *waiting
	most      int
	asker     retry.Asker
	turn      time.Duration
	memory    uint64 // MiB that the run of one may hold
	trial     bool   // heavy transactions are found
	stop      chan struct{}
	done      sync.WaitGroup
}

type waiting struct {
	item   *ordov1.ValidateRequest_Item
	ctx    context.Context
	answer chan answer // room for one, so that a worker never waits for a client that left
}

type answer struct {
	verdict *ordov1.ValidateResponse_Verdict
	err     error
}

func newValidator(execution ordov1.ExecutionClient, present Chain, hash *hasher, l Limits, crashes *crash.Ledger, workers, most int) *validator {
	v := &validator{
		execution: execution, chain: present, hash: hash, queue: make(chan *waiting, 4*most), most: most, stop: make(chan struct{}), turn: l.Turn, memory: uint64(l.ValidateMemory), trial: l.TransactionMemory > 0,
		asker: retry.Asker{Stage: "execution", Deadline: l.Validate, Grace: l.Grace, Crashes: crashes},
	}
	for range workers {
		v.done.Add(1)
		go v.work()
	}
	return v
}

// validate waits for the verdict on one transaction.
func (v *validator) validate(ctx context.Context, item *ordov1.ValidateRequest_Item) (*ordov1.ValidateResponse_Verdict, error) {
	w := &waiting{item: item, ctx: ctx, answer: make(chan answer, 1)}
	if err := v.enqueue(w); err != nil {
		return nil, err
	}
	select {
	case a := <-w.answer:
		return a.verdict, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("validation: %w", ctx.Err())
	case <-v.stop:
		return nil, errStopped
	}
}

// enqueue waits for a place in the queue.
func (v *validator) enqueue(w *waiting) error {
	select {
	case v.queue <- w:
		return nil
	default:
	}
	timer := time.NewTimer(v.turn)
	defer timer.Stop()
	select {
	case v.queue <- w:
		return nil
	case <-timer.C:
		return fmt.Errorf("validation: %w", &limiter.Busy{What: "validations", Running: v.most, Waiting: cap(v.queue), Waited: v.turn})
	case <-w.ctx.Done():
		return fmt.Errorf("validation: the queue is full: %w", w.ctx.Err())
	case <-v.stop:
		return errStopped
	}
}

func (v *validator) work() {
	defer v.done.Done()
	for {
		select {
		case w := <-v.queue:
			v.call(v.gather(w))
		case <-v.stop:
			return
		}
	}
}

// gather takes what waits already, without waiting itself, and leaves out whose client is gone.
func (v *validator) gather(first *waiting) []*waiting {
	batch := make([]*waiting, 0, 8)
	for w := first; ; {
		if w.ctx.Err() == nil {
			batch = append(batch, w)
		}
		if len(batch) == v.most {
			return batch
		}
		select {
		case w = <-v.queue:
		default:
			return batch
		}
	}
}

// fresh hashes what has no hash yet, and leaves out what is in the node already: that is not worth a validation.
func (v *validator) fresh(batch []*waiting) []*waiting {
	var bare []*ordov1.Transaction
	for _, w := range batch {
		if tx := w.item.Transaction; len(tx.Hash) == 0 {
			bare = append(bare, tx)
		}
	}
	if len(bare) == 0 {
		return batch
	}
	err := v.hash.all(bare)
	return slices.DeleteFunc(batch, func(w *waiting) bool {
		switch {
		case err != nil:
			w.answer <- answer{err: err}
		case underway(v.chain, w.item.Transaction):
			w.answer <- answer{err: mempool.ErrDuplicate}
		default:
			return false
		}
		return true
	})
}

func (v *validator) call(batch []*waiting) {
	batch, alone := v.allowed(v.fresh(batch))
	if len(batch) > 0 {
		q := crash.Question{Kind: crash.Validation, Several: true, Names: func() []crash.Name { return names(batch[0].item.Transaction) }}
		if len(batch) == 1 {
			q.Several = false
		}
		if err := v.ask(q, batch); errors.Is(err, crash.ErrSeveral) {
			alone = append(alone, batch...) // one of them ended execution: which one shows when they go one by one
		}
	}
	for _, w := range alone {
		tx := w.item.Transaction
		_ = v.ask(crash.Question{Kind: crash.Validation, Quarantine: true, Names: func() []crash.Name { return names(tx) }}, []*waiting{w})
	}
}

// allowed leaves out what ended execution before, and returns apart what may have ended it and is validated alone.
func (v *validator) allowed(batch []*waiting) (rest, alone []*waiting) {
	if v.asker.Crashes == nil || v.asker.Crashes.Clean() {
		return batch, nil
	}
	for _, w := range batch {
		level, err := v.asker.Crashes.Check(crash.Question{Kind: crash.Validation, Names: func() []crash.Name { return names(w.item.Transaction) }})
		switch {
		case err != nil:
			w.answer <- answer{err: fmt.Errorf("validation: %w", err)}
		case level.Suspected():
			alone = append(alone, w)
		default:
			rest = append(rest, w)
		}
	}
	return rest, alone
}

// names of a transaction: its account is rejected with it. A class is rejected when two of its accounts were, for one
// deployment may be rejected for what ran beside it.
func names(tx *ordov1.Transaction) []crash.Name {
	all := []crash.Name{{Key: sha256.Sum256(append([]byte("transaction "), tx.Hash...)), What: "this transaction"}}
	if len(tx.Sender) > 0 {
		all = append(all, crash.Account(tx.Sender))
	}
	if tx.Type == ordov1.TransactionType_DEPLOY_ACCOUNT {
		all = append(all, crash.Name{Key: sha256.Sum256(append([]byte("class "), tx.ClassHash...)), What: "the deployment of an account of this class", Causes: 2})
	}
	return all
}

// ask asks for verdicts and hands them out, but not when the error is crash.ErrSeveral.
func (v *validator) ask(q crash.Question, batch []*waiting) error {
	// Clients see what has run in the open block, and build on it: the funds of a mint, an account that was deployed.
	open := &ordov1.StateAt{At: &ordov1.StateAt_OpenBlock{OpenBlock: true}}
	request := &ordov1.ValidateRequest{Context: v.chain.Next(), At: open, Items: make([]*ordov1.ValidateRequest_Item, len(batch)), MemoryMib: v.memory, Trial: v.trial}
	for i, w := range batch {
		request.Items[i] = w.item
	}
	var response *ordov1.ValidateResponse
	err := v.asker.Put(context.Background(), q, func(ctx context.Context) (err error) {
		response, err = v.execution.Validate(ctx, request)
		return err
	})
	if errors.Is(err, crash.ErrSeveral) {
		return err
	}
	if err == nil && len(response.Verdicts) != len(batch) {
		err = fmt.Errorf("execution: %d verdicts on %d transactions", len(response.Verdicts), len(batch))
	}
	for i, w := range batch {
		if err != nil {
			w.answer <- answer{err: fmt.Errorf("validation: %w", err)}
			continue
		}
		w.answer <- answer{verdict: response.Verdicts[i]}
	}
	return err
}

func (v *validator) close() {
	close(v.stop)
	v.done.Wait()
}
