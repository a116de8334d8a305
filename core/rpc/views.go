package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

func (s *Server) viewMethods() map[string]Method {
	return map[string]Method{
		"starknet_call":                 {Params: []string{"request", "block_id"}, Call: s.callContract},
		"starknet_estimateFee":          {Params: []string{"request", "simulation_flags", "block_id"}, Call: s.estimateFee},
		"starknet_estimateMessageFee":   {Params: []string{"message", "block_id"}, Call: s.estimateMessageFee},
		"starknet_simulateTransactions": {Params: []string{"block_id", "transactions", "simulation_flags"}, Call: s.simulateTransactions},
	}
}

// stateAt names the state after the block to execution.
func stateAt(ref *BlockRef) *ordov1.StateAt {
	if ref.accepted == nil && ref.tip {
		return &ordov1.StateAt{At: &ordov1.StateAt_OpenBlock{OpenBlock: true}}
	}
	return &ordov1.StateAt{At: &ordov1.StateAt_Height{Height: ref.number}}
}

// view runs a view in execution, when its turn comes; a failed one is an error that the client reads.
func (s *Server) view(ctx context.Context, q *ordov1.ViewRequest) (r *ordov1.ViewResponse, err error) {
	leave, err := s.views.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	q.TimeoutMs = uint32(s.Limits.View / time.Millisecond)
	if !q.GetSimulate().GetReplay() { // what a chain holds can be traced, whatever it needed
		q.MemoryMib = uint64(s.Limits.ViewMemory)
	}
	err = s.execution.Put(ctx, questionOf(q), func(ctx context.Context) (err error) {
		r, err = s.Execution.View(ctx, q)
		return err
	})
	if err != nil {
		return nil, notViewed(err)
	}
	if e := r.GetError(); e != nil {
		if why := tooDear(e); why != "" && q.GetSimulate().GetReplay() {
			return nil, specError(codeBusy, "busy: "+why+": try again later")
		}
		return nil, &failedView{e, s.Limits.ViewMemory}
	}
	return r, nil
}

// tooDear is why a replay of transactions that a chain holds does not fit this node; "" when that is not the reason.
func tooDear(e *ordov1.ViewError) string {
	switch e.Code {
	case ordov1.ViewError_MEMORY:
		return "the trace needs more memory than the execution plugin has left (memory_mib of its configuration)"
	case ordov1.ViewError_TIMEOUT:
		return "the trace takes longer than this node allows (limits.view_timeout)"
	}
	return ""
}

// notViewed names what is no fault of the node's: execution is busy with what was given up, or the answer is larger than a
// message of the contract may be, which what is in blocks can be in any number of transactions.
func notViewed(err error) error {
	var said interface{ GRPCStatus() *status.Status }
	switch status.Code(err) {
	case codes.ResourceExhausted:
		errors.As(err, &said) // without the words that were put around it
		return specError(codeBusy, "busy: execution: "+said.GRPCStatus().Message())
	case codes.OutOfRange:
		return Errorf(InternalError, "the answer is larger than the %d MiB that execution may send at once: ask for less, such as for single transactions", sdk.MaxMessage>>20)
	case codes.Unimplemented:
		return specError(MethodNotFound, "not served by this node's execution plugin: it runs no calls, estimates, simulations and traces (capability "+sdk.CapView+")")
	}
	return fmt.Errorf("view: %w", err)
}

// questionOf names a view by what it runs: the block's number and time say nothing of it.
func questionOf(q *ordov1.ViewRequest) crash.Question {
	return crash.Question{Kind: crash.View, Names: func() []crash.Name {
		bare := &ordov1.ViewRequest{View: q.View}
		switch at := q.At.GetAt().(type) {
		case *ordov1.StateAt_Height:
			bare.At = &ordov1.StateAt{At: &ordov1.StateAt_Height{}}
		default:
			bare.At = &ordov1.StateAt{At: at}
		}
		raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(bare) // fails only on invalid UTF-8 in a string field, and those are ours
		return []crash.Name{{Key: sha256.Sum256(raw), What: "this call"}}
	}}
}

