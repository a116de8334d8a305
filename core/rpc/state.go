package rpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func (s *Server) stateMethods() map[string]Method {
	id, contract := "block_id", "contract_address"
	return map[string]Method{
		"starknet_getNonce":       {Params: []string{id, contract}, Call: s.nonce},
		"starknet_getClassHashAt": {Params: []string{id, contract}, Call: s.classHashAt},
		"starknet_getStorageAt":   {Params: []string{contract, "key", id, "response_flags"}, Call: s.storageAt},
	}
}

// read asks for state at the block. At a block of the view, what changed since the latest root is laid over storage.
func (s *Server) read(ctx context.Context, ref *BlockRef, q *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	q.AtHeight, q.Height = true, ref.number
	overlay := ref.accepted == nil && ref.tip
	if overlay {
		latest := ref.view.Latest()
		if latest == nil {
			return lay(ref.view, q, emptyState(q)), nil
		}
		q.Height = latest.Context.Number
	}
	state, err := s.storedState(ctx, q)
	if err != nil {
		return nil, err
	}
	if latest := ref.view.Latest(); state.NotFound && latest != nil && q.Height == latest.Context.Number {
		// A store without history has only its head, which may be ahead of the latest root by blocks being hashed.
		q.AtHeight = false
		if state, err = s.storedState(ctx, q); err != nil {
			return nil, err
		}
	}
	switch {
	case state.NotFound:
		return nil, errBlockNotFound
	case len(state.Storage) != len(q.Storage)/2 || len(state.Nonces) != len(q.Nonces) || len(state.ClassHashes) != len(q.ClassHashes):
		return nil, fmt.Errorf("storage: read state: the answer does not fit the question")
	case overlay:
		return lay(ref.view, q, state), nil
	}
	return state, nil
}

