package client

import (
	"encoding/json"
	"fmt"
	"math/big"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// JSON is the broadcast form of a transaction; a test may change a field before it sends it.
func (t *Tx) JSON() map[string]any {
	b := t.ResourceBounds
	bound := func(amount uint64, price []byte) map[string]any {
		return map[string]any{"max_amount": fmt.Sprintf("%#x", amount), "max_price_per_unit": fmt.Sprintf("%#x", new(big.Int).SetBytes(price))}
	}
	out := map[string]any{
		"version": "0x3", "nonce": Hex(t.Nonce), "tip": fmt.Sprintf("%#x", t.Tip), "signature": List(t.Signature),
		"resource_bounds": map[string]any{
			"l1_gas":      bound(b.L1GasAmount, b.L1GasPrice),
			"l2_gas":      bound(b.L2GasAmount, b.L2GasPrice),
			"l1_data_gas": bound(b.L1DataGasAmount, b.L1DataGasPrice),
		},
		"paymaster_data": []string{}, "nonce_data_availability_mode": "L1", "fee_data_availability_mode": "L1",
	}
	switch t.Type {
	case ordov1.TransactionType_INVOKE:
		out["type"], out["sender_address"], out["calldata"] = "INVOKE", Hex(t.Sender), List(t.Calldata)
		out["account_deployment_data"] = []string{}
	case ordov1.TransactionType_DECLARE:
		out["type"], out["sender_address"], out["compiled_class_hash"] = "DECLARE", Hex(t.Sender), Hex(t.CompiledClassHash)
		out["contract_class"] = json.RawMessage(t.Class.Definition)
		out["account_deployment_data"] = []string{}
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		out["type"], out["class_hash"], out["contract_address_salt"] = "DEPLOY_ACCOUNT", Hex(t.ClassHash), Hex(t.ContractAddressSalt)
		out["constructor_calldata"] = List(t.Calldata)
	}
	return out
}

// List writes packed felts as hex.
func List(packed []byte) []string {
	list, err := felt.Unpack(packed)
	if err != nil {
		panic(err)
	}
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = f.Hex()
	}
	return out
}