// failedView carries the outcome until it is known which shape of error the method has.
type failedView struct {
	outcome *ordov1.ViewError
	memory  int // MiB that it could have
}

func (f *failedView) Error() string {
	return fmt.Sprintf("%s: %s", f.outcome.Code, f.outcome.Error.GetMessage())
}

func (f *failedView) Unwrap() error { return viewError(f.outcome, f.memory) }

// ofTransaction is the failure as methods that run transactions tell it: they have one error for all that happens inside.
func (f *failedView) ofTransaction(missing bool) *failedView {
	e := f.outcome
	if e.Code == ordov1.ViewError_STATE_NOT_FOUND || e.Code == ordov1.ViewError_CONTRACT_NOT_FOUND && missing {
		return f
	}
	message := e.Error
	switch {
	case e.Code == ordov1.ViewError_MEMORY:
		message = &ordov1.ContractError{Frames: message.GetFrames(), Message: tooMuchMemory(f.memory, message.GetMessage())}
	case e.Code == ordov1.ViewError_TIMEOUT: // the plugin's words do not name the setting
		message = &ordov1.ContractError{Frames: message.GetFrames(), Message: tooLong}
	case message == nil:
		message = &ordov1.ContractError{Message: e.Code.String()}
	}
	return &failedView{&ordov1.ViewError{Code: ordov1.ViewError_EXECUTION_ERROR, Index: e.Index, Error: message}, f.memory}
}

func (s *Server) callContract(ctx context.Context, p *jsonin.Object) (any, error) {
	o := p.Object("request")
	call := &ordov1.CallView{Contract: o.Felt("contract_address"), Selector: o.Felt("entry_point_selector"), Calldata: o.Felts("calldata")}
	if n := len(call.Calldata) / felt.Size; n > s.Limits.Calldata {
		o.Fail("calldata", jsonin.Errorf("%d felts, at most %d are allowed", n, s.Limits.Calldata))
	}
	p.Fail("request", o.Done())
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	result, err := s.runCall(ctx, ref, call)
	return hexFelts(result), err
}

func (s *Server) runCall(ctx context.Context, ref *BlockRef, call *ordov1.CallView) ([]byte, error) {
	r, err := s.view(ctx, &ordov1.ViewRequest{At: stateAt(ref), Context: ref.Context(), View: &ordov1.ViewRequest_Call{Call: call}})
	return r.GetCall(), err
}

// simulate runs a simulation and checks that the answer fits.
func (s *Server) simulate(ctx context.Context, at *ordov1.StateAt, block *ordov1.BlockContext, q *ordov1.Simulation) (*ordov1.SimulationResults, error) {
	r, err := s.view(ctx, &ordov1.ViewRequest{At: at, Context: block, View: &ordov1.ViewRequest_Simulate{Simulate: q}})
	if failed, ok := err.(*failedView); ok {
		apart := q.Estimate && versionOf(ctx).has(missingContracts) // only estimates tell a missing contract apart
		if apart && beganNowhere(failed.outcome, q.Transactions) {
			return nil, errContractNotFound
		}
		return nil, failed.ofTransaction(apart)
	}
	if err != nil {
		return nil, err
	}
	out := r.GetSimulation()
	if len(out.GetTransactions()) != len(q.Transactions) {
		return nil, fmt.Errorf("execution: view: %d results of %d transactions", len(out.GetTransactions()), len(q.Transactions))
	}
	return out, nil
}

// beganNowhere tells whether a transaction failed because the contract that it begins in is not there: its only frame has no class.
func beganNowhere(e *ordov1.ViewError, txs []*ordov1.Transaction) bool {
	frames := e.GetError().GetFrames()
	return e.Code == ordov1.ViewError_EXECUTION_ERROR && int(e.Index) < len(txs) && len(frames) == 1 &&
		bytes.Equal(frames[0].Contract, txs[e.Index].Sender) && isZero(frames[0].ClassHash)
}

