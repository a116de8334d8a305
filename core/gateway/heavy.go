package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// trials runs heavy transactions once before they are taken, as calls are run: at a low priority and beside the blocks. One
// that needs more memory than a block gives it is rejected here. In a block it would hold up all that comes behind it for as
// long as it takes to fill that memory, and would pay nothing.
type trials struct {
	execution ordov1.ExecutionClient
	chain     Chain
	asker     retry.Asker
	turn      time.Duration // how long one waits for its turn
	memory    uint64        // MiB that one may hold; 0: nothing is tried
	running   chan struct{}
}

func newTrials(o Options) *trials {
	return &trials{
		execution: o.Execution, chain: o.Chain, turn: o.Limits.Turn, memory: uint64(o.Limits.TransactionMemory), running: make(chan struct{}, 1),
		asker: retry.Asker{Stage: "execution", Deadline: o.Limits.Validate, Grace: o.Limits.Grace, Crashes: o.Crashes},
	}
}

// run is nil when the transaction may be taken. What cannot be told in time is for the block to find out.
func (t *trials) run(ctx context.Context, tx *ordov1.Transaction) error {
	limited, cancel := context.WithTimeout(ctx, t.turn)
	defer cancel()
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	case <-limited.Done():
		if ctx.Err() != nil {
			return fmt.Errorf("validation: %w", ctx.Err())
		}
		return fmt.Errorf("validation: %w", &limiter.Busy{What: "trial runs of heavy transactions", Running: 1, Waited: t.turn})
	}
	request := &ordov1.ViewRequest{
		At: &ordov1.StateAt{At: &ordov1.StateAt_OpenBlock{OpenBlock: true}}, Context: t.chain.Next(),
		View:      &ordov1.ViewRequest_Simulate{Simulate: &ordov1.Simulation{Transactions: []*ordov1.Transaction{tx}}},
		TimeoutMs: uint32(t.asker.Deadline / 2 / time.Millisecond), MemoryMib: t.memory,
	}
	var response *ordov1.ViewResponse
	err := t.asker.Try(ctx, crash.Question{Kind: crash.View, Names: func() []crash.Name { return names(tx) }}, func(ctx context.Context) (err error) {
		response, err = t.execution.View(ctx, request)
		return err
	})
	switch e := response.GetError(); {
	case ctx.Err() != nil:
		return fmt.Errorf("validation: %w", ctx.Err())
	case err != nil || e.GetCode() != ordov1.ViewError_MEMORY:
		return nil
	default:
		if t.asker.Crashes != nil {
			t.asker.Crashes.Costly(tx.Sender)
		}
		return reject(ordov1.RejectionCode_MEMORY_EXCEEDED, "the transaction needs more than %d MiB of memory (limits.transaction_mib)", t.memory)
	}
}
