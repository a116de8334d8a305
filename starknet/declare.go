package starknet

import "github.com/ordo-sequencer/ordo/starknet/felt"

// DeclareV0 declared a Cairo 0 class without a fee.
type DeclareV0 struct {
	Sender, ClassHash, MaxFee felt.Felt
	Signature                 []felt.Felt
}

func (t *DeclareV0) Kind() Kind              { return Kind{"declare", 0} }
func (t *DeclareV0) SignedWith() []felt.Felt { return t.Signature }

// Hash implements Transaction.
func (t *DeclareV0) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("declare"), t.Kind().version(query), t.Sender, felt.Zero(), pedersenMany(), t.MaxFee, chain, t.ClassHash)
}

// DeclareV1 declares a Cairo 0 class.
type DeclareV1 struct {
	Sender, ClassHash, MaxFee, Nonce felt.Felt
	Signature                        []felt.Felt
}

func (t *DeclareV1) Kind() Kind              { return Kind{"declare", 1} }
func (t *DeclareV1) SignedWith() []felt.Felt { return t.Signature }

// Hash implements Transaction.
func (t *DeclareV1) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("declare"), t.Kind().version(query), t.Sender, felt.Zero(), pedersenMany(t.ClassHash), t.MaxFee,
		chain, t.Nonce)
}

// DeclareV2 declares a Sierra class; the fee is paid in ETH.
type DeclareV2 struct {
	Sender, ClassHash, CompiledClassHash, MaxFee, Nonce felt.Felt
	Signature                                           []felt.Felt
}

func (t *DeclareV2) Kind() Kind              { return Kind{"declare", 2} }
func (t *DeclareV2) SignedWith() []felt.Felt { return t.Signature }

// Hash implements Transaction.
func (t *DeclareV2) Hash(chain felt.Felt, query bool) felt.Felt {
	return pedersenMany(text("declare"), t.Kind().version(query), t.Sender, felt.Zero(), pedersenMany(t.ClassHash), t.MaxFee,
		chain, t.Nonce, t.CompiledClassHash)
}

// DeclareV3 declares a Sierra class; the fee is paid in STRK under resource bounds.
type DeclareV3 struct {
	V3
	Sender, ClassHash, CompiledClassHash felt.Felt
	AccountDeploymentData                []felt.Felt
}

func (t *DeclareV3) Kind() Kind { return Kind{"declare", 3} }

// Hash implements Transaction.
func (t *DeclareV3) Hash(chain felt.Felt, query bool) felt.Felt {
	s := t.begin(t.Kind(), t.Sender, chain, query)
	s.Write(poseidonMany(t.AccountDeploymentData...), t.ClassHash, t.CompiledClassHash)
	return s.Sum()
}
