package starknet

import "github.com/ordo-sequencer/ordo/starknet/felt"

// DeployAccountV1 deploys an account that pays for itself in ETH.
type DeployAccountV1 struct {
	ClassHash, Salt     felt.Felt
	ConstructorCalldata []felt.Felt
	MaxFee, Nonce       felt.Felt
	Signature           []felt.Felt
}

func (t *DeployAccountV1) Kind() Kind              { return Kind{"deploy_account", 1} }
func (t *DeployAccountV1) SignedWith() []felt.Felt { return t.Signature }

// Address is where the account goes.
func (t *DeployAccountV1) Address() felt.Felt {
	return ContractAddress(felt.Zero(), t.Salt, t.ClassHash, t.ConstructorCalldata)
}

// Hash implements Transaction.
func (t *DeployAccountV1) Hash(chain felt.Felt, query bool) felt.Felt {
	calldata := concat([]felt.Felt{t.ClassHash, t.Salt}, t.ConstructorCalldata)
	return pedersenMany(text("deploy_account"), t.Kind().version(query), t.Address(), felt.Zero(), pedersenMany(calldata...),
		t.MaxFee, chain, t.Nonce)
}

// DeployAccountV3 deploys an account that pays for itself in STRK under resource bounds.
type DeployAccountV3 struct {
	V3
	ClassHash, Salt     felt.Felt
	ConstructorCalldata []felt.Felt
}

func (t *DeployAccountV3) Kind() Kind { return Kind{"deploy_account", 3} }

// Address is where the account goes.
func (t *DeployAccountV3) Address() felt.Felt {
	return ContractAddress(felt.Zero(), t.Salt, t.ClassHash, t.ConstructorCalldata)
}

// Hash implements Transaction.
func (t *DeployAccountV3) Hash(chain felt.Felt, query bool) felt.Felt {
	s := t.begin(t.Kind(), t.Address(), chain, query)
	s.Write(poseidonMany(t.ConstructorCalldata...), t.ClassHash, t.Salt)
	return s.Sum()
}
