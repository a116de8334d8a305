package starknet

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
)

// This file has the forms that new blocks no longer use: a sequencer never makes them, a verifier meets them.

// SignedOld is what the transaction commitment covered before 0.13.2. Before 0.11.1 only the signatures of invocations
// were hashed.
func SignedOld(t Transaction, hash felt.Felt, v Version) Signed {
	if v.Before(V0_11_1) && t.Kind().Type != "invoke" {
		return Signed{Hash: hash}
	}
	return Signed{Hash: hash, Signature: t.SignedWith()}
}

// OldTransactionCommitment is the root over transactions before 0.13.2.
func OldTransactionCommitment(list []Signed) felt.Felt {
	leaves := make([]felt.Felt, len(list))
	for i, t := range list {
		leaves[i] = pedersen.Hash(t.Hash, pedersenMany(t.Signature...))
	}
	return pedersenRoot(leaves)
}

// OldEventCommitment is the root over the block's events before 0.13.2. It does not say which transaction emitted them.
func OldEventCommitment(receipts []Receipt) felt.Felt {
	var leaves []felt.Felt
	for i := range receipts {
		for _, e := range receipts[i].Events {
			leaves = append(leaves, pedersenMany(e.From, pedersenMany(e.Keys...), pedersenMany(e.Data...)))
		}
	}
	return pedersenRoot(leaves)
}

// OldHash is the block hash of 0.7 to 0.13.1. It covers neither the version nor prices, receipts and the state diff.
func (h *Header) OldHash() felt.Felt {
	return pedersenMany(num(h.Number), h.StateRoot, h.Sequencer, num(h.Timestamp), num(h.TransactionCount), h.TransactionCommitment,
		num(h.EventCount), h.EventCommitment, felt.Zero(), felt.Zero(), h.ParentHash)
}

// OldestHash is the block hash before 0.7: it covers the chain, but neither sequencer nor time nor events.
func (h *Header) OldestHash(chain felt.Felt) felt.Felt {
	z := felt.Zero()
	return pedersenMany(num(h.Number), h.StateRoot, z, z, num(h.TransactionCount), h.TransactionCommitment, z, z, z, z, chain, h.ParentHash)
}

// MainChain is the chain id of mainnet.
const MainChain = "SN_MAIN"

// FirstMainBlock07 is the first block of mainnet that has OldHash.
const FirstMainBlock07 = 833

// OldSequencer is the sequencer that early blocks of a public network were hashed with though they do not print it.
func OldSequencer(chain string) felt.Felt {
	if chain == MainChain {
		return felt.MustHex("0x21f4b90b0377c82bf330b7b5295820769e72d79d8acd0effa0ebde6e9988bc5")
	}
	return felt.MustHex("0x46a89ae102987331d369645031b49c27738ed096f2789c24449966da4c6de6b")
}

// OldHashed is a transaction whose hash had other forms before 0.8.
type OldHashed interface {
	Transaction
	// OldHashes are the earlier forms, which leave out fields that Hash covers: version and fee first of all.
	OldHashes(chain felt.Felt) []felt.Felt
}

// OldHashes implements OldHashed: without version and fee.
func (t *InvokeV0) OldHashes(chain felt.Felt) []felt.Felt {
	return []felt.Felt{pedersenMany(text("invoke"), t.Contract, t.Selector, pedersenMany(t.Calldata...), chain)}
}

// OldHashes implements OldHashed: without nonce; or as if an account had called.
func (t *L1Handler) OldHashes(chain felt.Felt) []felt.Felt {
	calldata := pedersenMany(t.Calldata...)
	return []felt.Felt{
		pedersenMany(text("l1_handler"), t.Contract, t.Selector, calldata, chain, t.Nonce),
		pedersenMany(text("invoke"), t.Contract, t.Selector, calldata, chain),
	}
}

// OldHashes implements OldHashed: without version.
func (t *Deploy) OldHashes(chain felt.Felt) []felt.Felt {
	return []felt.Felt{pedersenMany(text("deploy"), t.Address(), keccak.Selector("constructor"), pedersenMany(t.ConstructorCalldata...), chain)}
}
