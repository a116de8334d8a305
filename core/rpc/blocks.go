package rpc

import (
	"context"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const (
	acceptedOnL2     = "ACCEPTED_ON_L2"
	preConfirmedOnL2 = "PRE_CONFIRMED"
)

func (s *Server) blockMethods() map[string]Method {
	id, flags := "block_id", "response_flags"
	return map[string]Method{
		"starknet_getBlockWithTxHashes":     {Params: []string{id}, Call: s.blockWithHashes},
		"starknet_getBlockWithTxs":          {Params: []string{id, flags}, Call: s.blockWithTransactions},
		"starknet_getBlockWithReceipts":     {Params: []string{id, flags}, Call: s.blockWithReceipts},
		"starknet_getBlockTransactionCount": {Params: []string{id}, Call: s.blockTransactionCount},
		"starknet_getStateUpdate":           {Params: []string{id, "contract_addresses"}, Call: s.stateUpdate},
	}
}

type resourcePrice struct {
	Fri hexFelt `json:"price_in_fri"`
	Wei hexFelt `json:"price_in_wei"`
}

func priceOf(p *ordov1.GasPrice) resourcePrice { return resourcePrice{p.GetFri(), p.GetWei()} }

// preConfirmedHeader has the fields of a block that is not accepted, and no other: clients refuse unknown ones.
type preConfirmedHeader struct {
	Number          uint64        `json:"block_number"`
	Timestamp       uint64        `json:"timestamp"`
	Sequencer       hexFelt       `json:"sequencer_address"`
	L1GasPrice      resourcePrice `json:"l1_gas_price"`
	L2GasPrice      resourcePrice `json:"l2_gas_price"`
	L1DataGasPrice  resourcePrice `json:"l1_data_gas_price"`
	L1DaMode        string        `json:"l1_da_mode"`
	StarknetVersion string        `json:"starknet_version"`
}

func newPreConfirmedHeader(c *ordov1.BlockContext) preConfirmedHeader {
	h := preConfirmedHeader{
		Number: c.Number, Timestamp: c.Timestamp, Sequencer: c.Sequencer, StarknetVersion: c.StarknetVersion, L1DaMode: "CALLDATA",
		L1GasPrice: priceOf(c.L1Gas), L2GasPrice: priceOf(c.L2Gas), L1DataGasPrice: priceOf(c.L1DataGas),
	}
	if c.BlobDa {
		h.L1DaMode = "BLOB"
	}
	return h
}

// header is that of an accepted block.
type header struct {
	Status string  `json:"status,omitempty"`
	Hash   hexFelt `json:"block_hash"`
	Parent hexFelt `json:"parent_hash"`
	Root   hexFelt `json:"new_root"`
	preConfirmedHeader
	EventCommitment       hexFelt `json:"event_commitment"`
	TransactionCommitment hexFelt `json:"transaction_commitment"`
	ReceiptCommitment     hexFelt `json:"receipt_commitment"`
	StateDiffCommitment   hexFelt `json:"state_diff_commitment"`
	EventCount            uint32  `json:"event_count"`
	TransactionCount      uint32  `json:"transaction_count"`
	StateDiffLength       uint32  `json:"state_diff_length"`
}

func newHeader(h *ordov1.BlockHeader) header {
	return header{
		Status: acceptedOnL2, Hash: h.Hash, Parent: h.ParentHash, Root: h.StateRoot,
		preConfirmedHeader: newPreConfirmedHeader(h.Context),
		EventCommitment:    h.EventCommitment, TransactionCommitment: h.TransactionCommitment,
		ReceiptCommitment: h.ReceiptCommitment, StateDiffCommitment: h.StateDiffCommitment,
		EventCount: h.EventCount, TransactionCount: h.TransactionCount, StateDiffLength: h.StateDiffLength,
	}
}

// blockAnswer puts the list of transactions under the header that fits.
func blockAnswer[T any](ref *BlockRef, transactions []T) any {
	if transactions == nil {
		transactions = []T{}
	}
	if ref.accepted != nil {
		return struct {
			header
			Transactions []T `json:"transactions"`
		}{newHeader(ref.accepted), transactions}
	}
	return struct {
		preConfirmedHeader
		Transactions []T `json:"transactions"`
	}{newPreConfirmedHeader(ref.block.Context), transactions}
}

func (s *Server) blockWithHashes(ctx context.Context, p *jsonin.Object) (any, error) {
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	txs, _, err := s.body(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	hashes := make([]hexFelt, len(txs))
	for i, tx := range txs {
		hashes[i] = tx.Hash
	}
	return blockAnswer(ref, hashes), nil
}

func (s *Server) blockWithTransactions(ctx context.Context, p *jsonin.Object) (any, error) {
	facts := proofFacts(p)
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	txs, _, err := s.body(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	list := make([]any, len(txs))
	for i, tx := range txs {
		list[i] = transactionAnswer(tx, true, facts)
	}
	return blockAnswer(ref, list), nil
}

func (s *Server) blockWithReceipts(ctx context.Context, p *jsonin.Object) (any, error) {
	facts := proofFacts(p)
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	txs, results, err := s.body(ctx, ref, true)
	if err != nil {
		return nil, err
	}
	type pair struct {
		Transaction any      `json:"transaction"`
		Receipt     *receipt `json:"receipt"`
	}
	list := make([]pair, len(txs))
	for i, tx := range txs {
		list[i] = pair{transactionAnswer(tx, false, facts), newReceipt(tx, results[i], finality(ref))}
	}
	return blockAnswer(ref, list), nil
}

func (s *Server) blockTransactionCount(ctx context.Context, p *jsonin.Object) (any, error) {
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	if ref.accepted != nil {
		return ref.accepted.TransactionCount, nil
	}
	return len(ref.block.Results), nil
}

// preConfirmedUpdate is all that the blocks without a root change over the latest root, so that the two fit together.
func preConfirmedUpdate(view *chainview.Snapshot, only map[Key]bool) any {
	var diffs []*ordov1.StateDiff
	for _, b := range view.Blocks() {
		diffs = append(diffs, changes(b))
	}
	return struct {
		OldRoot hexFelt    `json:"old_root"`
		Diff    *stateDiff `json:"state_diff"`
	}{view.Latest().GetStateRoot(), newStateDiff(chainview.Merge(diffs), only)}
}

// changes is the diff of a block of the view; the one that stands in between two blocks changed nothing.
func changes(b *chainview.Block) *ordov1.StateDiff {
	if len(b.Transactions) == 0 && b.Header == nil {
		return nil
	}
	return b.Diff()
}

func finality(ref *BlockRef) string {
	if ref.accepted != nil {
		return acceptedOnL2
	}
	return preConfirmedOnL2
}

func (s *Server) stateUpdate(ctx context.Context, p *jsonin.Object) (any, error) {
	var only map[Key]bool
	if p.Has("contract_addresses") {
		only = map[Key]bool{}
		for address := range felt.Rows(p.Felts("contract_addresses")) {
			only[Key(address)] = true
		}
		if len(only) > s.Limits.Addresses {
			p.Fail("contract_addresses", jsonin.Errorf("%d addresses, at most %d are allowed", len(only), s.Limits.Addresses))
		}
	}
	ref, err := s.blockParam(ctx, p, "block_id")
	if err != nil {
		return nil, err
	}
	if ref.block != nil {
		return preConfirmedUpdate(ref.view, only), nil
	}
	b, err := s.storedBody(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: ref.number}, StateDiff: true})
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errBlockNotFound
	}
	var old hexFelt
	if ref.number > 0 {
		parent, err := s.byNumber(ctx, ref.view, ref.number-1)
		if err != nil {
			return nil, err
		}
		old = parent.accepted.GetStateRoot()
	}
	return struct {
		Hash    hexFelt    `json:"block_hash"`
		OldRoot hexFelt    `json:"old_root"`
		NewRoot hexFelt    `json:"new_root"`
		Diff    *stateDiff `json:"state_diff"`
	}{ref.accepted.Hash, old, ref.accepted.StateRoot, newStateDiff(b.StateDiff, only)}, nil
}