// broadcastParam reads a list of broadcast transactions.
func (s *Server) broadcastParam(ctx context.Context, p *jsonin.Object, name string) (q *ordov1.Simulation, err error) {
	items := p.List(name)
	if err := p.Err(); err != nil {
		return nil, err
	}
	if len(items) > s.Limits.Simulated {
		return nil, jsonin.In(name, jsonin.Errorf("%d transactions, at most %d are allowed", len(items), s.Limits.Simulated))
	}
	q = &ordov1.Simulation{}
	ctx = gateway.FromClient(ctx, placeOf(ctx))
	for i, item := range items {
		tx, class, err := s.Gateway.Read(ctx, item)
		if err != nil {
			return nil, unreadable(name, i, err)
		}
		q.Transactions = append(q.Transactions, tx)
		if class != nil {
			q.Classes = append(q.Classes, class)
		}
	}
	return q, nil
}

// unreadable is the error of a transaction that cannot be estimated. Estimates have no errors of their own for what the gateway
// rejects, so a class that does not compile is a failed execution, and an old version a wrong parameter.
func unreadable(name string, i int, err error) error {
	e, ok := clientError(err)
	switch refused, isRefused := err.(*gateway.Rejection); {
	case isRefused:
		return withData(errExecution, map[string]any{"transaction_index": i, "execution_error": refused.Error()})
	case ok && e.Code == errTransactionVersion.Code:
		return jsonin.In(name, jsonin.At(i, jsonin.In("version", err)))
	}
	return within(name, within(fmt.Sprintf("[%d]", i), err))
}

type feeEstimate struct {
	L1Gas          hexUint `json:"l1_gas_consumed"`
	L1GasPrice     hexFelt `json:"l1_gas_price"`
	L2Gas          hexUint `json:"l2_gas_consumed"`
	L2GasPrice     hexFelt `json:"l2_gas_price"`
	L1DataGas      hexUint `json:"l1_data_gas_consumed"`
	L1DataGasPrice hexFelt `json:"l1_data_gas_price"`
	Fee            hexFelt `json:"overall_fee"`
	Unit           string  `json:"unit"`
}

func newFeeEstimate(f *ordov1.FeeEstimate) feeEstimate {
	out := feeEstimate{
		L1Gas: hexUint(f.GetGas().GetL1Gas()), L1GasPrice: f.GetL1GasPrice(),
		L2Gas: hexUint(f.GetGas().GetL2Gas()), L2GasPrice: f.GetL2GasPrice(),
		L1DataGas: hexUint(f.GetGas().GetL1DataGas()), L1DataGasPrice: f.GetL1DataGasPrice(), Fee: overallFee(f), Unit: "FRI",
	}
	if f.GetWei() {
		out.Unit = "WEI"
	}
	return out
}

// maxFee is the largest u128, which the specification has for a fee.
var maxFee = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))

// overallFee is the specification's sum of gas times price. Execution also counts what the sender offers on top, the tip,
// and what bounds cut off: clients that compute the sum anew would come to another one.
func overallFee(f *ordov1.FeeEstimate) hexFelt {
	sum := new(big.Int)
	for _, part := range []struct {
		gas   uint64
		price []byte
	}{
		{f.GetGas().GetL1Gas(), f.GetL1GasPrice()}, {f.GetGas().GetL1DataGas(), f.GetL1DataGasPrice()}, {f.GetGas().GetL2Gas(), f.GetL2GasPrice()},
	} {
		price := new(big.Int).SetBytes(part.price)
		sum.Add(sum, price.Mul(price, new(big.Int).SetUint64(part.gas)))
	}
	if sum.Cmp(maxFee) > 0 {
		sum = maxFee
	}
	return sum.FillBytes(make([]byte, 16))
}

func (s *Server) estimateFee(ctx context.Context, p *jsonin.Object) (any, error) {
	flags := p.Flags("simulation_flags", false, "SKIP_VALIDATE")
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	q, err := s.broadcastParam(ctx, p, "request")
	if err != nil {
		return nil, err
	}
	answer := make([]feeEstimate, 0, len(q.Transactions))
	if len(q.Transactions) == 0 {
		return answer, nil
	}
	q.SkipValidate, q.SkipFeeCharge, q.Estimate = flags[0], true, true
	out, err := s.simulate(ctx, stateAt(ref), ref.Context(), q)
	if err != nil {
		return nil, err
	}
	for _, t := range out.Transactions {
		answer = append(answer, newFeeEstimate(t.Fee))
	}
	return answer, nil
}

