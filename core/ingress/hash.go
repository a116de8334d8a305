package ingress

import (
	"fmt"

	"github.com/ordo-sequencer/ordo/core/starknet"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Hash is the hash of an account's transaction; with QueryOnly, of its query version.
func Hash(tx *ordov1.Transaction, chain felt.Felt) ([]byte, error) {
	var r typed
	v3 := starknet.V3{
		Tip:           tx.Tip,
		Bounds:        r.bounds(tx.ResourceBounds),
		PaymasterData: r.felts(tx.PaymasterData),
		Nonce:         r.felt(tx.Nonce),
		NonceMode:     starknet.DataAvailability(tx.NonceDaMode),
		FeeMode:       starknet.DataAvailability(tx.FeeDaMode),
	}
	var t starknet.Transaction
	switch tx.Type {
	case ordov1.TransactionType_INVOKE:
		t = &starknet.InvokeV3{V3: v3, Sender: r.felt(tx.Sender), Calldata: r.felts(tx.Calldata),
			AccountDeploymentData: r.felts(tx.AccountDeploymentData), ProofFacts: r.felts(tx.ProofFacts)}
	case ordov1.TransactionType_DECLARE:
		t = &starknet.DeclareV3{V3: v3, Sender: r.felt(tx.Sender), ClassHash: r.felt(tx.ClassHash),
			CompiledClassHash: r.felt(tx.CompiledClassHash), AccountDeploymentData: r.felts(tx.AccountDeploymentData)}
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		t = &starknet.DeployAccountV3{V3: v3, ClassHash: r.felt(tx.ClassHash), Salt: r.felt(tx.ContractAddressSalt),
			ConstructorCalldata: r.felts(tx.Calldata)}
	case ordov1.TransactionType_L1_HANDLER:
		t = &starknet.L1Handler{Contract: r.felt(tx.Sender), Selector: r.felt(tx.EntryPointSelector), Nonce: r.felt(tx.Nonce),
			Calldata: r.felts(tx.Calldata)}
	default:
		return nil, fmt.Errorf("transaction hash: type %s has none", tx.Type)
	}
	if r.err != nil {
		return nil, fmt.Errorf("transaction hash: %w", r.err)
	}
	return t.Hash(chain, tx.QueryOnly).Append(nil), nil
}

// typed reads wire values and keeps the first error.
type typed struct{ err error }

func (r *typed) felt(b []byte) felt.Felt {
	f, err := felt.FromBytes(b)
	if r.err == nil {
		r.err = err
	}
	return f
}

func (r *typed) felts(b []byte) []felt.Felt {
	list, err := felt.Unpack(b)
	if r.err == nil {
		r.err = err
	}
	return list
}

func (r *typed) bounds(b *ordov1.ResourceBounds) starknet.ResourceBounds {
	if b == nil {
		b = &ordov1.ResourceBounds{}
	}
	return starknet.ResourceBounds{
		L1Gas:     starknet.Bound{MaxAmount: b.L1GasAmount, MaxPrice: r.price(b.L1GasPrice)},
		L2Gas:     starknet.Bound{MaxAmount: b.L2GasAmount, MaxPrice: r.price(b.L2GasPrice)},
		L1DataGas: &starknet.Bound{MaxAmount: b.L1DataGasAmount, MaxPrice: r.price(b.L1DataGasPrice)},
	}
}

func (r *typed) price(b []byte) starknet.Uint128 {
	u, err := starknet.Uint128FromFelt(r.felt(b))
	if r.err == nil {
		r.err = err
	}
	return u
}
