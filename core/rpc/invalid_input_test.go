package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/mutate"
)

// right has a good value for every parameter name; the wrong ones are put in their places one by one.
var right = map[string]string{
	"block_id": `"latest"`, "transaction_hash": `"0x101"`, "contract_address": `"0x77"`, "class_hash": `"0xc1"`, "key": `"0x1"`, "index": `0`,
	"response_flags": `[]`, "contract_addresses": `["0x77"]`, "filter": `{"chunk_size":1}`, "trace_flags": `[]`, "simulation_flags": `[]`,
	"class_hashes": `["0xc1"]`, "contracts_storage_keys": `[{"contract_address":"0x99","storage_keys":["0x1"]}]`,
	"transactions": `[]`, "message": `{"from_address":"0x8888888888888888888888888888888888888888","to_address":"0x88","entry_point_selector":"0x1","payload":[]}`,
	"request": `{"contract_address":"0x77","entry_point_selector":"0x1","calldata":[]}`, "address": `"0x77"`, "time": `3000000000`,
	"invoke_transaction": ``, "declare_transaction": ``, "deploy_account_transaction": ``,
}

var optional = []string{"response_flags", "contract_addresses", "trace_flags", "class_hashes", "contracts_storage_keys"}

// TestInvalidInputIsRejected puts wrong values into every parameter of every method: each is refused as -32602 and names the parameter.
func TestInvalidInputIsRejected(t *testing.T) {
	w, _ := extendedWorld(t)
	server := w.server
	tried := 0
	for name, m := range server.methods {
		for at, param := range m.Params {
			for _, wrong := range []string{`7.5`, `-1`, `{"x":1}`, `[[7]]`, `"0xzz"`, `true`, `""`, `{}`, `null`, `missing`} {
				fields := map[string]json.RawMessage{}
				for i, other := range m.Params {
					switch {
					case other == "request" && name == "starknet_estimateFee":
						fields[other] = json.RawMessage(`[]`)
					case i != at:
						fields[other] = json.RawMessage(right[other])
					case wrong != "missing":
						fields[other] = json.RawMessage(wrong)
					}
					if i == at && wrong == "missing" {
						delete(fields, other)
					} else if i == at {
						fields[other] = json.RawMessage(wrong)
					}
					if len(fields[other]) == 0 {
						delete(fields, other)
					}
				}
				left := slices.Contains(optional, param) || strings.HasPrefix(name, "starknet_subscribe") && param != "transaction_hash"
				if left && (wrong == "null" || wrong == "missing") || param == "subscription_id" && wrong[0] == '"' {
					continue
				}
				params, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				tried++
				_, failed := server.Call(t.Context(), name, params)
				if failed == nil || failed.Code != InvalidParams || !strings.Contains(failed.Message, param) {
					t.Errorf("%s %s: %v", name, params, failed)
				}
			}
		}
	}
	if tried < 300 {
		t.Errorf("only %d calls were tried", tried)
	}
}

func TestBodies(t *testing.T) {
	handler := newWorld(t).server
	send := func(method, path string, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, httptest.NewRequest(method, path, body))
		return r
	}
	large := `{"jsonrpc":"2.0","id":1,"method":"starknet_chainId","params":["` + strings.Repeat("a", DefaultLimits().Body) + `"]}`
	if r := send(http.MethodPost, "/", strings.NewReader(large)); r.Code != http.StatusRequestEntityTooLarge || !strings.Contains(r.Body.String(), "-32600") {
		t.Errorf("a large body: %d %s", r.Code, r.Body)
	}
	batch := "[" + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"starknet_chainId"},`, DefaultLimits().Batch+1), ",") + "]"
	if r := send(http.MethodPost, "/", strings.NewReader(batch)); !strings.Contains(r.Body.String(), "at most 1000") {
		t.Errorf("a large batch: %s", r.Body)
	}
	if r := send(http.MethodPut, "/", nil); r.Code != http.StatusMethodNotAllowed {
		t.Errorf("put: %d", r.Code)
	}
	r := send(http.MethodOptions, "/", nil)
	if r.Code != http.StatusNoContent || r.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("what browsers ask first: %d %v", r.Code, r.Header())
	}
	for _, origin := range []string{"", "https://wallet.example"} {
		q := httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(chainIDRequest))
		want := ""
		if origin != "" { // a page in a browser
			q.Header.Set("Origin", origin)
			want = "*"
		}
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, q)
		if h := r.Header(); h.Get("Access-Control-Allow-Origin") != want || h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != fmt.Sprint(r.Body.Len()) {
			t.Errorf("headers for origin %q: %v", origin, h)
		}
	}
}

// TestABatchKeepsItsOrder: answers come in the order of the requests.
func TestABatchKeepsItsOrder(t *testing.T) {
	handler := newWorld(t).server
	var requests []string
	for i := range 50 {
		requests = append(requests, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"starknet_getNonce","params":[{"block_number":%d},"0x77"]}`, i, i%3))
	}
	r := httptest.NewRecorder()
	handler.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("["+strings.Join(requests, ",")+"]")))
	var answers []struct {
		ID     int
		Result string
	}
	if err := json.Unmarshal(r.Body.Bytes(), &answers); err != nil || len(answers) != 50 {
		t.Fatal(err, r.Body)
	}
	for i, a := range answers {
		if want := []string{"0x0", "0x2", "0x3"}[i%3]; a.ID != i || a.Result != want {
			t.Errorf("answer %d: id %d, %s", i, a.ID, a.Result)
		}
	}
}

