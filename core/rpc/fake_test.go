package rpc

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// dial serves gRPC in memory and connects to it.
func dial(t testing.TB, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	return fakestage.Dial(t, register, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
}

// fakeStorage has a chain in memory, and proves its last states.
type fakeStorage struct {
	fakestage.Chain
	noProofs  bool                         // Proofs is not served
	badProofs func(*ordov1.ProofsResponse) // spoils an answer; may be nil
}

// fakeExecution gives scripted outcomes by the contract or sender that is asked for.
type fakeExecution struct {
	ordov1.UnimplementedExecutionServer
	verdicts map[Key]*ordov1.ValidateResponse_Verdict
	errors   map[Key]*ordov1.ViewError
}

func (f *fakeExecution) Validate(_ context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	out := &ordov1.ValidateResponse{}
	for _, item := range q.Items {
		verdict, ok := f.verdicts[judged(item.Transaction)]
		if !ok {
			verdict = &ordov1.ValidateResponse_Verdict{}
		}
		out.Verdicts = append(out.Verdicts, verdict)
	}
	return out, nil
}

func (f *fakeExecution) View(_ context.Context, q *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	if call := q.GetCall(); call != nil {
		if e, ok := f.errors[Key(call.Contract)]; ok {
			return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Error{Error: e}}, nil
		}
		return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: append(call.Contract[:32:32], call.Calldata...)}}, nil
	}
	out := &ordov1.SimulationResults{}
	for i, tx := range q.GetSimulate().Transactions {
		if e, ok := f.errors[Key(tx.Sender)]; ok {
			failed := &ordov1.ViewError{Code: e.Code, Index: uint32(i), Error: e.Error}
			return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Error{Error: failed}}, nil
		}
		out.Transactions = append(out.Transactions, simulatedTransaction(tx))
	}
	if q.GetSimulate().InitialReads {
		out.InitialReads = &ordov1.InitialReads{
			Storage: []*ordov1.ContractStorage{{Address: fe(0x77), Entries: fes(1, 2)}}, Nonces: fes(0x77, 3), ClassHashes: fes(0x77, 4), Declared: fes(4, 1),
		}
	}
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Simulation{Simulation: out}}, nil
}

func simulatedTransaction(tx *ordov1.Transaction) *ordov1.SimulatedTransaction {
	call := func(contract uint64, calls ...*ordov1.FunctionInvocation) *ordov1.FunctionInvocation {
		return &ordov1.FunctionInvocation{
			Contract: fe(contract), Selector: fe(5), Calldata: fes(1, 2), Caller: fe(0), ClassHash: fe(0xc1), Result: fes(1), Calls: calls,
			EntryPoint: ordov1.FunctionInvocation_EXTERNAL, CallType: ordov1.FunctionInvocation_CALL, Gas: &ordov1.Gas{L2Gas: 9},
		}
	}
	inner := call(0x88)
	inner.Events = []*ordov1.OrderedEvent{{Order: 0, Keys: fes(0xe1), Data: fes(7)}}
	inner.Messages = []*ordov1.OrderedMessage{{Order: 1, FromAddress: fe(0x88), ToAddress: fe(0xabc), Payload: fes(1)}}
	trace := &ordov1.Trace{
		Type: tx.Type, Validate: call(0x77), Execute: call(0x77, inner), FeeTransfer: call(0x99), Gas: &ordov1.Gas{L1DataGas: 128, L2Gas: 1000},
		StateDiff: &ordov1.StateDiff{Nonces: fes(0x77, 1)},
	}
	if tx.Tip == 13 {
		trace.RevertReason, trace.Execute = "out of <luck>", nil
	}
	return &ordov1.SimulatedTransaction{
		Trace: trace,
		Fee: &ordov1.FeeEstimate{
			Gas: &ordov1.Gas{L1Gas: 1, L1DataGas: 2, L2Gas: 3}, L1GasPrice: u128(10), L1DataGasPrice: u128(11), L2GasPrice: u128(12),
			OverallFee: u128(68 + 3*(tx.Tip+5)), // with the tip, and something on top
			Wei:        tx.Type == ordov1.TransactionType_L1_HANDLER,
		},
		Result: &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED},
	}
}

func (f *fakeExecution) Compile(_ context.Context, q *ordov1.CompileRequest) (*ordov1.CompileResponse, error) {
	class, err := gateway.DecodeClass(q.Sierra)
	if err != nil {
		return &ordov1.CompileResponse{Rejection: ordov1.RejectionCode_COMPILATION_FAILED, Reason: err.Error()}, nil
	}
	return &ordov1.CompileResponse{Class: &ordov1.Class{Hash: class.Hash, Kind: ordov1.Class_SIERRA, CompiledClassHash: fe(0xcc), Casm: []byte("{}")}}, nil
}

// fakePool keeps what it is given, and refuses what it is told to.
type fakePool struct {
	chain     *chainview.Chain
	errors    map[Key]error
	deploying map[Key]bool
}

func (p *fakePool) SubmitAt(_ context.Context, tx *ordov1.Transaction, _ *ordov1.Class, _ uint64) error {
	if err := p.errors[judged(tx)]; err != nil {
		return err
	}
	if p.chain.Status(Key(tx.Hash)).Status != chainview.Unknown {
		return mempool.ErrDuplicate
	}
	p.chain.Received(tx)
	return nil
}

func (p *fakePool) Deploying(account []byte) bool { return p.deploying[Key(account)] }

func fe(n uint64) []byte { return felt.FromUint64(n).Append(nil) }

func fes(list ...uint64) (out []byte) {
	for _, n := range list {
		out = append(out, fe(n)...)
	}
	return out
}

func u128(n uint64) []byte { return fe(n)[16:] }
