package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
	"github.com/ordo-sequencer/ordo/test/grammar"
)

// serve puts services on an in-memory connection, with real gRPC in between and a recorder of what is called.
func serve(t testing.TB, recorder *grammar.Recorder, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	return fakestage.Dial(t, register, grpc.WithChainUnaryInterceptor(recorder.Unary), grpc.WithChainStreamInterceptor(recorder.Stream))
}

func num(n uint64) []byte { return new(big.Int).SetUint64(n).FillBytes(make([]byte, 32)) }

// ---- execution: accounts with nonces, and a counter each at contract 0x100 ----

// What the first word of calldata makes a transaction do.
const (
	plain = iota
	reverts
	rejects
	breaks // the stream of the build, once
	hangs  // once
	kills  // the process, always
)

type fakeExecution struct {
	ordov1.UnimplementedExecutionServer
	read   ordov1.StorageReadClient
	limit  int // transactions in a block; 0: none
	mu     sync.Mutex
	tip    uint64
	hasTip bool
	state  map[mempool.Key]uint64 // nonces that storage may not have yet
	closed map[uint64]map[mempool.Key]uint64
	broken map[mempool.Key]bool // transactions that have broken a stream
	dead   bool
	delay  time.Duration // of each transaction
	die    func()        // ends the process
}

func (f *fakeExecution) nonce(ctx context.Context, overlay map[mempool.Key]uint64, account mempool.Key) (uint64, error) {
	if n, ok := overlay[account]; ok {
		return n, nil
	}
	f.mu.Lock()
	n, ok := f.state[account]
	f.mu.Unlock()
	if ok {
		return n, nil
	}
	state, err := f.read.State(ctx, &ordov1.StateRequest{Nonces: account[:]})
	if err != nil {
		return 0, err
	}
	n, _ = mempool.Nonce(state.Nonces)
	return n, nil
}

func (f *fakeExecution) Build(stream ordov1.Execution_BuildServer) error {
	var attempt uint64
	var txs []*ordov1.Transaction
	var results []*ordov1.TransactionResult
	overlay := map[mempool.Key]uint64{}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.mu.Lock()
		tip, dead := f.tip, f.dead
		f.mu.Unlock()
		if dead {
			return status.Error(codes.Unavailable, "execution is gone")
		}
		switch step := request.Step.(type) {
		case *ordov1.BuildRequest_Open_:
			if step.Open.Context.Number != tip+1 {
				return status.Errorf(codes.FailedPrecondition, "block %d on tip %d", step.Open.Context.Number, tip)
			}
			attempt = step.Open.BuildId
			if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Opened_{Opened: &ordov1.BuildResponse_Opened{}}}); err != nil {
				return err
			}
		case *ordov1.BuildRequest_Add_:
			out := &ordov1.BuildResponse_Results{First: uint64(len(results))}
			nonces := map[mempool.Key]uint64{}
			for _, tx := range step.Add.Transactions {
				if f.limit > 0 && len(results) == f.limit {
					break
				}
				r, err := f.execute(stream.Context(), overlay, nonces, tx)
				if err != nil {
					return err
				}
				txs, results, out.Results = append(txs, tx), append(results, r), append(out.Results, r)
			}
			out.Delta = diffOf(nonces)
			if len(out.Results) > 0 {
				if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Results_{Results: out}}); err != nil {
					return err
				}
			}
			if f.limit > 0 && len(results) == f.limit && len(out.Results) < len(step.Add.Transactions) {
				if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Full_{Full: &ordov1.BuildResponse_Full{N: uint64(len(results)), Why: "count"}}}); err != nil {
					return err
				}
			}
		case *ordov1.BuildRequest_Close_:
			n := int(step.Close.N)
			if n > len(results) {
				return status.Error(codes.InvalidArgument, "close beyond the results")
			}
			final := map[mempool.Key]uint64{}
			for i, r := range results[:n] {
				if r.Status != ordov1.TransactionResult_REJECTED && txs[i].Type != ordov1.TransactionType_L1_HANDLER {
					nonce, _ := mempool.Nonce(txs[i].Nonce)
					final[mempool.Key(txs[i].Sender)] = nonce + 1
				}
			}
			f.mu.Lock()
			f.closed[attempt] = final
			f.mu.Unlock()
			return stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Closed_{Closed: &ordov1.BuildResponse_Closed{N: step.Close.N, StateDiff: diffOf(final), GasUsed: &ordov1.Gas{}}}})
		case *ordov1.BuildRequest_Abort_:
			return nil
		}
	}
}

