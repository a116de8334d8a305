package rpc

import (
	"context"
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/rpc/input"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func (s *Server) writeMethods() map[string]method {
	return map[string]method{
		"starknet_addInvokeTransaction":        {params: []string{"invoke_transaction"}, call: s.add("invoke_transaction", "INVOKE")},
		"starknet_addDeclareTransaction":       {params: []string{"declare_transaction"}, call: s.add("declare_transaction", "DECLARE")},
		"starknet_addDeployAccountTransaction": {params: []string{"deploy_account_transaction"}, call: s.add("deploy_account_transaction", "DEPLOY_ACCOUNT")},
	}
}

type added struct {
	Hash     hexFelt `json:"transaction_hash"`
	Class    hexFelt `json:"class_hash,omitempty"`
	Contract hexFelt `json:"contract_address,omitempty"`
}

// add hands a transaction of one kind to ingress.
func (s *Server) add(param, kind string) func(context.Context, *input.Object) (any, error) {
	return func(ctx context.Context, p *input.Object) (any, error) {
		raw := p.Raw(param)
		if err := p.Err(); err != nil {
			return nil, err
		}
		if err := ofKind(raw, kind); err != nil {
			return nil, input.In(param, err)
		}
		tx, err := s.Ingress.Submit(ctx, raw)
		if err != nil {
			return nil, s.notTaken(ctx, param, err)
		}
		if s.Devnet != nil {
			s.underway.add(tx.Hash)
		}
		if err := s.settle(ctx, tx.Hash); err != nil {
			return nil, err
		}
		answer := added{Hash: tx.Hash}
		switch tx.Type {
		case ordov1.TransactionType_DECLARE:
			answer.Class = tx.ClassHash
		case ordov1.TransactionType_DEPLOY_ACCOUNT:
			answer.Contract = tx.Sender
		}
		return answer, nil
	}
}

// notTaken is what the client reads about a transaction that was not taken; faults of the node are logged.
func (s *Server) notTaken(ctx context.Context, param string, err error) error {
	e, fault := writeError(within(param, err))
	if fault && ctx.Err() == nil {
		s.Log.Warn("rpc: a transaction could not be taken", "error", err)
	}
	return e
}

// ofKind: each method takes one kind of transaction.
func ofKind(raw json.RawMessage, kind string) error {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(raw, &head) == nil && head.Type != "" && head.Type != kind {
		return input.In("type", input.Errorf("%q: this method takes %s", clip(head.Type), kind))
	}
	return nil
}

// within puts an error about the shape under the parameter; any other error stays what it is.
func within(param string, err error) error {
	if _, shape := err.(*input.Error); shape {
		return input.In(param, err)
	}
	return err
}
