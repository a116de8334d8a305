package gateway

import (
	"encoding/json"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// Broadcast is a transaction as a client sent it. Class is set for DECLARE.
type Broadcast struct {
	Transaction *ordov1.Transaction
	Class       *SierraClass
	// Proof is set when the transaction claims facts that a proof backs; this node verifies none.
	Proof bool
}

// types in the order of the TransactionType numbers, from 1.
var types = []string{"INVOKE", "DECLARE", "DEPLOY_ACCOUNT"}

// Decode reads one BROADCASTED_TXN of the JSON-RPC and computes its hash for the chain. Both the real and the query
// version are read; a shape that does not fit is an jsonin.Error that names the field.
func Decode(raw json.RawMessage, chain felt.Felt) (*Broadcast, error) {
	b, err := read(raw)
	if err != nil {
		return nil, err
	}
	return b, b.hash(chain)
}

// read is Decode without the hashes of transaction and class, which cost more than all the rest.
func read(raw json.RawMessage) (*Broadcast, error) {
	q := jsonin.NewFast(raw)
	if b := ReadInvoke(&q); b != nil && q.Ended() {
		return b, nil
	}
	return readCarefully(raw)
}

func readCarefully(raw json.RawMessage) (*Broadcast, error) {
	o, err := jsonin.ParseObject(raw)
	if err != nil {
		return nil, err
	}
	kind := ordov1.TransactionType(o.Enum("type", types...) + 1)
	version := o.Felt("version")
	if err := o.Err(); err != nil {
		return nil, err
	}
	// Before anything else: older versions lack fields, and the missing field is not the news.
	query, ok := versionThree(version)
	if !ok {
		return nil, ErrUnsupportedVersion
	}
	b := &Broadcast{Transaction: &ordov1.Transaction{Type: kind, QueryOnly: query}}
	b.readShared(o)
	switch kind {
	case ordov1.TransactionType_INVOKE:
		b.readInvoke(o)
	case ordov1.TransactionType_DECLARE:
		b.readDeclare(o)
	case ordov1.TransactionType_DEPLOY_ACCOUNT:
		b.readDeployAccount(o)
	}
	if err := o.Done(); err != nil {
		return nil, err
	}
	return b, b.address()
}

// versionThree tells 3 and 2^128+3 from the rest.
func versionThree(version []byte) (query, ok bool) {
	if len(version) != felt.Size {
		return false, false
	}
	for i, c := range version {
		switch {
		case i == 15 && c == 1:
			query = true
		case i == 31 && c == 3:
		case i == 31 || c != 0:
			return false, false
		}
	}
	return query, true
}

func (b *Broadcast) readShared(o *jsonin.Object) {
	tx := b.Transaction
	tx.Nonce = o.Felt("nonce")
	tx.Signature = o.Felts("signature")
	tx.Tip = o.Uint64("tip")
	tx.PaymasterData = o.Felts("paymaster_data")
	tx.NonceDaMode = uint32(o.Enum("nonce_data_availability_mode", "L1", "L2"))
	tx.FeeDaMode = uint32(o.Enum("fee_data_availability_mode", "L1", "L2"))

	bounds := o.Object("resource_bounds")
	r := &ordov1.ResourceBounds{}
	r.L1GasAmount, r.L1GasPrice = bound(bounds, "l1_gas")
	r.L2GasAmount, r.L2GasPrice = bound(bounds, "l2_gas")
	r.L1DataGasAmount, r.L1DataGasPrice = bound(bounds, "l1_data_gas")
	o.Fail("resource_bounds", bounds.Done())
	tx.ResourceBounds = r
}

func bound(o *jsonin.Object, name string) (amount uint64, price []byte) {
	in := o.Object(name)
	amount, price = in.Uint64("max_amount"), in.Uint128("max_price_per_unit")
	o.Fail(name, in.Done())
	return amount, price
}

func (b *Broadcast) readInvoke(o *jsonin.Object) {
	tx := b.Transaction
	tx.Sender = o.Felt("sender_address")
	tx.Calldata = o.Felts("calldata")
	tx.AccountDeploymentData = o.Felts("account_deployment_data")
	if o.Has("proof_facts") {
		tx.ProofFacts = o.Felts("proof_facts")
	}
	if o.Has("proof") {
		b.Proof = o.String("proof") != ""
	}
	b.Proof = b.Proof || len(tx.ProofFacts) > 0
}

func (b *Broadcast) readDeclare(o *jsonin.Object) {
	tx := b.Transaction
	tx.Sender = o.Felt("sender_address")
	tx.CompiledClassHash = o.Felt("compiled_class_hash")
	tx.AccountDeploymentData = o.Felts("account_deployment_data")
	raw := o.Raw("contract_class")
	if o.Err() != nil {
		return
	}
	class, err := readClass(raw)
	o.Fail("contract_class", err)
	b.Class = class
}

func (b *Broadcast) readDeployAccount(o *jsonin.Object) {
	tx := b.Transaction
	tx.ClassHash = o.Felt("class_hash")
	tx.ContractAddressSalt = o.Felt("contract_address_salt")
	tx.Calldata = o.Felts("constructor_calldata")
	// Some clients send the empty list that the other kinds need.
	if o.Has("account_deployment_data") {
		tx.AccountDeploymentData = o.Felts("account_deployment_data")
	}
}

// address fills in that of a new account.
func (b *Broadcast) address() error {
	if b.Transaction.Type != ordov1.TransactionType_DEPLOY_ACCOUNT {
		return nil
	}
	t, err := wire.Transaction(b.Transaction)
	if err != nil {
		return err
	}
	if d, ok := t.(*starknet.DeployAccountV3); ok {
		b.Transaction.Sender = wire.FromFelt(d.Address())
	}
	return nil
}

func (b *Broadcast) hash(chain felt.Felt) error {
	if b.Class != nil {
		if err := b.Class.hash(); err != nil {
			return jsonin.In("contract_class", err)
		}
		b.Transaction.ClassHash = b.Class.Hash
	}
	hash, err := wire.TransactionHash(b.Transaction, chain)
	if err != nil {
		return err
	}
	b.Transaction.Hash = wire.FromFelt(hash)
	return nil
}
