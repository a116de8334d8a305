package starknet

import (
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// InvokeV0 calls one entry point of one contract; it has no nonce.
type InvokeV0 struct {
	Contract, Selector felt.Felt
	Calldata           []felt.Felt
	MaxFee             felt.Felt
	Signature          []felt.Felt
}

func (t *InvokeV0) Kind() Kind              { return Kind{"invoke", 0} }
func (t *InvokeV0) SignedWith() []felt.Felt { return t.Signature }

// Hash implements Transaction.
func (t *InvokeV0) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("invoke"), t.Kind().version(query), t.Contract, t.Selector, pedersenMany(t.Calldata...), t.MaxFee, chain)
}

// InvokeV1 lets an account execute; the fee is paid in ETH.
type InvokeV1 struct {
	Sender    felt.Felt
	Calldata  []felt.Felt
	MaxFee    felt.Felt
	Nonce     felt.Felt
	Signature []felt.Felt
}

func (t *InvokeV1) Kind() Kind              { return Kind{"invoke", 1} }
func (t *InvokeV1) SignedWith() []felt.Felt { return t.Signature }

// Hash implements Transaction.
func (t *InvokeV1) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("invoke"), t.Kind().version(query), t.Sender, felt.Zero(), pedersenMany(t.Calldata...),
		t.MaxFee, chain, t.Nonce)
}

// InvokeV3 lets an account execute; the fee is paid in STRK under resource bounds.
type InvokeV3 struct {
	V3
	Sender                felt.Felt
	Calldata              []felt.Felt
	AccountDeploymentData []felt.Felt
	ProofFacts            []felt.Felt // since 0.14.2; hashed only when there are any
}

func (t *InvokeV3) Kind() Kind { return Kind{"invoke", 3} }

// Hash implements Transaction.
func (t *InvokeV3) Hash(chain felt.Felt, query bool) felt.Felt {
	s := t.begin(t.Kind(), t.Sender, chain, query)
	s.Write(poseidonMany(t.AccountDeploymentData...), poseidonMany(t.Calldata...))
	if len(t.ProofFacts) > 0 {
		s.Write(poseidonMany(t.ProofFacts...))
	}
	return s.Sum()
}

// L1Handler is a message from L1; it has no signature and pays on L1.
type L1Handler struct {
	Contract, Selector, Nonce felt.Felt
	Calldata                  []felt.Felt // the first element is the L1 sender
}

func (t *L1Handler) Kind() Kind              { return Kind{"l1_handler", 0} }
func (t *L1Handler) SignedWith() []felt.Felt { return nil }

// Hash implements Transaction.
func (t *L1Handler) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("l1_handler"), t.Kind().version(query), t.Contract, t.Selector, pedersenMany(t.Calldata...),
		felt.Zero(), chain, t.Nonce)
}

// Deploy is the retired transaction that deployed a contract without an account.
type Deploy struct {
	Salt, ClassHash     felt.Felt
	ConstructorCalldata []felt.Felt
	Version             uint8 // 0 or 1
}

func (t *Deploy) Kind() Kind              { return Kind{"deploy", t.Version} }
func (t *Deploy) SignedWith() []felt.Felt { return nil }

// Address is where the contract goes.
func (t *Deploy) Address() felt.Felt {
	return ContractAddress(felt.Zero(), t.Salt, t.ClassHash, t.ConstructorCalldata)
}

// Hash implements Transaction.
func (t *Deploy) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("deploy"), t.Kind().version(query), t.Address(), keccak.Selector("constructor"),
		pedersenMany(t.ConstructorCalldata...), felt.Zero(), chain)
}
