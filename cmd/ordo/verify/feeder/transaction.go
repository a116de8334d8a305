package feeder

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Transaction is a transaction and what the file says about it.
type Transaction struct {
	starknet.Transaction
	Path      string     // where it is in the file
	Expected  *felt.Felt // its hash
	Query     *felt.Felt // the hash of its query version
	QueryOnly bool       // the version itself has the query bit
	Address   *felt.Felt // of the contract that it deploys
	Chain     string     // chain id, where the file names one

	SignatureAt string // path of the signature, without indices
}

// At is the path of one of its fields, without indices.
func (t *Transaction) At(field string) string {
	return strings.TrimSuffix(t.SignatureAt, "signature") + field
}

// transaction reads a transaction object with type and version in it.
func (d *decoder) transaction(path string, raw json.RawMessage) Transaction {
	o := d.object(path, raw)
	defer o.close()
	if d.err != nil {
		return Transaction{}
	}
	t := Transaction{Path: path}
	if h, ok := o.feltOr("transaction_hash"); ok {
		t.Expected = &h
	}
	kind := ""
	if o.has("type") {
		kind = o.string("type")
	} else if o.has("sender_address") && o.has("calldata") {
		kind = "INVOKE" // broadcast forms leave the type out where only one fits
	}
	version := felt.FromUint64(3)
	switch {
	case kind == "DEPLOY" && !o.has("version"):
		version = felt.Zero() // the first releases of the gateway left it out
	case o.has("version") || !o.has("resource_bounds"):
		version = o.felt("version")
	}
	if version.Cmp(starknet.QueryBit) >= 0 {
		version, t.QueryOnly = version.Sub(starknet.QueryBit), true
	}
	n, ok := version.Uint64()
	if !ok || n > 3 {
		d.fail(o.at("version"), "unknown transaction version")
		return t
	}
	o.build(&t, kind, n)
	return t
}

// build reads the fields of a kind into t.
func (o *object) build(t *Transaction, kind string, version uint64) {
	sender := o.first("sender_address", "contract_address")
	t.SignatureAt = indices.ReplaceAllString(o.at("signature"), "[]")
	switch kind := strings.TrimSuffix(kind, "_FUNCTION"); {
	case kind == "INVOKE" && version == 0:
		t.Transaction = &starknet.InvokeV0{Contract: o.felt(o.first("contract_address", "sender_address")),
			Selector: o.felt("entry_point_selector"), Calldata: o.felts("calldata"), MaxFee: o.felt("max_fee"), Signature: o.felts("signature")}
	case kind == "INVOKE" && version == 1:
		t.Transaction = &starknet.InvokeV1{Sender: o.felt(sender), Calldata: o.felts("calldata"), MaxFee: o.felt("max_fee"),
			Nonce: o.felt("nonce"), Signature: o.felts("signature")}
	case kind == "INVOKE" && version == 3:
		t.Transaction = &starknet.InvokeV3{V3: o.v3(), Sender: o.felt("sender_address"), Calldata: o.felts("calldata"),
			AccountDeploymentData: o.felts("account_deployment_data"), ProofFacts: o.feltsOr("proof_facts")}
	case kind == "DECLARE" && version == 0:
		t.Transaction = &starknet.DeclareV0{Sender: o.felt(sender), ClassHash: o.felt("class_hash"), MaxFee: o.felt("max_fee"),
			Signature: o.felts("signature")}
	case kind == "DECLARE" && version == 1:
		t.Transaction = &starknet.DeclareV1{Sender: o.felt(sender), ClassHash: o.felt("class_hash"), MaxFee: o.felt("max_fee"),
			Nonce: o.felt("nonce"), Signature: o.felts("signature")}
	case kind == "DECLARE" && version == 2:
		t.Transaction = &starknet.DeclareV2{Sender: o.felt(sender), ClassHash: o.felt("class_hash"),
			CompiledClassHash: o.felt("compiled_class_hash"), MaxFee: o.felt("max_fee"), Nonce: o.felt("nonce"), Signature: o.felts("signature")}
	case kind == "DECLARE" && version == 3:
		t.Transaction = &starknet.DeclareV3{V3: o.v3(), Sender: o.felt("sender_address"), ClassHash: o.felt("class_hash"),
			CompiledClassHash: o.felt("compiled_class_hash"), AccountDeploymentData: o.felts("account_deployment_data")}
	case kind == "DEPLOY_ACCOUNT" && version == 1:
		t.Address = o.address()
		t.Transaction = &starknet.DeployAccountV1{ClassHash: o.felt("class_hash"), Salt: o.felt("contract_address_salt"),
			ConstructorCalldata: o.felts("constructor_calldata"), MaxFee: o.felt("max_fee"), Nonce: o.felt("nonce"), Signature: o.felts("signature")}
	case kind == "DEPLOY_ACCOUNT" && version == 3:
		t.Address = o.address()
		t.Transaction = &starknet.DeployAccountV3{V3: o.v3(), ClassHash: o.felt("class_hash"), Salt: o.felt("contract_address_salt"),
			ConstructorCalldata: o.felts("constructor_calldata")}
	case kind == "DEPLOY" && version <= 1:
		t.Address = o.address()
		t.Transaction = &starknet.Deploy{ClassHash: o.felt("class_hash"), Salt: o.felt("contract_address_salt"),
			ConstructorCalldata: o.felts("constructor_calldata"), Version: uint8(version)}
	case kind == "L1_HANDLER" && version == 0:
		nonce, _ := o.feltOr("nonce") // the oldest have none
		t.Transaction = &starknet.L1Handler{Contract: o.felt("contract_address"), Selector: o.felt("entry_point_selector"),
			Nonce: nonce, Calldata: o.felts("calldata")}
	default:
		o.d.fail(o.path, "unknown kind of transaction: type %.30q, version %d", kind, version)
	}
}

