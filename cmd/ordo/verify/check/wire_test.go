package check

import (
	"os"
	"reflect"
	"testing"

	"github.com/ordo-sequencer/ordo/cmd/ordo/verify/feeder"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
	"github.com/ordo-sequencer/ordo/test/facts"
	"google.golang.org/protobuf/proto"
)

// realFiles reads real data of public chains.
func realFiles(t testing.TB, set string) (out []*feeder.File) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + set + ".facts")
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
	for _, f := range realFiles(t, "0.14.1") {
		b := f.Block
		var signed []starknet.Signed
		var receipts []starknet.Receipt
		for i, tx := range b.Transactions {
			p, err := wire.FromTransaction(tx.Transaction, chain, false)
			if err != nil {
				t.Fatal(err)
			}
			p = overTheWire(t, p)
			h, err := wire.TransactionHash(p, chain)
			if err != nil || h != *tx.Expected {
				t.Fatalf("transaction %d: %s, %v, want %s", i, h, err, tx.Expected)
			}
			back, err := wire.Transaction(p)
			if err != nil {
				t.Fatal(err)
			}
			signed = append(signed, starknet.Signed{Hash: h, Signature: back.SignedWith()})

			rc := b.Receipts[i]
			hi, lo, _ := rc.Fee.Uint128()
			res := &ordov1.TransactionResult{Hash: wire.FromFelt(rc.Hash), Status: ordov1.TransactionResult_SUCCEEDED,
				ActualFee: wire.FromUint128(starknet.Uint128{Hi: hi, Lo: lo}), Gas: &ordov1.Gas{L1Gas: rc.Gas.L1, L1DataGas: rc.Gas.L1Data, L2Gas: rc.Gas.L2}}
			for _, e := range rc.Events {
				res.Events = append(res.Events, &ordov1.Event{FromAddress: wire.FromFelt(e.From), Keys: felt.Pack(e.Keys), Data: felt.Pack(e.Data)})
			}
			got, err := wire.Receipt(overTheWire(t, res))
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, got)
		}
		diff, err := wire.StateDiff(overTheWire(t, wire.FromStateDiff(&f.Update.Diff)))
		if err != nil {
			t.Fatal(err)
		}
		h := starknet.Header{Number: b.Header.Number, StateRoot: b.Header.StateRoot, Sequencer: b.Header.Sequencer, Timestamp: b.Header.Timestamp,
			BlobDA: b.Header.BlobDA, GasPrices: b.Header.GasPrices, Version: b.Header.Version, ParentHash: b.Header.ParentHash}
		if err := h.Fill(signed, receipts, diff); err != nil {
			t.Fatal(err)
		}
		p, err := wire.FromHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Header(overTheWire(t, p))
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
	for _, f := range realFiles(t, "transactions") {
		for _, tx := range f.Transactions {
			p, err := wire.FromTransaction(tx.Transaction, chain, true)
			v3, ok := tx.Transaction.(interface{ Version3() *starknet.V3 })
			_, l1 := tx.Transaction.(*starknet.L1Handler)
			if possible := l1 || (ok && v3.Version3().Bounds.L1DataGas != nil); (err == nil) != possible {
				t.Errorf("%s: %v", tx.Kind(), err)
			}
			if err != nil {
				continue
			}
			sent++
			back, err := wire.Transaction(overTheWire(t, p))
			if err != nil || back.Hash(chain, true) != tx.Hash(chain, true) {
				t.Errorf("%s: %v", tx.Kind(), err)
			}
			if h, _ := wire.Felt(p.Hash); h != tx.Hash(chain, true) {
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

// FuzzMessages decodes any bytes as each message: errors, never a panic; and what is accepted survives the way back.
func FuzzMessages(f *testing.F) {
	for _, file := range realFiles(f, "0.14.1") {
		data, _ := proto.Marshal(wire.FromStateDiff(&file.Update.Diff))
		f.Add(data)
		for _, tx := range file.Block.Transactions {
			p, _ := wire.FromTransaction(tx.Transaction, felt.One(), false)
			data, _ := proto.Marshal(p)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var tx ordov1.Transaction
		if proto.Unmarshal(data, &tx) == nil {
			if got, err := wire.Transaction(&tx); err == nil {
				p, err := wire.FromTransaction(got, felt.One(), false)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := wire.Transaction(p); err != nil || !reflect.DeepEqual(again, got) {
					t.Fatalf("%v is not %v (%v)", again, got, err)
				}
			}
		}
		var diff ordov1.StateDiff
		if proto.Unmarshal(data, &diff) == nil {
			if got, err := wire.StateDiff(&diff); err == nil {
				if again, err := wire.StateDiff(wire.FromStateDiff(got)); err != nil || !reflect.DeepEqual(again, got) {
					t.Fatalf("%v is not %v (%v)", again, got, err)
				}
			}
		}
		var res ordov1.TransactionResult
		if proto.Unmarshal(data, &res) == nil {
			wire.Receipt(&res)
		}
		var h ordov1.BlockHeader
		if proto.Unmarshal(data, &h) == nil {
			wire.Header(&h)
		}
	})
}
