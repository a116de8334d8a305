package openrpc

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const small = `
error 24 BLOCK_NOT_FOUND "Block not found"
error 29 TXN_HASH_NOT_FOUND "Transaction hash not found"
method starknet_a() -> int ! 24
method starknet_b() -> {n int} ! 24 29
`

func smallChecker(t *testing.T) *Checker {
	t.Helper()
	table, err := Parse(small)
	if err != nil {
		t.Fatal(err)
	}
	return &Checker{Table: table}
}

// TestAnswersWithoutARow: a method, a field or a code that the table does not have is an error.
func TestAnswersWithoutARow(t *testing.T) {
	for _, c := range []struct{ method, result, failure, want string }{
		{"starknet_a", "7", "", ""},
		{"starknet_a", "", `{"code":24,"message":"Block not found"}`, ""},
		{"starknet_a", "", `{"code":-32602,"message":"invalid params"}`, ""},
		{"devnet_mint", `{"any":"thing"}`, "", ""},
		{"starknet_c", "", `{"code":-32601,"message":"no such method"}`, ""},
		{"starknet_c", "7", "", "no such method"},
		{"starknet_b", `{"n":1,"m":2}`, "", "unknown field m"},
		{"starknet_a", "", `{"code":29,"message":"Transaction hash not found"}`, "not among the method's"},
		{"starknet_a", "", `{"code":24,"message":"block not found"}`, "the message"},
		{"starknet_a", "", `[]`, "the error is"},
	} {
		var result, failure []byte
		if c.failure != "" {
			failure = []byte(c.failure)
		} else {
			result = []byte(c.result)
		}
		err := smallChecker(t).Answer(c.method, result, failure)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s%s: %v, want %q", c.method, c.result, c.failure, err, c.want)
		}
	}
}

// TestMissing lists what was never seen, what has no reason, and what has a wrong one.
func TestMissing(t *testing.T) {
	c := smallChecker(t)
	c.Saw("starknet_a", Result)
	c.Saw("starknet_b", 24)
	never := Reasons{"starknet_a": {24: "it has no blocks"}, "starknet_b": {24: "wrong"}}
	missing := c.Missing(c.Table, never)
	for i, want := range []string{"starknet_b: a result was never seen", "starknet_b: error 24 was seen", "starknet_b: error 29 was never seen"} {
		if len(missing) != 3 || !strings.HasPrefix(missing[i], want) {
			t.Fatalf("missing: %q", missing)
		}
	}
	if unasked := c.Unasked(c.Table, nil); !slices.Equal(unasked, []string{"starknet_b"}) {
		t.Errorf("unasked: %v", unasked)
	}
}

// TestTransportFindsWrongAnswers in batches too, and passes everything on as it is.
func TestTransportFindsWrongAnswers(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	}))
	defer server.Close()
	for _, c := range []struct{ sent, got, want string }{
		{`{"id":1,"method":"starknet_a"}`, `{"id":1,"result":7}`, ""},
		{`{"id":1,"method":"starknet_a"}`, `{"id":1,"result":"7"}`, "not a number"},
		{`{"id":1,"method":"starknet_a"}`, `{"id":1}`, "one of result and error"},
		{`{"id":1,"method":"starknet_a"}`, `7]`, "not JSON"},
		{`[{"id":1,"method":"starknet_a"},{"id":"x","method":"starknet_b"}]`, `[{"id":"x","result":{"n":1}},{"id":1,"result":7}]`, ""},
		{`[{"id":1,"method":"starknet_a"},{"id":"x","method":"starknet_b"}]`, `[{"id":"x","result":7},{"id":1,"result":7}]`, "starknet_b"},
		{`garbage`, `{"id":null,"error":{"code":-32700,"message":"parse error"}}`, ""},
	} {
		answer = c.got
		wrong := ""
		client := &http.Client{Transport: &Transport{Checker: smallChecker(t), Wrong: func(err error) { wrong += err.Error() }}}
		response, err := client.Post(server.URL, "application/json", strings.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(text) != c.got {
			t.Errorf("%s: passed on %s, %v", c.sent, text, err)
		}
		if (wrong == "") != (c.want == "") || !strings.Contains(wrong, c.want) {
			t.Errorf("%s %s: %q, want %q", c.sent, c.got, wrong, c.want)
		}
	}
}