func (s *Server) estimateMessageFee(ctx context.Context, p *jsonin.Object) (any, error) {
	o := p.Object("message")
	from := o.Raw("from_address")
	tx := &ordov1.Transaction{
		Type: ordov1.TransactionType_L1_HANDLER, Sender: o.Felt("to_address"), EntryPointSelector: o.Felt("entry_point_selector"),
		Nonce: make([]byte, felt.Size), QueryOnly: true,
	}
	payload := o.Felts("payload")
	if n := len(payload) / felt.Size; n > s.Limits.Calldata {
		o.Fail("payload", jsonin.Errorf("%d felts, at most %d are allowed", n, s.Limits.Calldata))
	}
	p.Fail("message", o.Done())
	if p.Err() == nil {
		sender, err := ethAddress(from)
		p.Fail("message", jsonin.In("from_address", err))
		tx.Calldata = append(padded(sender), payload...)
	}
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	// The fee is what is asked for; execution only wants to see that something was paid.
	tx.PaidFeeOnL1 = append(make([]byte, 15), 1)
	hash, err := wire.TransactionHash(tx, s.ChainID)
	if err != nil {
		return nil, err
	}
	tx.Hash = wire.FromFelt(hash)
	out, err := s.simulate(ctx, stateAt(ref), ref.Context(), &ordov1.Simulation{Transactions: []*ordov1.Transaction{tx}, SkipFeeCharge: true, Estimate: true})
	if err != nil {
		return nil, messageError(err)
	}
	estimate := newFeeEstimate(out.Transactions[0].Fee)
	estimate.Unit = "WEI"
	return estimate, nil
}

// messageError is the failure of a message: it is no transaction of the client's list, so the error is the contract's.
func messageError(err error) error {
	failed, ok := err.(*failedView)
	if !ok || failed.outcome.Code != ordov1.ViewError_EXECUTION_ERROR {
		return err
	}
	return withData(errContract, map[string]any{"revert_error": contractError(failed.outcome.Error)})
}

func ethAddress(raw json.RawMessage) ([]byte, error) {
	text, err := jsonin.String(raw)
	if err != nil {
		return nil, err
	}
	if len(text) != 42 {
		return nil, jsonin.Errorf("want 0x and 40 hex digits")
	}
	return jsonin.Hex(raw, 20)
}

func (s *Server) simulateTransactions(ctx context.Context, p *jsonin.Object) (any, error) {
	allowed := []string{"SKIP_VALIDATE", "SKIP_FEE_CHARGE", "RETURN_INITIAL_READS"}
	if !versionOf(ctx).has(readSets) {
		allowed = allowed[:2]
	}
	flags := p.Flags("simulation_flags", false, allowed...)
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	q, err := s.broadcastParam(ctx, p, "transactions")
	if err != nil {
		return nil, err
	}
	q.SkipValidate, q.SkipFeeCharge, q.InitialReads, q.Trace = flags[0], flags[1], len(flags) > 2 && flags[2], true
	out := &ordov1.SimulationResults{}
	if len(q.Transactions) > 0 {
		if out, err = s.simulate(ctx, stateAt(ref), ref.Context(), q); err != nil {
			return nil, err
		}
	}
	type simulated struct {
		Trace any         `json:"transaction_trace"`
		Fee   feeEstimate `json:"fee_estimation"`
	}
	list := make([]simulated, 0, len(out.Transactions))
	for i, t := range out.Transactions {
		list = append(list, simulated{newTrace(q.Transactions[i].Type, t.Trace), newFeeEstimate(t.Fee)})
	}
	if !q.InitialReads {
		return list, nil
	}
	return struct {
		List  []simulated  `json:"simulated_transactions"`
		Reads initialReads `json:"initial_reads"`
	}{list, newInitialReads(out.InitialReads)}, nil
}
