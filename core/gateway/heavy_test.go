package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// heavies is an execution whose views end as the test says.
type heavies struct {
	ordov1.ExecutionClient
	views   int
	request *ordov1.ViewRequest
	answer  *ordov1.ViewResponse
	err     error
	hold    chan struct{}
}

func (h *heavies) View(ctx context.Context, q *ordov1.ViewRequest, _ ...grpc.CallOption) (*ordov1.ViewResponse, error) {
	h.views, h.request = h.views+1, q
	if h.hold != nil {
		<-h.hold
	}
	return h.answer, h.err
}

func viewFailure(code ordov1.ViewError_Code) *ordov1.ViewResponse {
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Error{Error: &ordov1.ViewError{Code: code}}}
}

func (h *heavies) trials(l Limits, crashes *crash.Ledger) *trials {
	present := chainview.New(func() *ordov1.BlockContext { return &ordov1.BlockContext{Number: 7} })
	return newTrials(Options{Execution: h, Chain: present, Limits: l.orDefaults(), Crashes: crashes})
}

// A heavy transaction is rejected when its trial run needs more memory than a block gives it, and its account is rejected with it.
// Whatever else its run brings is for the block.
func TestHeavyTransactionIsRejectedForItsMemoryAlone(t *testing.T) {
	ledger := crash.New(crash.Options{})
	h := &heavies{}
	trials := h.trials(Limits{TransactionMemory: 512}, ledger)
	tx := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: []byte("account"), Hash: []byte("hash")}
	for name, answer := range map[string]*ordov1.ViewResponse{
		"a run":     {Result: &ordov1.ViewResponse_Simulation{Simulation: &ordov1.SimulationResults{}}},
		"a revert":  viewFailure(ordov1.ViewError_EXECUTION_ERROR),
		"a timeout": viewFailure(ordov1.ViewError_TIMEOUT),
	} {
		h.answer = answer
		if err := trials.run(t.Context(), tx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.answer, h.err = nil, errors.New("out of order")
	if err := trials.run(t.Context(), tx); err != nil {
		t.Errorf("a fault: %v", err)
	}
	if q := h.request; q.MemoryMib != 512 || q.TimeoutMs == 0 || !q.At.GetOpenBlock() || q.Context.Number != 7 || q.GetSimulate().SkipValidate {
		t.Errorf("asked %v", q)
	}
	account := crash.Question{Kind: crash.Validation, Names: func() []crash.Name { return []crash.Name{crash.Account(tx.Sender)} }}
	if _, err := ledger.Check(account); err != nil {
		t.Errorf("the account is rejected before: %v", err)
	}
	h.answer, h.err = viewFailure(ordov1.ViewError_MEMORY), nil
	err := trials.run(t.Context(), tx)
	var refused *Rejection
	if !errors.As(err, &refused) || refused.Code != ordov1.RejectionCode_MEMORY_EXCEEDED || !strings.Contains(refused.Reason, "512 MiB of memory (limits.transaction_mib)") {
		t.Errorf("%v", err)
	}
	if _, err := ledger.Check(account); err == nil {
		t.Error("the account is not rejected")
	}
}

// One heavy transaction is tried at a time. Those that wait longer than limits.queue_timeout are told so, and one whose client left takes no
// place.
func TestHeavyTransactionsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heavies{answer: &ordov1.ViewResponse{}, hold: make(chan struct{})}
		trials := h.trials(Limits{TransactionMemory: 512}, nil)
		tx := &ordov1.Transaction{Sender: []byte("account")}
		first := make(chan error, 1)
		go func() { first <- trials.run(t.Context(), tx) }()
		synctest.Wait()
		left, leave := context.WithCancel(t.Context())
		leave()
		if err := trials.run(left, tx); !errors.Is(err, context.Canceled) {
			t.Errorf("one that left: %v", err)
		}
		var busy *limiter.Busy
		if err := trials.run(t.Context(), tx); !errors.As(err, &busy) {
			t.Errorf("one that waits: %v", err)
		}
		close(h.hold)
		if err := <-first; err != nil || h.views != 1 {
			t.Errorf("%v, %d views", err, h.views)
		}
		if err := trials.run(t.Context(), tx); err != nil {
			t.Errorf("the next: %v", err)
		}
	})
}
