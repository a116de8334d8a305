package wire

import (
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

func TestStrict(t *testing.T) {
	p32 := FromFelt(felt.One())
	above := make([]byte, 32)
	above[0] = 0xff
	invoke := func(change func(*ordov1.Transaction)) *ordov1.Transaction {
		p := &ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Sender: p32, ResourceBounds: &ordov1.ResourceBounds{}}
		change(p)
		return p
	}
	if _, err := Transaction(invoke(func(*ordov1.Transaction) {})); err != nil {
		t.Error(err)
	}
	for name, p := range map[string]*ordov1.Transaction{
		"absent":         nil,
		"no type":        {},
		"no bounds":      {Type: ordov1.TransactionType_DECLARE},
		"short felt":     invoke(func(p *ordov1.Transaction) { p.Sender = p32[1:] }),
		"felt above p":   invoke(func(p *ordov1.Transaction) { p.Nonce = above }),
		"cut list":       invoke(func(p *ordov1.Transaction) { p.Calldata = p32[:31] }),
		"short u128":     invoke(func(p *ordov1.Transaction) { p.ResourceBounds.L2GasPrice = p32[:15] }),
		"long u128":      invoke(func(p *ordov1.Transaction) { p.ResourceBounds.L2GasPrice = p32 }),
		"mode":           invoke(func(p *ordov1.Transaction) { p.FeeDaMode = 2 }),
		"wrong address":  {Type: ordov1.TransactionType_DEPLOY_ACCOUNT, Sender: p32, ResourceBounds: &ordov1.ResourceBounds{}},
		"unknown type":   {Type: 9},
		"felt above p 2": {Type: ordov1.TransactionType_L1_HANDLER, Sender: above},
	} {
		if _, err := Transaction(p); err == nil {
			t.Errorf("transaction: %s is accepted", name)
		}
	}
	for name, p := range map[string]*ordov1.StateDiff{
		"half a pair": {Nonces: p32},
		"order":       {DeprecatedDeclared: append(append([]byte{}, p32...), make([]byte, 32)...)},
		"repeat":      {DeprecatedDeclared: append(append([]byte{}, p32...), p32...)},
		"empty":       {Storage: []*ordov1.ContractStorage{{Address: p32}}},
	} {
		if _, err := StateDiff(p); err == nil {
			t.Errorf("state diff: %s is accepted", name)
		}
	}
	for name, p := range map[string]*ordov1.TransactionResult{
		"absent": nil, "no status": {}, "rejected": {Status: ordov1.TransactionResult_REJECTED},
		"fee": {Status: ordov1.TransactionResult_SUCCEEDED, ActualFee: p32},
	} {
		if _, err := Receipt(p); err == nil {
			t.Errorf("result: %s is accepted", name)
		}
	}
	if _, err := Header(&ordov1.BlockHeader{}); err == nil {
		t.Error("a header without context is accepted")
	}
	if _, err := Header(&ordov1.BlockHeader{Context: &ordov1.BlockContext{StarknetVersion: "x"}}); err == nil {
		t.Error("a header with version x is accepted")
	}
	if _, err := FromHeader(&starknet.Header{EventCount: 1 << 32}); err == nil {
		t.Error("2^32 events are accepted")
	}
}
