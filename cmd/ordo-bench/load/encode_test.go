package load

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// TestInvoke: what is written by hand is read by the node as the transaction that was signed.
func TestInvoke(t *testing.T) {
	s := testSigner()
	e, err := newEncoder(s.bounds)
	if err != nil {
		t.Fatal(err)
	}
	list := someTransactions(4)
	for i, one := range s.signMany(list) {
		var request struct {
			ID     int    `json:"id"`
			Method string `json:"method"`
			Params struct {
				Tx json.RawMessage `json:"invoke_transaction"`
			} `json:"params"`
		}
		if err := json.Unmarshal(e.invoke(nil, i, &list[i], &one), &request); err != nil {
			t.Fatal(err)
		}
		got, err := gateway.Decode(request.Params.Tx, s.chain)
		if err != nil {
			t.Fatal(err)
		}
		if request.ID != i || request.Method != "starknet_addInvokeTransaction" || string(got.Transaction.Hash) != string(wire.FromFelt(one.hash)) ||
			string(got.Transaction.Signature) != string(felt.Pack([]felt.Felt{one.r, one.s})) {
			t.Errorf("transaction %d is read as %v", i, got.Transaction)
		}
	}
}

func TestAppendFelt(t *testing.T) {
	for _, f := range []felt.Felt{felt.Zero(), felt.One(), felt.FromUint64(0x10), felt.FromUint64(0xabc), felt.Zero().Sub(felt.One())} {
		if got := string(appendFelt(nil, f)); got != `"`+f.Hex()+`"` {
			t.Errorf("%s, want %s", got, f.Hex())
		}
	}
}

func TestReadAnswers(t *testing.T) {
	for _, c := range []struct {
		raw  string
		n    int
		want string // hashes, or codes of errors
		err  string
	}{
		{`{"id":0,"result":{"transaction_hash":"0x1"}}`, 1, "0x1", ""},
		{`[{"id":1,"result":{"transaction_hash":"0x2"}},{"id":0,"error":{"code":55,"message":"no"}}]`, 2, "no 0x2", ""},
		{`{"id":null,"error":{"code":-32600,"message":"too many"}}`, 2, "", "too many"},
		{`[{"id":1},{"id":1}]`, 2, "", "not what json-rpc asks for"},
		{`[{"id":0}]`, 2, "", "not what json-rpc asks for"},
		{`[{"id":-1}]`, 1, "", "not what json-rpc asks for"},
		{`nonsense`, 1, "", "not what json-rpc asks for"},
	} {
		list, err := readAnswers([]byte(c.raw), c.n)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.raw, err)
			}
			continue
		}
		var got []string
		for _, a := range list {
			if a.Error != nil {
				got = append(got, a.Error.Message)
			} else {
				got = append(got, a.Result.Hash)
			}
		}
		if err != nil || !reflect.DeepEqual(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, %v", c.raw, got, err)
		}
	}
}