func (f *fakeExecution) execute(ctx context.Context, overlay, changed map[mempool.Key]uint64, tx *ordov1.Transaction) (*ordov1.TransactionResult, error) {
	r := &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: u128(7), Gas: &ordov1.Gas{L2Gas: 5}, DaGas: &ordov1.Gas{},
		Events: []*ordov1.Event{{FromAddress: tx.Sender, Keys: num(1), Data: tx.Nonce}}}
	time.Sleep(f.delay)
	sender := mempool.Key(tx.Sender)
	nonce, err := f.nonce(ctx, overlay, sender)
	if err != nil {
		return nil, err
	}
	want, _ := mempool.Nonce(tx.Nonce)
	what := uint64(plain)
	if len(tx.Calldata) >= 32 {
		what, _ = mempool.Nonce(tx.Calldata[:32])
	}
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return r, nil // no nonce
	}
	switch {
	case nonce != want:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_INVALID_NONCE, Reason: fmt.Sprintf("nonce %d, account at %d", want, nonce)}, nil
	case len(tx.Signature) == 0:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_VALIDATION_FAILURE, Reason: "no signature"}, nil
	case what == rejects:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_VALIDATION_FAILURE, Reason: "no"}, nil
	case what == breaks:
		f.mu.Lock()
		before := f.broken[mempool.Key(tx.Hash)]
		f.broken[mempool.Key(tx.Hash)] = true
		f.mu.Unlock()
		if !before {
			return nil, status.Error(codes.Internal, "a worker panicked")
		}
	case what == hangs:
		f.mu.Lock()
		before := f.broken[mempool.Key(tx.Hash)]
		f.broken[mempool.Key(tx.Hash)] = true
		f.mu.Unlock()
		if !before {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	case what == kills:
		f.die()
		return nil, status.Error(codes.Unavailable, "the process is gone")
	case what == reverts:
		r.Status, r.Reason, r.Events = ordov1.TransactionResult_REVERTED, "out of luck", nil
	}
	overlay[sender], changed[sender] = nonce+1, nonce+1
	return r, nil
}

func diffOf(nonces map[mempool.Key]uint64) *ordov1.StateDiff {
	d := &ordov1.StateDiff{Nonces: nil}
	counters := &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: num(0x100)}}}
	for account, n := range nonces {
		d.Nonces = append(append(d.Nonces, account[:]...), num(n)...)
		counters.Storage[0].Entries = append(append(counters.Storage[0].Entries, account[:]...), num(n)...)
	}
	if len(nonces) == 0 {
		counters = nil
	}
	return chainview.Merge([]*ordov1.StateDiff{d, counters}) // sorted
}

// Validate tells the nonces at the tip.
func (f *fakeExecution) Validate(ctx context.Context, r *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	out := &ordov1.ValidateResponse{}
	for _, item := range r.Items {
		var nonce uint64
		if tx := item.Transaction; tx.Type != ordov1.TransactionType_L1_HANDLER {
			var err error
			if nonce, err = f.nonce(ctx, nil, mempool.Key(tx.Sender)); err != nil {
				return nil, err
			}
		}
		out.Verdicts = append(out.Verdicts, &ordov1.ValidateResponse_Verdict{AccountNonce: num(nonce)})
	}
	return out, nil
}

func (f *fakeExecution) Apply(_ context.Context, r *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.dead:
		return nil, status.Error(codes.Unavailable, "execution is gone")
	case r.Adopt:
		f.tip, f.hasTip, f.state, f.closed = r.Height, true, map[mempool.Key]uint64{}, map[uint64]map[mempool.Key]uint64{}
	case r.Height != f.tip+1 || f.closed[r.BuildId] == nil:
		return nil, status.Errorf(codes.FailedPrecondition, "apply %d of build %d on tip %d", r.Height, r.BuildId, f.tip)
	default:
		for account, n := range f.closed[r.BuildId] {
			f.state[account] = n
		}
		f.tip, f.closed = r.Height, map[uint64]map[mempool.Key]uint64{}
	}
	return &ordov1.ApplyResponse{HasTip: true, Tip: f.tip}, nil
}

// ---- ordering ----

type fakeOrdering struct {
	ordov1.UnimplementedOrderingServer
	mu       sync.Mutex
	dead     bool
	restless bool // a new generation in each answer
	calls    uint64
}

func (f *fakeOrdering) Score(_ context.Context, r *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, status.Error(codes.Unavailable, "ordering is gone")
	}
	f.calls++
	out := &ordov1.ScoreResponse{Generation: 1}
	if f.restless {
		out.Generation = f.calls
	}
	for _, view := range r.Transactions {
		out.Hi = append(out.Hi, view.Tip)
	}
	return out, nil
}
