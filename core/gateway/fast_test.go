package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/mutate"
)

// agree holds the quick reader beside the careful one: the same transaction, or none. read says whether there was one.
func agree(t *testing.T, raw []byte) (read bool) {
	t.Helper()
	q := jsonin.NewFast(raw)
	quick := ReadInvoke(&q)
	if quick == nil || !q.Ended() {
		return false
	}
	if !json.Valid(raw) {
		t.Fatalf("%s is not json, and was read", raw)
	}
	careful, err := readCarefully(raw)
	if err != nil {
		t.Fatalf("%s: the careful reader: %v", raw, err)
	}
	if !proto.Equal(quick.Transaction, careful.Transaction) || quick.Class != nil || careful.Class != nil || quick.Proof != careful.Proof {
		t.Fatalf("%s is read as\n%v\nthe careful reader has\n%v", raw, quick.Transaction, careful.Transaction)
	}
	return true
}

var unusual = map[string]string{
	"version": `"0x100000000000000000000000000000003"`, "nonce": `"0x800000000000011000000000000000000000000000000000000000000000001"`,
	"sender_address": `"0x0000000000000000000000000000000000000000000000000000000000000000077"`, "tip": `"0x10000000000000000"`, "calldata": `["0x1",]`,
	"signature": `["\u0030x1"]`, "proof": `""`, "proof_facts": `[]`, "fee_data_availability_mode": `"L3"`, "type": `"DECLARE"`, "paymaster_data": `null`, "more": `1`,
}

func TestQuickAndCarefulAgree(t *testing.T) {
	for _, same := range []json.RawMessage{
		transaction("INVOKE"), transaction("INVOKE", "nonce", `"0x0003"`), transaction("INVOKE", "calldata", ` [ "0xABCdef" , "0x7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"] `),
		transaction("INVOKE", "version", ` "0x03"`, "fee_data_availability_mode", `"L2"`, "paymaster_data", `["0x1"]`, "tip", `"0xffffffffffffffff"`),
	} {
		if !agree(t, same) {
			t.Errorf("the quick reader gave up: %s", same)
		}
	}
	for field, value := range unusual {
		if raw := transaction("INVOKE", field, value); agree(t, raw) {
			t.Errorf("the quick reader takes %s", raw)
		}
	}
	whole := transaction("INVOKE")
	for _, wrong := range []string{"", "{", "{}", "[]", "7", string(whole[:len(whole)-1]), string(whole) + "x", strings.Replace(string(whole), `"tip":`, `"nonce":"0x3","tip":`, 1)} {
		if agree(t, []byte(wrong)) {
			t.Errorf("the quick reader takes %s", wrong)
		}
	}
	r := rand.New(rand.NewPCG(5, 5))
	taken := 0
	for range 2000 {
		if agree(t, mutate.Body(r, whole)) {
			taken++
		}
	}
	if taken == 0 {
		t.Error("no mutated transaction was read: the mutations show nothing")
	}
}

// FuzzFastInvoke: the quick reader gives up or reads what the careful one reads.
func FuzzFastInvoke(f *testing.F) {
	f.Add([]byte(transaction("INVOKE")))
	for field, value := range unusual {
		f.Add([]byte(transaction("INVOKE", field, value)))
	}
	f.Add([]byte(transaction("DECLARE")))
	f.Fuzz(func(t *testing.T, raw []byte) { agree(t, raw) })
}

// TestHashesSideBySide: in a flood each gets the hash that it would get alone, with and without proof facts, known bounds or lists.
func TestHashesSideBySide(t *testing.T) {
	h := newHasher(sepolia)
	r := rand.New(rand.NewPCG(1, 2))
	lengths := func(n int) string {
		list := make([]string, r.IntN(n))
		for i := range list {
			list[i] = fmt.Sprintf(`"%#x"`, r.Uint64())
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	facts, err := os.ReadFile("testdata/invoke_sepolia.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct{ Transaction json.RawMessage }
	if err := json.Unmarshal(facts, &vector); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		var bare []*ordov1.Transaction
		var want []string
		for range 1 + r.IntN(40) {
			raw := transaction("INVOKE", "calldata", lengths(20), "paymaster_data", lengths(3), "account_deployment_data", lengths(3), "tip", fmt.Sprintf(`"%#x"`, r.IntN(4)))
			if r.IntN(10) == 0 {
				raw = vector.Transaction
			}
			b, err := Decode(raw, sepolia)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(b.Transaction.Hash))
			b.Transaction.Hash = nil
			bare = append(bare, b.Transaction)
		}
		if err := h.all(bare); err != nil {
			t.Fatal(err)
		}
		for i, tx := range bare {
			if string(tx.Hash) != want[i] || len(tx.Hash) != felt.Size {
				t.Fatalf("transaction %d of %d: hash %x, want %x", i, len(bare), tx.Hash, want[i])
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	raw := transaction("INVOKE", "calldata", `["0x1","0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d","0x83afd3f4caedc6eebf44246fe54e38c95e3179a5ec9ea81740eca5b482d12e","0x3","0x78662e7352d062084b0010068b99288486c2d8b914f6e2a55ce945f8792c8b1","0x1","0x0"]`,
		"signature", `["0x71d7bb07b9a64f6f78ac4c816aff4da9e1406455b7d66b1690803be066cbe5e","0x260a8311b4f1092db620b923e8d7d20e76dedcc615fb4b6fdf28315b81de201"]`)
	for name, read := range map[string]func(json.RawMessage) (*Broadcast, error){"fast": read, "careful": readCarefully} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := read(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHash is per transaction: alone, as before there was a hasher, and in batches.
func BenchmarkHash(b *testing.B) {
	for _, n := range []int{0, 1, 8, 64} {
		txs := make([]*ordov1.Transaction, max(n, 1))
		for i := range txs {
			bc, err := Decode(transaction("INVOKE", "nonce", fmt.Sprintf(`"%#x"`, i), "calldata", `["0x1","0x2","0x3","0x4","0x5","0x6","0x7"]`), sepolia)
			if err != nil {
				b.Fatal(err)
			}
			txs[i] = bc.Transaction
		}
		h := newHasher(sepolia)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var err error
				if n == 0 {
					err = (&Broadcast{Transaction: txs[0]}).hash(sepolia)
				} else {
					err = h.all(txs)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(txs)), "ns/tx")
		})
	}
}
