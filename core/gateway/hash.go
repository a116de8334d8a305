package gateway

import (
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// hasher fills in the hashes of invokes, side by side.
type hasher struct{ invokes *starknet.InvokeHasher }

func newHasher(chain felt.Felt) *hasher { return &hasher{starknet.NewInvokeHasher(chain)} }

// all hashes invokes that were read and checked. An error is a fault of the node.
func (h *hasher) all(txs []*ordov1.Transaction) error {
	list := make([]*starknet.InvokeV3, len(txs))
	for i, tx := range txs {
		t, err := wire.Invoke(tx)
		if err != nil {
			return err
		}
		list[i] = t
	}
	for i, hash := range h.invokes.Hash(list) {
		txs[i].Hash = wire.FromFelt(hash)
	}
	return nil
}
