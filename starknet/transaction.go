package starknet

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
)

// Transaction is any transaction that can be in a block.
type Transaction interface {
	// Kind names type and version.
	Kind() Kind
	// Hash is the transaction hash on a chain. query asks for the hash of the version with the query bit, which wallets
	// sign for estimates and simulations.
	Hash(chain felt.Felt, query bool) felt.Felt
	// SignedWith is the signature, nil where the kind has none. It is not part of Hash.
	SignedWith() []felt.Felt
}

// QueryBit is 2^128: added to the version of a transaction that is only simulated.
var QueryBit = felt.MustHex("0x100000000000000000000000000000000")

// Kind is a transaction's type and version.
type Kind struct {
	Type    string // invoke, declare, deploy, deploy_account, l1_handler
	Version uint8
}

// String is such as "invoke v3".
func (k Kind) String() string { return fmt.Sprintf("%s v%d", k.Type, k.Version) }

// version is the felt that is hashed: the number, plus QueryBit for the query version.
func (k Kind) version(query bool) felt.Felt {
	if query {
		return QueryBit.Add(num(k.Version))
	}
	return num(k.Version)
}

// DataAvailability is where a nonce or fee balance is kept: L1 is 0, L2 is 1 (not in use yet).
type DataAvailability uint32

// Bound is the most that a transaction pays for one resource.
type Bound struct {
	MaxAmount uint64
	MaxPrice  Uint128
}

func (b Bound) felt(name string) felt.Felt {
	// name in the seven bytes below the first, then 8 bytes of amount and 16 of price
	var out [felt.Size]byte
	copy(out[8-len(name):8], name)
	for i := range 8 {
		out[8+i] = byte(b.MaxAmount >> (56 - 8*i))
		out[16+i] = byte(b.MaxPrice.Hi >> (56 - 8*i))
		out[24+i] = byte(b.MaxPrice.Lo >> (56 - 8*i))
	}
	f, _ := felt.FromBytes(out[:]) // the first byte is 0
	return f
}

// ResourceBounds are the bounds of a version 3 transaction. The older form, without L1DataGas, hashes differently.
type ResourceBounds struct {
	L1Gas, L2Gas Bound
	L1DataGas    *Bound
}

// Hash covers the tip and the bounds.
func (r *ResourceBounds) Hash(tip uint64) felt.Felt {
	return poseidonMany(r.list(tip)...)
}

func (r *ResourceBounds) list(tip uint64) []felt.Felt {
	list := append(make([]felt.Felt, 0, 4), num(tip), r.L1Gas.felt("L1_GAS"), r.L2Gas.felt("L2_GAS"))
	if r.L1DataGas != nil {
		list = append(list, r.L1DataGas.felt("L1_DATA"))
	}
	return list
}

// V3 holds what all version 3 transactions share.
type V3 struct {
	Tip           uint64
	Bounds        ResourceBounds
	PaymasterData []felt.Felt
	Nonce         felt.Felt
	NonceMode     DataAvailability
	FeeMode       DataAvailability
	Signature     []felt.Felt
}

// SignedWith implements Transaction.
func (t *V3) SignedWith() []felt.Felt { return t.Signature }

// Version3 gives what version 3 transactions share, whatever the kind.
func (t *V3) Version3() *V3 { return t }

// begin absorbs what precedes the kind's own fields.
func (t *V3) begin(k Kind, address, chain felt.Felt, query bool) poseidon.Sponge {
	var s poseidon.Sponge
	s.Write(text(k.Type), k.version(query), address, t.Bounds.Hash(t.Tip), poseidonMany(t.PaymasterData...), chain, t.Nonce,
		t.modes())
	return s
}

func (t *V3) modes() felt.Felt { return num(uint64(t.NonceMode)<<32 | uint64(t.FeeMode)) }

// addressBound is 2^251-256: addresses are reduced to below it.
var addressBound = felt.MustHex("0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00")

// ContractAddress is the address that a deployment gets. deployer is 0 for account deployments.
func ContractAddress(deployer, salt, classHash felt.Felt, constructorCalldata []felt.Felt) felt.Felt {
	a := pedersenMany(text("STARKNET_CONTRACT_ADDRESS"), deployer, salt, classHash, pedersenMany(constructorCalldata...))
	if a.Cmp(addressBound) >= 0 {
		a = a.Sub(addressBound) // one step is enough: p is far below twice the bound
	}
	return a
}
