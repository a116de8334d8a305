package fakestage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// What the first word of calldata makes a transaction do.
const (
	Plain   = iota
	Reverts // it fails and pays
	Rejects // it does not enter the block
	Breaks  // the stream of the build, once
	Hangs   // once
	Kills   // the process, always
)

// Execution runs transactions of accounts that have a nonce, and a counter of it each at contract 0x100.
type Execution struct {
	ordov1.UnimplementedExecutionServer
	Read  ordov1.StorageReadClient
	Limit int           // transactions in a block; 0: none
	Delay time.Duration // of each transaction
	Die   func()        // ends the process

	Mu     sync.Mutex
	Down   bool              // every call fails
	Broken map[felt.Key]bool // transactions that have broken a stream
	tip    uint64
	state  map[felt.Key]uint64 // nonces that storage may not have yet
	closed map[uint64]map[felt.Key]uint64
}

// NewExecution makes an execution that no transaction has broken yet.
func NewExecution() *Execution { return &Execution{Broken: map[felt.Key]bool{}} }

func (f *Execution) nonce(ctx context.Context, overlay map[felt.Key]uint64, account felt.Key) (uint64, error) {
	if n, ok := overlay[account]; ok {
		return n, nil
	}
	f.Mu.Lock()
	n, ok := f.state[account]
	f.Mu.Unlock()
	if ok {
		return n, nil
	}
	state, err := f.Read.State(ctx, &ordov1.StateRequest{Nonces: account[:]})
	if err != nil {
		return 0, err
	}
	return number(state.Nonces), nil
}

// Build implements ordov1.ExecutionServer.
func (f *Execution) Build(stream ordov1.Execution_BuildServer) error {
	var attempt uint64
	var txs []*ordov1.Transaction
	var results []*ordov1.TransactionResult
	overlay := map[felt.Key]uint64{}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.Mu.Lock()
		tip, down := f.tip, f.Down
		f.Mu.Unlock()
		if down {
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
			nonces := map[felt.Key]uint64{}
			for _, tx := range step.Add.Transactions {
				if f.Limit > 0 && len(results) == f.Limit {
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
			if f.Limit > 0 && len(results) == f.Limit && len(out.Results) < len(step.Add.Transactions) {
				if err := stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Full_{Full: &ordov1.BuildResponse_Full{N: uint64(len(results)), Why: "count"}}}); err != nil {
					return err
				}
			}
		case *ordov1.BuildRequest_Close_:
			n := int(step.Close.N)
			if n > len(results) {
				return status.Error(codes.InvalidArgument, "close beyond the results")
			}
			final := map[felt.Key]uint64{}
			for i, r := range results[:n] {
				if r.Status != ordov1.TransactionResult_REJECTED && txs[i].Type != ordov1.TransactionType_L1_HANDLER {
					final[felt.Key(txs[i].Sender)] = number(txs[i].Nonce) + 1
				}
			}
			f.Mu.Lock()
			f.closed[attempt] = final
			f.Mu.Unlock()
			return stream.Send(&ordov1.BuildResponse{Step: &ordov1.BuildResponse_Closed_{Closed: &ordov1.BuildResponse_Closed{N: step.Close.N, StateDiff: diffOf(final), GasUsed: &ordov1.Gas{}}}})
		case *ordov1.BuildRequest_Abort_:
			return nil
		}
	}
}

