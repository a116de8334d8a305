package wire

import (
	"errors"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Transaction reads a transaction. It does not look at Hash and PaidFeeOnL1; the address of a DEPLOY_ACCOUNT, where it is
// given, must be the computed one.
func Transaction(p *ordov1.Transaction) (starknet.Transaction, error) {
	if p == nil {
		return nil, errors.New("transaction: absent")
	}
	r := &reader{what: "transaction"}
	var t starknet.Transaction
	switch p.GetType() {
	case ordov1.TransactionType_INVOKE:
		t = r.invoke(p)
	case ordov1.TransactionType_DECLARE:
		t = &starknet.DeclareV3{V3: r.v3(p), Sender: r.felt("sender", p.GetSender()), ClassHash: r.felt("class_hash", p.GetClassHash()),
			CompiledClassHash:     r.felt("compiled_class_hash", p.GetCompiledClassHash()),
			AccountDeploymentData: r.felts("account_deployment_data", p.GetAccountDeploymentData())}
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		d := &starknet.DeployAccountV3{V3: r.v3(p), ClassHash: r.felt("class_hash", p.GetClassHash()),
			Salt: r.felt("contract_address_salt", p.GetContractAddressSalt()), ConstructorCalldata: r.felts("calldata", p.GetCalldata())}
		if sender := r.felt("sender", p.GetSender()); r.err == nil && len(p.GetSender()) > 0 && sender != d.Address() {
			r.fail("sender", fmt.Errorf("%s is not the address that is deployed, %s", sender, d.Address()))
		}
		t = d
	case ordov1.TransactionType_L1_HANDLER:
		t = &starknet.L1Handler{Contract: r.felt("sender", p.GetSender()), Selector: r.felt("entry_point_selector", p.GetEntryPointSelector()),
			Nonce: r.felt("nonce", p.GetNonce()), Calldata: r.felts("calldata", p.GetCalldata())}
	default:
		return nil, fmt.Errorf("transaction: type: unknown type %d", p.GetType())
	}
	if r.err != nil {
		return nil, r.err
	}
	return t, nil
}

// Invoke is Transaction for an INVOKE.
func Invoke(p *ordov1.Transaction) (*starknet.InvokeV3, error) {
	if p.GetType() != ordov1.TransactionType_INVOKE {
		return nil, fmt.Errorf("transaction: type: %s is not INVOKE", p.GetType())
	}
	r := &reader{what: "transaction"}
	t := r.invoke(p)
	return t, r.err
}

func (r *reader) invoke(p *ordov1.Transaction) *starknet.InvokeV3 {
	return &starknet.InvokeV3{V3: r.v3(p), Sender: r.felt("sender", p.GetSender()), Calldata: r.felts("calldata", p.GetCalldata()),
		AccountDeploymentData: r.felts("account_deployment_data", p.GetAccountDeploymentData()), ProofFacts: r.felts("proof_facts", p.GetProofFacts())}
}

// TransactionHash reads a transaction and computes its hash on a chain, in the query form where the message says so.
func TransactionHash(p *ordov1.Transaction, chain felt.Felt) (felt.Felt, error) {
	t, err := Transaction(p)
	if err != nil {
		return felt.Felt{}, err
	}
	return t.Hash(chain, p.GetQueryOnly()), nil
}

func (r *reader) v3(p *ordov1.Transaction) starknet.V3 {
	b := p.GetResourceBounds()
	if b == nil {
		r.fail("resource_bounds", errors.New("absent"))
	}
	if p.GetNonceDaMode() > 1 || p.GetFeeDaMode() > 1 {
		r.fail("nonce_da_mode, fee_da_mode", errors.New("want 0 (L1) or 1 (L2)"))
	}
	return starknet.V3{
		Tip: p.GetTip(),
		Bounds: starknet.ResourceBounds{
			L1Gas:     starknet.Bound{MaxAmount: b.GetL1GasAmount(), MaxPrice: r.uint128("resource_bounds: l1_gas_price", b.GetL1GasPrice())},
			L2Gas:     starknet.Bound{MaxAmount: b.GetL2GasAmount(), MaxPrice: r.uint128("resource_bounds: l2_gas_price", b.GetL2GasPrice())},
			L1DataGas: &starknet.Bound{MaxAmount: b.GetL1DataGasAmount(), MaxPrice: r.uint128("resource_bounds: l1_data_gas_price", b.GetL1DataGasPrice())},
		},
		PaymasterData: r.felts("paymaster_data", p.GetPaymasterData()),
		Nonce:         r.felt("nonce", p.GetNonce()),
		NonceMode:     starknet.DataAvailability(p.GetNonceDaMode()),
		FeeMode:       starknet.DataAvailability(p.GetFeeDaMode()),
		Signature:     r.felts("signature", p.GetSignature()),
	}
}

// FromTransaction writes a transaction with its hash on a chain. Only what a new block can hold has a message: version 3
// with three resource bounds, and l1_handler (whose PaidFeeOnL1 the caller sets).
func FromTransaction(t starknet.Transaction, chain felt.Felt, query bool) (*ordov1.Transaction, error) {
	p := &ordov1.Transaction{QueryOnly: query}
	switch t := t.(type) {
	case *starknet.InvokeV3:
		p.Type, p.Sender, p.Calldata = ordov1.TransactionType_INVOKE, FromFelt(t.Sender), felt.Pack(t.Calldata)
		p.AccountDeploymentData, p.ProofFacts = felt.Pack(t.AccountDeploymentData), felt.Pack(t.ProofFacts)
	case *starknet.DeclareV3:
		p.Type, p.Sender, p.ClassHash = ordov1.TransactionType_DECLARE, FromFelt(t.Sender), FromFelt(t.ClassHash)
		p.CompiledClassHash, p.AccountDeploymentData = FromFelt(t.CompiledClassHash), felt.Pack(t.AccountDeploymentData)
	case *starknet.DeployAccountV3:
		p.Type, p.Sender, p.ClassHash = ordov1.TransactionType_DEPLOY_ACCOUNT, FromFelt(t.Address()), FromFelt(t.ClassHash)
		p.ContractAddressSalt, p.Calldata = FromFelt(t.Salt), felt.Pack(t.ConstructorCalldata)
	case *starknet.L1Handler:
		p.Type, p.Sender, p.EntryPointSelector = ordov1.TransactionType_L1_HANDLER, FromFelt(t.Contract), FromFelt(t.Selector)
		p.Nonce, p.Calldata = FromFelt(t.Nonce), felt.Pack(t.Calldata)
	default:
		return nil, fmt.Errorf("transaction: %s cannot be in a new block", t.Kind())
	}
	if v, ok := t.(interface{ Version3() *starknet.V3 }); ok {
		v3 := v.Version3()
		b := &v3.Bounds
		if b.L1DataGas == nil {
			return nil, errors.New("transaction: resource_bounds: l1_data_gas is missing, which new blocks need")
		}
		p.Tip, p.Nonce, p.Signature, p.PaymasterData = v3.Tip, FromFelt(v3.Nonce), felt.Pack(v3.Signature), felt.Pack(v3.PaymasterData)
		p.NonceDaMode, p.FeeDaMode = uint32(v3.NonceMode), uint32(v3.FeeMode)
		p.ResourceBounds = &ordov1.ResourceBounds{
			L1GasAmount: b.L1Gas.MaxAmount, L1GasPrice: FromUint128(b.L1Gas.MaxPrice),
			L2GasAmount: b.L2Gas.MaxAmount, L2GasPrice: FromUint128(b.L2Gas.MaxPrice),
			L1DataGasAmount: b.L1DataGas.MaxAmount, L1DataGasPrice: FromUint128(b.L1DataGas.MaxPrice),
		}
	}
	p.Hash = FromFelt(t.Hash(chain, query))
	return p, nil
}
