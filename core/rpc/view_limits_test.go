package rpc

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestViewMemory: a view has its bound, what is in a block is traced without, and the error names the setting.
func TestViewMemory(t *testing.T) {
	w := newWorld(t)
	seen := &seenViews{fakeExecution: w.execution}
	o := w.server.Options
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, seen) }))
	o.Limits.ViewMemory = 77
	w.server = New(o)
	simulated := `["latest",` + invoke + `,[]]`
	for _, c := range []struct {
		method, params string
		memory         uint64
		want           string
	}{
		{"starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`, 77, `{"code":40,"message":"Contract error","data":{"revert_error":"it needs more memory than the 77 MiB that this node gives to a view (limits.view_mib)"}}`},
		{"starknet_simulateTransactions", simulated, 77, `"execution_error":"it needs more memory than the 77 MiB that this node gives to a view (limits.view_mib)"`},
		{"starknet_traceTransaction", `["0x101"]`, 0, `"code":-32005,"message":"busy: the trace needs more memory than the execution plugin has left`},
		{"starknet_traceBlockTransactions", `[{"block_number":1}]`, 0, `"code":-32005,"message":"busy: the trace needs more memory than the execution plugin has left`},
	} {
		got := call(t, w, c.method, c.params)
		if seen.memory.Load() != c.memory || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d MiB, %s", c.method, seen.memory.Load(), got)
		}
	}
}

// seenViews finds all views too large.
type seenViews struct {
	*fakeExecution
	memory atomic.Uint64
}

func (e *seenViews) View(_ context.Context, q *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	e.memory.Store(q.MemoryMib)
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Error{Error: &ordov1.ViewError{Code: ordov1.ViewError_MEMORY}}}, nil
}

// TestAViewThatExecutionCannotAnswer now, or at all, is told so, and is no internal error with the words of gRPC.
func TestAViewThatExecutionCannotAnswer(t *testing.T) {
	w := newWorld(t)
	o := w.server.Options
	refusing := &refusingViews{fakeExecution: w.execution}
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, refusing) }))
	w.server = New(o)
	for _, c := range []struct {
		code codes.Code
		want string
	}{
		{codes.ResourceExhausted, `"code":-32005,"message":"busy: execution: so"`},
		{codes.OutOfRange, `the answer is larger than the 256 MiB`},
		{codes.Unimplemented, `"code":-32601,"message":"not served by this node's execution plugin`},
	} {
		refusing.why = status.Error(c.code, "so")
		for method, params := range map[string]string{"starknet_traceBlockTransactions": `[{"block_number":1}]`, "starknet_call": `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`} {
			if got := call(t, w, method, params); !strings.Contains(got, c.want) || strings.Contains(got, "rpc error") {
				t.Errorf("%s: %s", method, got)
			}
		}
	}
}

// refusingViews answers no view.
type refusingViews struct {
	*fakeExecution
	why error
}

func (e *refusingViews) View(context.Context, *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	return nil, e.why
}

// TestLateViews: a view that ends for its time names the setting, whatever the plugin says of it, and a trace of what is in a
// block is then no internal error.
func TestLateViews(t *testing.T) {
	w := newWorld(t)
	o := w.server.Options
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) {
		ordov1.RegisterExecutionServer(s, lateViews{w.execution})
	}))
	w.server = New(o)
	for _, c := range []struct{ method, params, want string }{
		{"starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`, `"code":40`},
		{"starknet_simulateTransactions", `["latest",` + invoke + `,[]]`, `"code":41`},
		{"starknet_traceTransaction", `["0x101"]`, `"code":-32005`},
		{"starknet_traceBlockTransactions", `[{"block_number":1}]`, `"code":-32005`},
	} {
		if got := call(t, w, c.method, c.params); !strings.Contains(got, c.want) || !strings.Contains(got, "limits.view_timeout") {
			t.Errorf("%s: %s", c.method, got)
		}
	}
}

// lateViews finds no view ready in time.
type lateViews struct{ *fakeExecution }

func (lateViews) View(context.Context, *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	late := &ordov1.ViewError{Code: ordov1.ViewError_TIMEOUT, Error: &ordov1.ContractError{Message: "no answer within 20000 ms"}}
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Error{Error: late}}, nil
}
