package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// InvalidError is a transaction that no honest node passes on: it is malformed, its hash is another one, or its account rejects it.
type InvalidError struct{ Cause error }

func (e *InvalidError) Error() string { return "invalid: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *InvalidError) Unwrap() error { return e.Cause }

// Encode writes an admitted transaction as nodes pass it on: a proposal of it alone, with its class.
func (b *Broadcast) Encode() ([]byte, error) {
	p := &ordov1.Proposal{Transactions: []*ordov1.Transaction{b.Transaction}, N: 1}
	if b.Class != nil {
		p.Classes = []*ordov1.Class{{Hash: b.Class.Hash, Kind: ordov1.Class_SIERRA, Definition: b.Class.Definition}}
	}
	return proto.Marshal(p)
}

// Relay admits a transaction that another node has admitted. It is validated like one of a client, and is not passed on. An InvalidError
// is the fault of the node that sent it.
func (g *Gateway) Relay(ctx context.Context, encoded []byte) error {
	return g.relay(ctx, encoded, nil)
}

// Forward is Relay for a node that follows this one and has no peers of its own: what it brings is passed on as if a client had sent it.
func (g *Gateway) Forward(ctx context.Context, encoded []byte) error {
	return g.relay(ctx, encoded, g.admitted)
}

func (g *Gateway) relay(ctx context.Context, encoded []byte, admitted func(*Broadcast)) error {
	b, err := g.decodeRelayed(encoded)
	if err != nil {
		return &InvalidError{err}
	}
	behind := g.chain.Behind()
	err = g.admit(ctx, b)
	// A node that lacks a block cannot judge: the account may be in it.
	if r := (*Rejection)(nil); errors.As(err, &r) && r.Code == ordov1.RejectionCode_VALIDATION_FAILURE && !behind && !g.chain.Behind() {
		return &InvalidError{err}
	}
	if errors.Is(err, mempool.ErrDuplicate) {
		return nil
	}
	if err == nil && admitted != nil {
		admitted(b)
	}
	return err
}

// decodeRelayed reads what Encode wrote, and writes the transaction anew as this node would: only what its hash covers, and its signature.
func (g *Gateway) decodeRelayed(encoded []byte) (*Broadcast, error) {
	p := &ordov1.Proposal{}
	if err := proto.Unmarshal(encoded, p); err != nil {
		return nil, errors.New("it is no message of a transaction")
	}
	if len(p.Transactions) != 1 || len(p.Classes) > 1 {
		return nil, fmt.Errorf("it has %d transactions and %d classes", len(p.Transactions), len(p.Classes))
	}
	tx := p.Transactions[0]
	declares := tx.Type == ordov1.TransactionType_DECLARE
	switch {
	case tx.Type != ordov1.TransactionType_INVOKE && tx.Type != ordov1.TransactionType_DEPLOY_ACCOUNT && !declares:
		return nil, fmt.Errorf("transactions of type %s are not passed on", tx.Type)
	case declares != (len(p.Classes) == 1):
		return nil, errors.New("a declaration comes with its class, and no other transaction does")
	}
	parsed, err := wire.Transaction(tx)
	if err != nil {
		return nil, err
	}
	own, err := wire.FromTransaction(parsed, g.chainID, false)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(own.Hash, tx.Hash) {
		return nil, fmt.Errorf("its hash is 0x%x, not 0x%x", own.Hash, tx.Hash)
	}
	b := &Broadcast{Transaction: own}
	if declares {
		if b.Class, err = DecodeClass(p.Classes[0].Definition); err != nil {
			return nil, fmt.Errorf("its class: %w", err)
		}
		if !bytes.Equal(b.Class.Hash, own.ClassHash) {
			return nil, fmt.Errorf("its class has the hash 0x%x, not 0x%x", b.Class.Hash, own.ClassHash)
		}
	}
	return b, nil
}
