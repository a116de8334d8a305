package rpc

import (
	"encoding/json"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// addMethods are the methods that send transactions, by kind.
var addMethods = map[string]string{
	"INVOKE": addInvokeMethod, "DECLARE": "starknet_addDeclareTransaction", "DEPLOY_ACCOUNT": "starknet_addDeployAccountTransaction",
}

// broadcast writes a transaction of `send KIND FIELD=VALUE ...`, in which the fields that are not named are right. Of a deployment the
// fake stages know the class, because its address is a hash.
func broadcast(t *testing.T, kind string, fields []datadriven.CmdArg) (method, params string) {
	t.Helper()
	bound := map[string]any{"max_amount": "0x10", "max_price_per_unit": "0x20"}
	tx := map[string]any{
		"type": kind, "version": "0x3", "signature": []string{"0x1"}, "nonce": "0x7", "tip": "0x0", "paymaster_data": []string{},
		"nonce_data_availability_mode": "L1", "fee_data_availability_mode": "L1",
		"resource_bounds": map[string]any{"l1_gas": bound, "l2_gas": bound, "l1_data_gas": bound},
	}
	switch kind {
	case "INVOKE":
		tx["sender_address"], tx["calldata"], tx["account_deployment_data"] = "0x77", []string{}, []string{}
	case "DECLARE":
		tx["sender_address"], tx["compiled_class_hash"], tx["account_deployment_data"] = "0x77", "0xcc", []string{}
		tx["contract_class"] = json.RawMessage(`{"sierra_program":["0x1","0x7","0x0","0x2"],"contract_class_version":"0.1.0","entry_points_by_type":{"CONSTRUCTOR":[],"EXTERNAL":[],"L1_HANDLER":[]},"abi":"[]"}`)
	case "DEPLOY_ACCOUNT":
		tx["nonce"], tx["class_hash"], tx["contract_address_salt"], tx["constructor_calldata"] = "0x0", "0xc1", "0x5", []string{}
	default:
		t.Fatalf("unknown kind %s", kind)
	}
	for _, f := range fields {
		tx[f.Key] = f.Vals[0]
	}
	text, err := json.Marshal([]any{tx})
	if err != nil {
		t.Fatal(err)
	}
	return addMethods[kind], string(text)
}

// judged is what the fake stages know a transaction by.
func judged(tx *ordov1.Transaction) Key {
	if tx.Type == ordov1.TransactionType_DEPLOY_ACCOUNT {
		return Key(tx.ClassHash)
	}
	return Key(tx.Sender)
}

// withoutBlocks is a world before block 0.
func withoutBlocks(t *testing.T) *world {
	w := newWorld(t)
	o := w.server.Options
	o.Chain = chainview.New(func() *ordov1.BlockContext { return blockContext(0) })
	w.server = New(o)
	return w
}