func (f *Execution) execute(ctx context.Context, overlay, changed map[felt.Key]uint64, tx *ordov1.Transaction) (*ordov1.TransactionResult, error) {
	r := &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: word(7)[felt.Size-16:], Gas: &ordov1.Gas{L2Gas: 5}, DaGas: &ordov1.Gas{},
		Events: []*ordov1.Event{{FromAddress: tx.Sender, Keys: word(1), Data: tx.Nonce}}}
	time.Sleep(f.Delay)
	sender := felt.Key(tx.Sender)
	nonce, err := f.nonce(ctx, overlay, sender)
	if err != nil {
		return nil, err
	}
	want, what := number(tx.Nonce), uint64(Plain)
	if len(tx.Calldata) >= felt.Size {
		what = number(tx.Calldata[:felt.Size])
	}
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return r, nil // no nonce
	}
	switch {
	case nonce != want:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_INVALID_NONCE, Reason: fmt.Sprintf("nonce %d, account at %d", want, nonce)}, nil
	case len(tx.Signature) == 0:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_VALIDATION_FAILURE, Reason: "no signature"}, nil
	case what == Rejects:
		return &ordov1.TransactionResult{Hash: tx.Hash, Status: ordov1.TransactionResult_REJECTED, Rejection: ordov1.RejectionCode_VALIDATION_FAILURE, Reason: "no"}, nil
	case what == Breaks:
		f.Mu.Lock()
		before := f.Broken[felt.Key(tx.Hash)]
		f.Broken[felt.Key(tx.Hash)] = true
		f.Mu.Unlock()
		if !before {
			return nil, status.Error(codes.Internal, "a worker panicked")
		}
	case what == Hangs:
		f.Mu.Lock()
		before := f.Broken[felt.Key(tx.Hash)]
		f.Broken[felt.Key(tx.Hash)] = true
		f.Mu.Unlock()
		if !before {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	case what == Kills:
		f.Die()
		return nil, status.Error(codes.Unavailable, "the process is gone")
	case what == Reverts:
		r.Status, r.Reason, r.Events = ordov1.TransactionResult_REVERTED, "out of luck", nil
	}
	overlay[sender], changed[sender] = nonce+1, nonce+1
	return r, nil
}

// diffOf is the state diff of these nonces, in canonical form.
func diffOf(nonces map[felt.Key]uint64) *ordov1.StateDiff {
	d := &ordov1.StateDiff{}
	if len(nonces) == 0 {
		return d
	}
	counters := &ordov1.ContractStorage{Address: word(0x100)}
	for _, account := range slices.SortedFunc(maps.Keys(nonces), func(a, b felt.Key) int { return bytes.Compare(a[:], b[:]) }) {
		d.Nonces = append(append(d.Nonces, account[:]...), word(nonces[account])...)
		counters.Entries = append(append(counters.Entries, account[:]...), word(nonces[account])...)
	}
	d.Storage = []*ordov1.ContractStorage{counters}
	return d
}

// word is a number as a felt.
func word(n uint64) []byte { return felt.FromUint64(n).Append(nil) }

// number is a felt as a number.
func number(f []byte) uint64 {
	if len(f) < felt.Size {
		return 0
	}
	return binary.BigEndian.Uint64(f[felt.Size-8:])
}

// Validate implements ordov1.ExecutionServer: it tells the nonces at the tip.
func (f *Execution) Validate(ctx context.Context, r *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	out := &ordov1.ValidateResponse{}
	for _, item := range r.Items {
		var nonce uint64
		if tx := item.Transaction; tx.Type != ordov1.TransactionType_L1_HANDLER {
			var err error
			if nonce, err = f.nonce(ctx, nil, felt.Key(tx.Sender)); err != nil {
				return nil, err
			}
		}
		out.Verdicts = append(out.Verdicts, &ordov1.ValidateResponse_Verdict{AccountNonce: word(nonce)})
	}
	return out, nil
}

// Apply implements ordov1.ExecutionServer.
func (f *Execution) Apply(_ context.Context, r *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	switch {
	case f.Down:
		return nil, status.Error(codes.Unavailable, "execution is gone")
	case r.Adopt:
		f.tip, f.state, f.closed = r.Height, map[felt.Key]uint64{}, map[uint64]map[felt.Key]uint64{}
	case r.Height != f.tip+1 || f.closed[r.BuildId] == nil:
		return nil, status.Errorf(codes.FailedPrecondition, "apply %d of build %d on tip %d", r.Height, r.BuildId, f.tip)
	default:
		for account, n := range f.closed[r.BuildId] {
			f.state[account] = n
		}
		f.tip, f.closed = r.Height, map[uint64]map[felt.Key]uint64{}
	}
	return &ordov1.ApplyResponse{HasTip: true, Tip: f.tip}, nil
}
