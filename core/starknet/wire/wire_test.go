package wire

import (
	"os"
	"reflect"
	"testing"

	"github.com/ordo-sequencer/ordo/core/starknet"
	"github.com/ordo-sequencer/ordo/core/starknet/feeder"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	"github.com/ordo-sequencer/ordo/core/starknet/verify/facts"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/protobuf/proto"
)

// chain reads the real data that verify keeps.
func load(t testing.TB, set string) (out []*feeder.File) {
	t.Helper()
	text, err := os.ReadFile("../verify/testdata/" + set + ".facts")
	if err != nil {
		t.Fatal(err)
	}
	files, err := facts.JSON(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		f, err := feeder.Decode(data)
		if err != nil {
			t.Fatal(name, err)
		}
		out = append(out, f)
	}
	return out
}

func TestBlockOverTheWire(t *testing.T) {
	chain := felt.MustShortString("SN_SEPOLIA")
	for _, f := range load(t, "0.14.1") {
		b := f.Block
		var signed []starknet.Signed
		var receipts []starknet.Receipt
		for i, tx := range b.Transactions {
			p, err := FromTransaction(tx.Transaction, chain, false)
			if err != nil {
				t.Fatal(err)
			}
			p = overTheWire(t, p)
			h, err := TransactionHash(p, chain)
			if err != nil || h != *tx.Expected {
				t.Fatalf("transaction %d: %s, %v, want %s", i, h, err, tx.Expected)
			}
			back, err := Transaction(p)
			if err != nil {
				t.Fatal(err)
			}
			signed = append(signed, starknet.Signed{Hash: h, Signature: back.SignedWith()})

			rc := b.Receipts[i]
			hi, lo, _ := rc.Fee.Uint128()
			res := &ordov1.TransactionResult{Hash: FromFelt(rc.Hash), Status: ordov1.TransactionResult_SUCCEEDED,
				ActualFee: FromUint128(starknet.Uint128{Hi: hi, Lo: lo}), Gas: &ordov1.Gas{L1Gas: rc.Gas.L1, L1DataGas: rc.Gas.L1Data, L2Gas: rc.Gas.L2}}
			for _, e := range rc.Events {
				res.Events = append(res.Events, &ordov1.Event{FromAddress: FromFelt(e.From), Keys: felt.Pack(e.Keys), Data: felt.Pack(e.Data)})
			}
			got, err := Receipt(overTheWire(t, res))
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, got)
		}
		diff, err := StateDiff(overTheWire(t, FromStateDiff(&f.Update.Diff)))
		if err != nil {
			t.Fatal(err)
		}
		h := starknet.Header{Number: b.Header.Number, StateRoot: b.Header.StateRoot, Sequencer: b.Header.Sequencer, Timestamp: b.Header.Timestamp,
			BlobDA: b.Header.BlobDA, GasPrices: b.Header.GasPrices, Version: b.Header.Version, ParentHash: b.Header.ParentHash}
		if err := h.Fill(signed, receipts, diff); err != nil {
			t.Fatal(err)
		}
		p, err := FromHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Header(overTheWire(t, p))
		if err != nil || back != h {
			t.Fatal(back, err)
		}
		if got, err := back.Hash(); err != nil || got != b.Hash {
			t.Fatalf("block hash %s, %v, want %s", got, err, b.Hash)
		}
	}
}

func TestTransactionsOverTheWire(t *testing.T) {
	chain := felt.MustShortString("SN_MAIN")
	sent := 0
	for _, f := range load(t, "transactions") {
		for _, tx := range f.Transactions {
			p, err := FromTransaction(tx.Transaction, chain, true)
			v3, ok := tx.Transaction.(interface{ Version3() *starknet.V3 })
			_, l1 := tx.Transaction.(*starknet.L1Handler)
			if possible := l1 || (ok && v3.Version3().Bounds.L1DataGas != nil); (err == nil) != possible {
				t.Errorf("%s: %v", tx.Kind(), err)
			}
			if err != nil {
				continue
			}
			sent++
			back, err := Transaction(overTheWire(t, p))
			if err != nil || back.Hash(chain, true) != tx.Hash(chain, true) {
				t.Errorf("%s: %v", tx.Kind(), err)
			}
			if h, _ := Felt(p.Hash); h != tx.Hash(chain, true) {
				t.Errorf("%s: hash %s", tx.Kind(), h)
			}
		}
	}
	if sent < 4 {
		t.Errorf("only %d transactions could be sent", sent)
	}
}

func overTheWire[M proto.Message](t testing.TB, m M) M {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := reflect.New(reflect.TypeOf(m).Elem()).Interface().(M)
	if err := proto.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

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

// FuzzMessages decodes any bytes as each message: errors, never a panic; and what is accepted survives the way back.
func FuzzMessages(f *testing.F) {
	for _, file := range load(f, "0.14.1") {
		data, _ := proto.Marshal(FromStateDiff(&file.Update.Diff))
		f.Add(data)
		for _, tx := range file.Block.Transactions {
			p, _ := FromTransaction(tx.Transaction, felt.One(), false)
			data, _ := proto.Marshal(p)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var tx ordov1.Transaction
		if proto.Unmarshal(data, &tx) == nil {
			if got, err := Transaction(&tx); err == nil {
				p, err := FromTransaction(got, felt.One(), false)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := Transaction(p); err != nil || !reflect.DeepEqual(again, got) {
					t.Fatalf("%v is not %v (%v)", again, got, err)
				}
			}
		}
		var diff ordov1.StateDiff
		if proto.Unmarshal(data, &diff) == nil {
			if got, err := StateDiff(&diff); err == nil {
				if again, err := StateDiff(FromStateDiff(got)); err != nil || !reflect.DeepEqual(again, got) {
					t.Fatalf("%v is not %v (%v)", again, got, err)
				}
			}
		}
		var res ordov1.TransactionResult
		if proto.Unmarshal(data, &res) == nil {
			Receipt(&res)
		}
		var h ordov1.BlockHeader
		if proto.Unmarshal(data, &h) == nil {
			Header(&h)
		}
	})
}
