package wire

import (
	"errors"
	"fmt"
	"math"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// Header reads what the block hash covers. State root and parent hash are 0 while they are not known.
func Header(p *ordov1.BlockHeader) (starknet.Header, error) {
	if p.GetContext() == nil {
		return starknet.Header{}, errors.New("header: context: absent")
	}
	r := &reader{what: "header"}
	h := r.context(p.GetContext())
	h.TransactionCount = uint64(p.GetTransactionCount())
	h.EventCount = uint64(p.GetEventCount())
	h.StateDiffLength = uint64(p.GetStateDiffLength())
	h.TransactionCommitment = r.felt("transaction_commitment", p.GetTransactionCommitment())
	h.EventCommitment = r.felt("event_commitment", p.GetEventCommitment())
	h.ReceiptCommitment = r.felt("receipt_commitment", p.GetReceiptCommitment())
	h.StateDiffCommitment = r.felt("state_diff_commitment", p.GetStateDiffCommitment())
	h.ParentHash = r.felt("parent_hash", p.GetParentHash())
	h.StateRoot = r.felt("state_root", p.GetStateRoot())
	return h, r.err
}

func (r *reader) context(c *ordov1.BlockContext) starknet.Header {
	price := func(name string, p *ordov1.GasPrice) starknet.GasPrice {
		return starknet.GasPrice{Wei: r.uint128(name+": wei", p.GetWei()), Fri: r.uint128(name+": fri", p.GetFri())}
	}
	if _, err := starknet.ParseVersion(c.GetStarknetVersion()); err != nil {
		r.fail("starknet_version", err)
	}
	return starknet.Header{
		Number:    c.GetNumber(),
		Timestamp: c.GetTimestamp(),
		Sequencer: r.felt("sequencer", c.GetSequencer()),
		Version:   c.GetStarknetVersion(),
		BlobDA:    c.GetBlobDa(),
		GasPrices: starknet.GasPrices{L1: price("l1_gas", c.GetL1Gas()), L1Data: price("l1_data_gas", c.GetL1DataGas()), L2: price("l2_gas", c.GetL2Gas())},
	}
}

// FromHeader writes the fields that the block hash covers, without hash, partial hash and what the core alone knows.
// State root and parent hash are left out when they are 0.
func FromHeader(h *starknet.Header) (*ordov1.BlockHeader, error) {
	if most := max(h.TransactionCount, h.EventCount, h.StateDiffLength); most > math.MaxUint32 {
		return nil, fmt.Errorf("header: a count of %d does not fit in 32 bits", most)
	}
	price := func(p starknet.GasPrice) *ordov1.GasPrice {
		return &ordov1.GasPrice{Wei: FromUint128(p.Wei), Fri: FromUint128(p.Fri)}
	}
	p := &ordov1.BlockHeader{
		Context: &ordov1.BlockContext{
			Number: h.Number, Timestamp: h.Timestamp, Sequencer: FromFelt(h.Sequencer), StarknetVersion: h.Version, BlobDa: h.BlobDA,
			L1Gas: price(h.GasPrices.L1), L1DataGas: price(h.GasPrices.L1Data), L2Gas: price(h.GasPrices.L2),
		},
		TransactionCount: uint32(h.TransactionCount), EventCount: uint32(h.EventCount), StateDiffLength: uint32(h.StateDiffLength),
		TransactionCommitment: FromFelt(h.TransactionCommitment), EventCommitment: FromFelt(h.EventCommitment),
		ReceiptCommitment: FromFelt(h.ReceiptCommitment), StateDiffCommitment: FromFelt(h.StateDiffCommitment),
	}
	if !h.ParentHash.IsZero() {
		p.ParentHash = FromFelt(h.ParentHash)
	}
	if !h.StateRoot.IsZero() {
		p.StateRoot = FromFelt(h.StateRoot)
	}
	return p, nil
}
