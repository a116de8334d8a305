package wire

import (
	"errors"
	"fmt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// Receipt reads the result of a transaction that is in a block; a rejected one is an error.
func Receipt(p *ordov1.TransactionResult) (starknet.Receipt, error) {
	if p == nil {
		return starknet.Receipt{}, errors.New("result: absent")
	}
	r := &reader{what: "result"}
	out := starknet.Receipt{
		Hash: r.felt("hash", p.GetHash()),
		Fee:  r.uint128("actual_fee", p.GetActualFee()).Felt(),
		Gas:  starknet.Gas{L1: p.GetGas().GetL1Gas(), L1Data: p.GetGas().GetL1DataGas(), L2: p.GetGas().GetL2Gas()},
	}
	switch p.GetStatus() {
	case ordov1.TransactionResult_SUCCEEDED:
	case ordov1.TransactionResult_REVERTED:
		out.Reverted, out.RevertReason = true, p.GetReason()
	default:
		r.fail("status", fmt.Errorf("%s has no receipt", p.GetStatus()))
	}
	if n := len(p.GetEvents()); n > 0 {
		out.Events = make([]starknet.Event, n)
	}
	for i, e := range p.GetEvents() {
		out.Events[i] = starknet.Event{From: r.felt("event: from_address", e.GetFromAddress()), Keys: r.felts("event: keys", e.GetKeys()),
			Data: r.felts("event: data", e.GetData())}
	}
	for _, m := range p.GetMessages() {
		out.Messages = append(out.Messages, starknet.Message{From: r.felt("message: from_address", m.GetFromAddress()),
			To: r.felt("message: to_address", m.GetToAddress()), Payload: r.felts("message: payload", m.GetPayload())})
	}
	return out, r.err
}

// StateDiff reads a diff, which must be canonical.
func StateDiff(p *ordov1.StateDiff) (*starknet.StateDiff, error) {
	r := &reader{what: "state diff"}
	d := &starknet.StateDiff{
		Deployed:           r.pairs("deployed", p.GetDeployed()),
		Replaced:           r.pairs("replaced", p.GetReplaced()),
		Nonces:             r.pairs("nonces", p.GetNonces()),
		Declared:           r.pairs("declared", p.GetDeclared()),
		DeprecatedDeclared: r.felts("deprecated_declared", p.GetDeprecatedDeclared()),
		Migrated:           r.pairs("migrated", p.GetMigrated()),
	}
	for _, c := range p.GetStorage() {
		d.Storage = append(d.Storage, starknet.ContractStorage{Address: r.felt("storage: address", c.GetAddress()), Entries: r.pairs("storage: entries", c.GetEntries())})
	}
	if r.err == nil {
		r.err = d.Check()
	}
	return d, r.err
}

// FromStateDiff writes a diff, which should be canonical (StateDiff.Sort).
func FromStateDiff(d *starknet.StateDiff) *ordov1.StateDiff {
	p := &ordov1.StateDiff{
		Deployed: packPairs(d.Deployed), Replaced: packPairs(d.Replaced), Nonces: packPairs(d.Nonces),
		Declared: packPairs(d.Declared), Migrated: packPairs(d.Migrated),
	}
	for _, f := range d.DeprecatedDeclared {
		p.DeprecatedDeclared = f.Append(p.DeprecatedDeclared)
	}
	for _, c := range d.Storage {
		p.Storage = append(p.Storage, &ordov1.ContractStorage{Address: FromFelt(c.Address), Entries: packPairs(c.Entries)})
	}
	return p
}
