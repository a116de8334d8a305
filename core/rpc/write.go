package rpc

import (
	"context"
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// The method that nearly all requests of a busy node call.
const (
	addInvokeMethod = "starknet_addInvokeTransaction"
	invokeParam     = "invoke_transaction"
)

func (s *Server) writeMethods() map[string]Method {
	return map[string]Method{
		addInvokeMethod:                        {Params: []string{invokeParam}, Call: s.add(invokeParam, "INVOKE")},
		"starknet_addDeclareTransaction":       {Params: []string{"declare_transaction"}, Call: s.add("declare_transaction", "DECLARE")},
		"starknet_addDeployAccountTransaction": {Params: []string{"deploy_account_transaction"}, Call: s.add("deploy_account_transaction", "DEPLOY_ACCOUNT")},
	}
}

type added struct {
	Hash     hexFelt `json:"transaction_hash"`
	Class    hexFelt `json:"class_hash,omitempty"`
	Contract hexFelt `json:"contract_address,omitempty"`
}

func (a added) appendJSON(out []byte) []byte {
	out = appendHex(append(out, `{"transaction_hash":`...), a.Hash)
	if len(a.Class) > 0 {
		out = appendHex(append(out, `,"class_hash":`...), a.Class)
	}
	if len(a.Contract) > 0 {
		out = appendHex(append(out, `,"contract_address":`...), a.Contract)
	}
	return append(out, '}')
}

// add hands a transaction of one kind to the gateway.
func (s *Server) add(param, kind string) func(context.Context, *jsonin.Object) (any, error) {
	return func(ctx context.Context, p *jsonin.Object) (any, error) {
		raw := p.Raw(param)
		if err := p.Err(); err != nil {
			return nil, err
		}
		if err := ofKind(raw, kind); err != nil {
			return nil, jsonin.In(param, err)
		}
		tx, err := s.Gateway.Submit(ctx, raw)
		answer, err := s.added(ctx, param, tx, err)
		if err != nil || s.Extension == nil {
			return answer, err
		}
		if err := s.Extension.Await(ctx, tx.Hash)[0]; err != nil {
			return nil, err
		}
		return answer, nil
	}
}

// readAhead reads the parameter of an addInvokeTransaction. False: it is another method, or for the careful reader.
func (s *Server) readAhead(r *request) bool {
	if r.invoke != nil {
		return true
	}
	if r.failed != nil || r.method != addInvokeMethod {
		return false
	}
	var b *gateway.Broadcast
	q := jsonin.NewFast(r.params)
	switch q.Peek() {
	case '[':
		for i := range q.Items {
			if b = gateway.ReadInvoke(&q); i > 0 {
				q.GiveUp()
			}
		}
	case '{':
		for name := range q.Fields {
			if string(name) != invokeParam || b != nil {
				q.GiveUp()
			}
			b = gateway.ReadInvoke(&q)
		}
	}
	if b == nil || !q.Ended() {
		return false
	}
	r.invoke = b
	return true
}

// addInvoke is add for what was read ahead. Its answer does not wait: see run.await.
func (s *Server) addInvoke(ctx context.Context, b *gateway.Broadcast) (any, error) {
	return s.added(ctx, invokeParam, b.Transaction, s.Gateway.Admit(ctx, b))
}

// added is the answer about a transaction that was handed to the gateway.
func (s *Server) added(ctx context.Context, param string, tx *ordov1.Transaction, err error) (any, error) {
	if err != nil {
		return nil, s.notTaken(ctx, param, err)
	}
	if s.Extension != nil {
		s.Extension.Submitted(tx.Hash)
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

// notTaken is what the client reads about a transaction that was not taken; faults of the node are logged.
func (s *Server) notTaken(ctx context.Context, param string, err error) error {
	e, fault := writeError(within(param, err))
	if fault && ctx.Err() == nil {
		s.Log.Warn("rpc: a transaction could not be taken", "error", err)
	}
	return e
}

// ofKind checks the type of a transaction: each method takes one.
func ofKind(raw json.RawMessage, kind string) error {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(raw, &head) == nil && head.Type != "" && head.Type != kind {
		return jsonin.In("type", jsonin.Errorf("%q: this method takes %s", clip(head.Type), kind))
	}
	return nil
}

// within puts an error about the shape under the parameter; any other error stays what it is.
func within(param string, err error) error {
	if _, shape := err.(*jsonin.Error); shape {
		return jsonin.In(param, err)
	}
	return err
}