// address is the address that a file prints beside a deployment.
func (o *object) address() *felt.Felt {
	for _, k := range []string{"sender_address", "contract_address"} {
		if a, ok := o.feltOr(k); ok {
			return &a
		}
	}
	return nil
}

func (o *object) v3() starknet.V3 {
	v := starknet.V3{
		Tip:           o.uint("tip"),
		PaymasterData: o.felts("paymaster_data"),
		Nonce:         o.felt("nonce"),
		NonceMode:     o.mode("nonce_data_availability_mode"),
		FeeMode:       o.mode("fee_data_availability_mode"),
		Signature:     o.felts("signature"),
	}
	b := o.object("resource_bounds")
	v.Bounds.L1Gas = b.bound(b.first("L1_GAS", "l1_gas"))
	v.Bounds.L2Gas = b.bound(b.first("L2_GAS", "l2_gas"))
	if k := b.first("L1_DATA_GAS", "l1_data_gas"); b.has(k) {
		data := b.bound(k)
		v.Bounds.L1DataGas = &data
	}
	b.close()
	return v
}

func (o *object) bound(key string) starknet.Bound {
	b := o.object(key)
	defer b.close()
	return starknet.Bound{MaxAmount: b.uint("max_amount"), MaxPrice: b.uint128("max_price_per_unit")}
}

// mode reads 0 or 1, or the names L1 and L2.
func (o *object) mode(key string) starknet.DataAvailability {
	raw := o.need(key)
	if i := slices.Index([]string{`0`, `1`, `"L1"`, `"L2"`}, string(raw)); i >= 0 {
		return starknet.DataAvailability(i % 2)
	}
	o.d.fail(o.at(key), "want 0, 1, L1 or L2")
	return 0
}

// vectors reads a list of transactions with their hashes and chain ids, as test vectors are published: the transaction is
// either flat or wrapped in the names of its type and version ({"Invoke": {"V3": {...}}}).
func (d *decoder) vectors(raw json.RawMessage) []Transaction {
	var out []Transaction
	d.each("", raw, func(path string, raw json.RawMessage) {
		o := d.object(path, raw)
		body := o.need("transaction")
		if d.err != nil {
			return
		}
		t := d.wrapped(o.at("transaction"), body)
		t.Path = path
		if h, ok := o.feltOr("transaction_hash"); ok {
			t.Expected = &h
		}
		if h, ok := o.feltOr("only_query_transaction_hash"); ok {
			t.Query = &h
		}
		if o.has("chain_id") {
			t.Chain = o.string("chain_id")
		}
		o.close()
		out = append(out, t)
	})
	return out
}

func (d *decoder) wrapped(path string, raw json.RawMessage) Transaction {
	kinds := map[string]string{"Invoke": "INVOKE", "Declare": "DECLARE", "DeployAccount": "DEPLOY_ACCOUNT", "Deploy": "DEPLOY", "L1Handler": "L1_HANDLER"}
	versions := []string{"V0", "V1", "V2", "V3"}
	o := d.object(path, raw)
	for name, kind := range kinds {
		if !o.has(name) || len(o.fields) != 1 {
			continue
		}
		in := o.object(name)
		t := Transaction{}
		for v, key := range versions {
			if in.has(key) && len(in.fields) == 1 {
				in = in.object(key)
				in.build(&t, kind, uint64(v))
				in.close()
				return t
			}
		}
		in.build(&t, kind, in.uint("version"))
		in.close()
		return t
	}
	return d.transaction(path, raw)
}
