package rpc

import (
	"context"
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
)

func (s *Server) messageMethods() map[string]Method {
	return map[string]Method{
		"starknet_getMessagesStatus": {Params: []string{"transaction_hash"}, Call: s.messagesStatus},
	}
}

// messagesStatus answers for a transaction of L1. A node of this kind settles on no L1 and is sent no messages by one, so it knows
// no transaction of L1: the specification's answer is TXN_HASH_NOT_FOUND, for every hash that is one.
func (s *Server) messagesStatus(_ context.Context, p *jsonin.Object) (any, error) {
	raw := p.Raw("transaction_hash")
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := l1Hash(raw); err != nil {
		return nil, jsonin.In("transaction_hash", err)
	}
	return nil, withData(errTransactionNotFound, "this node follows no L1: no transaction of L1 is known here")
}

// l1Hash wants the hash of an Ethereum transaction: 256 bits, which a felt does not hold.
func l1Hash(raw json.RawMessage) error {
	_, err := jsonin.Hex(raw, 32)
	return err
}
