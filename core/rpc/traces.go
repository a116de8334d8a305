package rpc

import (
	"context"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func (s *Server) traceMethods() map[string]Method {
	return map[string]Method{
		"starknet_traceTransaction":       {Params: []string{"transaction_hash"}, Call: s.traceTransaction},
		"starknet_traceBlockTransactions": {Params: []string{"block_id", "trace_flags"}, Call: s.traceBlock},
	}
}

func (s *Server) traceTransaction(ctx context.Context, p *jsonin.Object) (any, error) {
	at, err := s.findParam(ctx, p)
	if err != nil {
		return nil, err
	}
	if at.ref == nil {
		return nil, withData(errNoTrace, map[string]string{"status": "RECEIVED"})
	}
	txs, _, err := s.body(ctx, at.ref, false)
	if err != nil {
		return nil, err
	}
	if at.index >= len(txs) {
		return nil, errTransactionNotFound
	}
	out, err := s.replay(ctx, at.ref, txs[:at.index+1], at.index, false)
	if err != nil {
		return nil, err
	}
	return newTrace(at.tx.Type, out.Transactions[at.index].Trace), nil
}

func (s *Server) traceBlock(ctx context.Context, p *jsonin.Object) (any, error) {
	reads := p.Flags("trace_flags", true, "RETURN_INITIAL_READS")[0]
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	if ref.accepted == nil {
		return nil, jsonin.In("block_id", jsonin.Errorf("a pre_confirmed block has no traces of its own: trace its transactions one by one"))
	}
	txs, _, err := s.body(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	out := &ordov1.SimulationResults{}
	if len(txs) > 0 {
		if out, err = s.replay(ctx, ref, txs, 0, reads); err != nil {
			return nil, err
		}
	}
	type traced struct {
		Hash  hexFelt `json:"transaction_hash"`
		Trace any     `json:"trace_root"`
	}
	list := make([]traced, 0, len(txs))
	for i, t := range out.Transactions {
		list = append(list, traced{txs[i].Hash, newTrace(txs[i].Type, t.Trace)})
	}
	if !reads {
		return list, nil
	}
	return struct {
		List  []traced     `json:"traces"`
		Reads initialReads `json:"initial_reads"`
	}{list, newInitialReads(out.InitialReads)}, nil
}

// replay runs the first transactions of a block again, on the state before the block.
func (s *Server) replay(ctx context.Context, ref *BlockRef, txs []*ordov1.Transaction, from int, reads bool) (*ordov1.SimulationResults, error) {
	at := &ordov1.StateAt{At: &ordov1.StateAt_Height{Height: ref.number - 1}}
	if ref.accepted == nil && ref.tip {
		at = &ordov1.StateAt{At: &ordov1.StateAt_Tip{Tip: true}} // the open block stands on it
	}
	q := &ordov1.Simulation{Transactions: txs, Trace: true, TraceFrom: uint32(from), Replay: true, InitialReads: reads}
	for _, tx := range txs {
		if tx.Type != ordov1.TransactionType_DECLARE {
			continue
		}
		class, ok := ref.view.Class(Key(tx.ClassHash))
		if !ok {
			var err error
			if class, err = s.storedClass(ctx, &ordov1.ClassesRequest{Hashes: tx.ClassHash, Definition: true, Casm: true}); err != nil {
				return nil, err
			}
		}
		if class != nil {
			q.Classes = append(q.Classes, class)
		}
	}
	out, err := s.simulate(ctx, at, ref.Context(), q)
	if failed, ok := err.(*failedView); ok {
		if failed.outcome.Code == ordov1.ViewError_STATE_NOT_FOUND {
			return nil, errNoTrace // the state before the block is not kept
		}
		// They ran once, so this is no error of the client's.
		return nil, fmt.Errorf("replay of block %d: %s", ref.number, failed.Error())
	}
	return out, err
}

// sharedTrace is what the traces of all kinds have.
type sharedTrace struct {
	Type      string     `json:"type"`
	StateDiff *stateDiff `json:"state_diff,omitempty"`
	Resources resources  `json:"execution_resources"`
}

// newTrace shows a trace in the shape of the transaction's kind.
func newTrace(kind ordov1.TransactionType, t *ordov1.Trace) any {
	common := sharedTrace{Type: kind.String(), Resources: newResources(t.GetGas())}
	if t.GetStateDiff() != nil {
		common.StateDiff = newStateDiff(t.StateDiff, nil)
	}
	validate, transfer := newInvocation(t.GetValidate()), newInvocation(t.GetFeeTransfer())
	switch kind {
	case ordov1.TransactionType_DECLARE:
		return struct {
			sharedTrace
			Validate *invocation `json:"validate_invocation,omitempty"`
			Transfer *invocation `json:"fee_transfer_invocation,omitempty"`
		}{common, validate, transfer}
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		return struct {
			sharedTrace
			Validate    *invocation `json:"validate_invocation,omitempty"`
			Constructor any         `json:"constructor_invocation"`
			Transfer    *invocation `json:"fee_transfer_invocation,omitempty"`
		}{common, validate, revertible(t), transfer}
	case ordov1.TransactionType_L1_HANDLER:
		return struct {
			sharedTrace
			Function any `json:"function_invocation"`
		}{common, revertible(t)}
	}
	return struct {
		sharedTrace
		Validate *invocation `json:"validate_invocation,omitempty"`
		Execute  any         `json:"execute_invocation"`
		Transfer *invocation `json:"fee_transfer_invocation,omitempty"`
	}{common, validate, revertible(t), transfer}
}

// revertible is the call, or why it reverted.
func revertible(t *ordov1.Trace) any {
	if reason := t.GetRevertReason(); reason != "" {
		return struct {
			Reason string `json:"revert_reason"`
		}{reason}
	}
	return newInvocation(t.GetExecute())
}

type invocation struct {
	Contract   hexFelt        `json:"contract_address"`
	Selector   hexFelt        `json:"entry_point_selector"`
	Calldata   hexFelts       `json:"calldata"`
	Caller     hexFelt        `json:"caller_address"`
	Class      hexFelt        `json:"class_hash"`
	EntryPoint string         `json:"entry_point_type"`
	CallType   string         `json:"call_type"`
	Result     hexFelts       `json:"result"`
	Calls      []*invocation  `json:"calls"`
	Events     []tracedEvent  `json:"events"`
	Messages   []tracedNotice `json:"messages"`
	Resources  innerResources `json:"execution_resources"`
	Reverted   bool           `json:"is_reverted"`
}

type innerResources struct {
	L1Gas uint64 `json:"l1_gas"`
	L2Gas uint64 `json:"l2_gas"`
}

type tracedEvent struct {
	Order uint32   `json:"order"`
	Keys  hexFelts `json:"keys"`
	Data  hexFelts `json:"data"`
}

type tracedNotice struct {
	Order uint32 `json:"order"`
	messageToL1
}

func newInvocation(f *ordov1.FunctionInvocation) *invocation {
	if f == nil {
		return nil
	}
	out := &invocation{
		Contract: f.Contract, Selector: f.Selector, Calldata: f.Calldata, Caller: f.Caller, Class: f.ClassHash,
		EntryPoint: entryPointName(f.EntryPoint), CallType: callTypeName(f.CallType), Result: f.Result, Reverted: f.Reverted,
		Resources: innerResources{f.Gas.GetL1Gas(), f.Gas.GetL2Gas()},
		Calls:     make([]*invocation, len(f.Calls)), Events: make([]tracedEvent, len(f.Events)), Messages: make([]tracedNotice, len(f.Messages)),
	}
	for i, c := range f.Calls {
		out.Calls[i] = newInvocation(c)
	}
	for i, e := range f.Events {
		out.Events[i] = tracedEvent{e.Order, e.Keys, e.Data}
	}
	for i, m := range f.Messages {
		out.Messages[i] = tracedNotice{m.Order, messageToL1{m.FromAddress, m.ToAddress, m.Payload}}
	}
	return out
}

func entryPointName(e ordov1.FunctionInvocation_EntryPoint) string {
	switch e {
	case ordov1.FunctionInvocation_L1_HANDLER_ENTRY:
		return "L1_HANDLER"
	case ordov1.FunctionInvocation_CONSTRUCTOR:
		return "CONSTRUCTOR"
	}
	return "EXTERNAL"
}

func callTypeName(c ordov1.FunctionInvocation_CallType) string {
	switch c {
	case ordov1.FunctionInvocation_LIBRARY_CALL:
		return "LIBRARY_CALL"
	case ordov1.FunctionInvocation_DELEGATE:
		return "DELEGATE"
	}
	return "CALL"
}

type initialReads struct {
	Storage  []readSlot     `json:"storage"`
	Nonces   []nonceUpdate  `json:"nonces"`
	Classes  []replaced     `json:"class_hashes"`
	Declared []readDeclared `json:"declared_contracts"`
}

type readSlot struct {
	Contract hexFelt `json:"contract_address"`
	Key      hexFelt `json:"key"`
	Value    hexFelt `json:"value"`
}

type readDeclared struct {
	Class    hexFelt `json:"class_hash"`
	Declared bool    `json:"is_declared"`
}

func newInitialReads(r *ordov1.InitialReads) initialReads {
	out := initialReads{Storage: []readSlot{}, Nonces: []nonceUpdate{}, Classes: []replaced{}, Declared: []readDeclared{}}
	for _, c := range r.GetStorage() {
		for key, value := range felt.Pairs(c.Entries) {
			out.Storage = append(out.Storage, readSlot{c.Address, key, value})
		}
	}
	for key, value := range felt.Pairs(r.GetNonces()) {
		out.Nonces = append(out.Nonces, nonceUpdate{key, value})
	}
	for key, value := range felt.Pairs(r.GetClassHashes()) {
		out.Classes = append(out.Classes, replaced{key, value})
	}
	for key, value := range felt.Pairs(r.GetDeclared()) {
		out.Declared = append(out.Declared, readDeclared{key, !isZero(value)})
	}
	return out
}
