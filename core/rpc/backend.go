package rpc

import (
	"context"
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/gateway"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Key is a hash, an address or a storage key.
type Key = felt.Key

// Gateway admits transactions and reads those of estimates.
type Gateway interface {
	Submit(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, error)
	// Admit takes a transaction that is built already: the faucet's.
	Admit(ctx context.Context, b *gateway.Broadcast) error
	Read(ctx context.Context, raw json.RawMessage) (*ordov1.Transaction, *ordov1.Class, error)
}