func (s *Server) storedState(ctx context.Context, q *ordov1.StateRequest) (state *ordov1.StateResponse, err error) {
	err = s.storage.Ask(ctx, func(ctx context.Context) (err error) {
		state, err = s.Storage.State(ctx, q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return state, nil
}

func emptyState(q *ordov1.StateRequest) *ordov1.StateResponse {
	return &ordov1.StateResponse{
		Storage: make([]byte, len(q.Storage)/2), Nonces: make([]byte, len(q.Nonces)), ClassHashes: make([]byte, len(q.ClassHashes)),
	}
}

// lay writes the changes that the view knows over an answer of storage.
func lay(changes *chainview.Snapshot, q *ordov1.StateRequest, to *ordov1.StateResponse) *ordov1.StateResponse {
	put := func(dst []byte, at int, v Key, ok bool) {
		if ok {
			copy(dst[at*felt.Size:], v[:])
		}
	}
	at := 0
	for contract, key := range felt.Pairs(q.Storage) {
		v, ok := changes.Storage(Key(contract), Key(key))
		put(to.Storage, at, v, ok)
		at++
	}
	at = 0
	for address := range felt.Rows(q.Nonces) {
		v, ok := changes.Nonce(Key(address))
		put(to.Nonces, at, v, ok)
		at++
	}
	at = 0
	for address := range felt.Rows(q.ClassHashes) {
		v, ok := changes.ClassHash(Key(address))
		put(to.ClassHashes, at, v, ok)
		at++
	}
	return to
}

// contractParam reads the address and the block of a request about a contract.
func (s *Server) contractParam(ctx context.Context, p *jsonin.Object) (contract []byte, ref *BlockRef, err error) {
	contract = p.Felt("contract_address")
	ref, err = s.blockParam(ctx, p, "block_id")
	return contract, ref, err
}

func (s *Server) nonce(ctx context.Context, p *jsonin.Object) (any, error) {
	contract, ref, err := s.contractParam(ctx, p)
	if err != nil {
		return nil, err
	}
	state, err := s.read(ctx, ref, &ordov1.StateRequest{Nonces: contract, ClassHashes: contract})
	if err != nil {
		return nil, err
	}
	if isZero(state.ClassHashes) {
		return nil, errContractNotFound
	}
	return hexFelt(state.Nonces), nil
}

func (s *Server) classHashAt(ctx context.Context, p *jsonin.Object) (any, error) {
	class, _, err := s.classOf(ctx, p)
	return hexFelt(class), err
}

// classOf is the class of the contract asked for, at the block asked for.
func (s *Server) classOf(ctx context.Context, p *jsonin.Object) (class []byte, ref *BlockRef, err error) {
	contract, ref, err := s.contractParam(ctx, p)
	if err != nil {
		return nil, ref, err
	}
	state, err := s.read(ctx, ref, &ordov1.StateRequest{ClassHashes: contract})
	if err != nil {
		return nil, ref, err
	}
	if isZero(state.ClassHashes) {
		return nil, ref, errContractNotFound
	}
	return state.ClassHashes, ref, nil
}

func (s *Server) storageAt(ctx context.Context, p *jsonin.Object) (any, error) {
	key := p.Felt("key")
	lastUpdate := p.Flags("response_flags", true, "INCLUDE_LAST_UPDATE_BLOCK")[0]
	contract, ref, err := s.contractParam(ctx, p)
	if err != nil {
		return nil, err
	}
	state, err := s.read(ctx, ref, &ordov1.StateRequest{Storage: append(contract[:felt.Size:felt.Size], key...), ClassHashes: contract})
	if err != nil {
		return nil, err
	}
	if isZero(state.ClassHashes) && !ofProtocol(contract) {
		return nil, errContractNotFound
	}
	if !lastUpdate {
		return hexFelt(state.Storage), nil
	}
	leave, err := s.scans.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Limits.Read, &retry.Late{Stage: "storage", Deadline: s.Limits.Read})
	defer cancel()
	block, err := s.lastUpdate(ctx, ref, contract, key)
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	return struct {
		Value hexFelt `json:"value"`
		Block uint64  `json:"last_update_block"`
	}{state.Storage, block}, err
}

// ofProtocol reports an address of the protocol: 0x1 and 0x2 have storage that the protocol writes, and no class.
func ofProtocol(contract []byte) bool {
	return isZero(contract[:felt.Size-1]) && (contract[felt.Size-1] == 1 || contract[felt.Size-1] == 2)
}

// lastUpdate walks back over the state diffs; 0 when the slot was never written. The plugin protocol asks storage for no index
// of writes, so a slot that was written long ago costs a read of all diffs since.
func (s *Server) lastUpdate(ctx context.Context, ref *BlockRef, contract, key []byte) (uint64, error) {
	top := ref.number
	if ref.accepted == nil {
		blocks := ref.view.Blocks()
		for i := len(blocks) - 1; i >= 0; i-- {
			if b := blocks[i]; b.Context.Number <= ref.number && writes(changes(b), contract, key) {
				return b.Context.Number, nil
			}
		}
		if ref.view.Latest() == nil {
			return 0, nil
		}
		top = ref.view.Latest().Context.Number
	}
	const chunk = 64
	for {
		from, last := uint64(0), uint64(0)
		if top >= chunk {
			from = top - chunk + 1
		}
		request := &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: from}, To: top, StateDiff: true}
		err := s.eachStored(ctx, request, func(b *ordov1.Block) bool {
			if writes(b.StateDiff, contract, key) {
				last = b.Header.Context.Number
			}
			return true
		})
		if err != nil || last > 0 || from == 0 {
			return last, err
		}
		top = from - 1
	}
}

func writes(d *ordov1.StateDiff, contract, key []byte) (found bool) {
	for _, c := range d.GetStorage() {
		if string(c.Address) == string(contract) {
			for k := range felt.Pairs(c.Entries) {
				found = found || string(k) == string(key)
			}
		}
	}
	return found
}