func TestElements(t *testing.T) {
	for text, want := range map[string]int{
		`{"a":[1,2,3]}`: 1, ` [ ]`: 1, `[1]`: 1, `[1,2]`: 2, `["a,b","c\",d"]`: 2, `[[1,2],{"a":1,"b":[3,4]},"\\"]`: 3, `7`: 1,
	} {
		if got := elements([]byte(text)); got != want {
			t.Errorf("%s has %d elements, want %d", text, got, want)
		}
	}
}

// TestABatchIsBounded: what would make the answer too large is not run, and says so under its own id.
func TestABatchIsBounded(t *testing.T) {
	handler := newWorld(t).server
	ran := 0
	handler.methods["test_large"] = Method{Class: Open, Call: func(context.Context, *Params) (any, error) {
		ran++
		return strings.Repeat("a", DefaultLimits().Answer/4), nil
	}}
	var requests []string
	for i := range 10 {
		requests = append(requests, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"test_large"}`, i))
	}
	r := httptest.NewRecorder()
	handler.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("["+strings.Join(requests, ",")+"]")))
	var answers []struct {
		ID    int
		Error *Error
	}
	if err := json.Unmarshal(r.Body.Bytes(), &answers); err != nil || len(answers) != 10 {
		t.Fatal(len(answers), err)
	}
	for i, a := range answers {
		if a.ID != i || (a.Error != nil) != (i >= 4) {
			t.Errorf("answer %d: id %d, %v", i, a.ID, a.Error)
		}
	}
	if ran != 4 {
		t.Errorf("%d requests were run, want 4", ran)
	}
}

// FuzzPost: whatever is posted gets a JSON-RPC answer, or none when it holds only notifications, and never an internal error.
func FuzzPost(f *testing.F) {
	w, _ := extendedWorld(f)
	for name, m := range w.server.methods {
		var list []string
		for _, p := range m.Params {
			if right[p] != "" {
				list = append(list, right[p])
			}
		}
		f.Add(`{"jsonrpc":"2.0","id":1,"method":"` + name + `","params":[` + strings.Join(list, ",") + `]}`)
	}
	f.Add(`[{"jsonrpc":"2.0","id":1,"method":"starknet_chainId"},{"jsonrpc":"2.0","method":"x"}]`)
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"starknet_getEvents","params":{"filter":{"chunk_size":2,"continuation_token":"1-2","keys":[["0x1"],[]],"address":["0x1"]}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if r.Code == http.StatusNoContent && r.Body.Len() == 0 {
			return
		}
		var one envelope
		var many []envelope
		if json.Unmarshal(r.Body.Bytes(), &one) == nil {
			many = append(many, one)
		} else if err := json.Unmarshal(r.Body.Bytes(), &many); err != nil {
			t.Fatalf("%q: answer %s", body, r.Body)
		}
		for _, a := range many {
			if a.Version != "2.0" || a.Error != nil && a.Error.Code == InternalError {
				t.Fatalf("%q: answer %s", body, r.Body)
			}
		}
	})
}

// FuzzMethod: whatever the parameters, each method answers with a result or an error of its own.
func FuzzMethod(f *testing.F) {
	w := attackWorld(f)
	for method, bodies := range corpus(f, w.server) {
		for _, body := range bodies {
			var request struct{ Params json.RawMessage }
			if json.Unmarshal(body, &request) == nil {
				f.Add(method, []byte(request.Params))
			}
		}
	}
	f.Fuzz(func(t *testing.T, method string, params []byte) {
		if _, ok := w.server.methods[method]; !ok || !json.Valid(params) {
			return // not a request of a method
		}
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, posted(string(mutate.Request(method, string(params)))))
		if err := mutate.Check(method, r.Code, r.Body.Bytes()); err != nil {
			t.Fatalf("%s %s: %v: %s", method, params, err, r.Body)
		}
	})
}

// FuzzToken: a continuation token that is read is written the same.
func FuzzToken(f *testing.F) {
	f.Add("1-2")
	f.Add("ffffffffffffffff-0")
	f.Add("0x1-2")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := parseToken(text); err == nil && token.String() != text {
			t.Fatalf("%q is read as %q", text, token)
		}
	})
}
