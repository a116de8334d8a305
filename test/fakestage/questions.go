package fakestage

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Questions is an execution that is only asked. A test sets the answers; without one every transaction is valid, and a call gives back
// the contract and the calldata.
type Questions struct {
	ordov1.UnimplementedExecutionServer
	OnValidate func(context.Context, *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error)
	OnView     func(context.Context, *ordov1.ViewRequest) (*ordov1.ViewResponse, error)
	OnCompile  func(context.Context, *ordov1.CompileRequest) (*ordov1.CompileResponse, error)
}

// Validate implements ordov1.ExecutionServer.
func (q *Questions) Validate(ctx context.Context, r *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	if q.OnValidate != nil {
		return q.OnValidate(ctx, r)
	}
	return Valid(r, 0), nil
}

// Valid says of each transaction that it is valid, and that its account has this nonce.
func Valid(r *ordov1.ValidateRequest, nonce uint64) *ordov1.ValidateResponse {
	out := &ordov1.ValidateResponse{}
	for range r.Items {
		out.Verdicts = append(out.Verdicts, &ordov1.ValidateResponse_Verdict{AccountNonce: word(nonce)})
	}
	return out
}

// View implements ordov1.ExecutionServer.
func (q *Questions) View(ctx context.Context, r *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	if q.OnView != nil {
		return q.OnView(ctx, r)
	}
	call := r.GetCall()
	if call == nil {
		return nil, status.Error(codes.Unimplemented, "only calls have an answer without OnView")
	}
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: append(call.Contract[:32:32], call.Calldata...)}}, nil
}

// Compile implements ordov1.ExecutionServer.
func (q *Questions) Compile(ctx context.Context, r *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
	if q.OnCompile == nil {
		return nil, status.Error(codes.Unimplemented, "nothing is compiled without OnCompile")
	}
	return q.OnCompile(ctx, r)
}
