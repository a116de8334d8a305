package starknet

import (
	"encoding/binary"
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// BlockHashLag is how far back the block lies whose hash a block names: block N writes the hash of N-BlockHashLag into its state.
const BlockHashLag = 10

// GasPrice is the price of a unit of gas in both currencies.
type GasPrice struct{ Wei, Fri Uint128 }

// GasPrices are the prices of a block.
type GasPrices struct{ L1, L1Data, L2 GasPrice }

// Hash is how the header covers the prices since 0.13.4.
func (p *GasPrices) Hash() felt.Felt {
	return poseidonMany(text("STARKNET_GAS_PRICES0"), p.L1.Wei.Felt(), p.L1.Fri.Felt(), p.L1Data.Wei.Felt(), p.L1Data.Fri.Felt(),
		p.L2.Wei.Felt(), p.L2.Fri.Felt())
}

// Header is what the block hash covers.
type Header struct {
	Number                uint64
	StateRoot             felt.Felt
	Sequencer             felt.Felt
	Timestamp             uint64 // seconds
	TransactionCount      uint64
	EventCount            uint64
	StateDiffLength       uint64
	BlobDA                bool // L1 data availability by blob, else by calldata
	StateDiffCommitment   felt.Felt
	TransactionCommitment felt.Felt
	EventCommitment       felt.Felt
	ReceiptCommitment     felt.Felt
	GasPrices             GasPrices
	Version               string // as printed in the block; hashed as text
	ParentHash            felt.Felt
}

// Hash is the block hash. It fails when the version has another form of block hash or cannot be read.
func (h *Header) Hash() (felt.Felt, error) {
	v, err := ParseVersion(h.Version)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("block hash: %w", err)
	}
	if v.Before(V0_13_2) {
		return felt.Felt{}, fmt.Errorf("block hash: blocks of version %s, before 0.13.2, are not supported", v)
	}
	name, err := felt.FromShortString(h.Version)
	if err != nil {
		return felt.Felt{}, fmt.Errorf("block hash: version: %w", err)
	}
	body := [...]felt.Felt{num(h.Number), h.StateRoot, h.Sequencer, num(h.Timestamp), h.counts(), h.StateDiffCommitment,
		h.TransactionCommitment, h.EventCommitment, h.ReceiptCommitment}
	var s poseidon.Sponge
	if v.Before(V0_13_4) {
		p := &h.GasPrices
		s.Write(text("STARKNET_BLOCK_HASH0"))
		s.Write(body[:]...)
		s.Write(p.L1.Wei.Felt(), p.L1.Fri.Felt(), p.L1Data.Wei.Felt(), p.L1Data.Fri.Felt())
	} else {
		s.Write(text("STARKNET_BLOCK_HASH1"))
		s.Write(body[:]...)
		s.Write(h.GasPrices.Hash())
	}
	s.Write(name, felt.Zero(), h.ParentHash)
	return s.Sum(), nil
}

// PartialHash is the block hash with state root and parent hash 0: what is known when a block is decided and its root is
// not computed yet.
func (h Header) PartialHash() (felt.Felt, error) {
	h.StateRoot, h.ParentHash = felt.Zero(), felt.Zero()
	return h.Hash()
}

// counts packs the three counts and the data availability mode into one felt.
func (h *Header) counts() felt.Felt {
	var b [felt.Size]byte
	binary.BigEndian.PutUint64(b[0:], h.TransactionCount)
	binary.BigEndian.PutUint64(b[8:], h.EventCount)
	binary.BigEndian.PutUint64(b[16:], h.StateDiffLength)
	if h.BlobDA {
		b[24] = 0x80
	}
	return felt.Reduce(b[:]) // no block has 2^58 transactions
}

// Fill sets counts and commitments from what the block holds. The version must be set; the diff must be canonical.
// Hashing runs on two cores: the diff is one long chain of permutations, everything else parallel to it.
func (h *Header) Fill(signed []Signed, receipts []Receipt, diff *StateDiff) error {
	v, err := ParseVersion(h.Version)
	if err != nil {
		return fmt.Errorf("block header: %w", err)
	}
	if len(signed) != len(receipts) {
		return fmt.Errorf("block header: %d transactions but %d receipts", len(signed), len(receipts))
	}
	if err := diff.Check(); err != nil {
		return fmt.Errorf("block header: %w", err)
	}
	done := make(chan felt.Felt)
	go func() { done <- diff.Commitment() }()
	h.TransactionCount, h.EventCount = uint64(len(signed)), uint64(EventCount(receipts))
	h.StateDiffLength = uint64(diff.Length())
	h.TransactionCommitment = TransactionCommitment(signed, v)
	h.EventCommitment = EventCommitment(receipts)
	h.ReceiptCommitment = ReceiptCommitment(receipts)
	h.StateDiffCommitment = <-done
	return nil
}
