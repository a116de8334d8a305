package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/mutate"
)

// TestMethods answer what clients of starknet-devnet expect.
func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ method, params, want string }{
		{"devnet_getPredeployedAccounts", `[]`, `[{"initial_balance":"1000","address":"0x77","public_key":"0x1","private_key":"0x2"}]`},
		{"devnet_getPredeployedAccounts", `{"with_balance":true}`,
			`[{"initial_balance":"1000","address":"0x77","public_key":"0x1","private_key":"0x2","balance":{"eth":{"amount":"40493601663591677152141578284380417163495","unit":"WEI"},"strk":{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}}}]`},
		{"devnet_getAccountBalance", `{"address":"0x77"}`, `{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}`},
		{"devnet_getAccountBalance", `{"address":"0x77","unit":"WEI","block_tag":"latest"}`, `{"amount":"40493601663591677152141578284380417163495","unit":"WEI"}`},
		{"devnet_getAccountBalance", `{"address":"0x77","block_id":{"block_number":1}}`, `{"amount":"40493601663591677152141578284380417163351","unit":"FRI"}`},
		{"devnet_createBlock", `[]`, `{"block_hash":"0xb10c2"}`},
	} {
		if got := call(t, w, c.method, c.params); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.method, c.params, got, c.want)
		}
	}
	for _, field := range []string{`"seed":7`, `"account_contract_class_hash":"0xc1"`, `"total_accounts":1`, `"chain_id":"SN_SEPOLIA"`} {
		if got := call(t, w, "devnet_getConfig", ``); !strings.Contains(got, field) {
			t.Errorf("devnet_getConfig lacks %s: %s", field, got)
		}
	}
}

// TestForbiddenMethods are known and do nothing.
func TestForbiddenMethods(t *testing.T) {
	w := newWorld(t)
	made := 0
	w.options.CreateBlock = func(context.Context) (felt.Felt, error) { made++; return felt.One(), nil }
	w.options.Forbidden = []string{"devnet_createBlock", "devnet_dump"}
	w.serve(AtOnce(w.chain))
	if got := call(t, w, "devnet_createBlock", `[]`); !strings.Contains(got, "-32604") || made != 0 {
		t.Error(got, made)
	}
	if got := call(t, w, "devnet_dump", `[]`); !strings.Contains(got, "-32601") {
		t.Error(got)
	}
}

// TestMethodsAreNamed: both READMEs name every method that is served, and no other.
func TestMethodsAreNamed(t *testing.T) {
	w := newWorld(t)
	for _, file := range []string{"../README.md", "README.md"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, m := range regexp.MustCompile("`(devnet_[A-Za-z]+)`").FindAllStringSubmatch(string(raw), -1) {
			named = append(named, m[1])
		}
		for name := range w.methods() {
			if !slices.Contains(named, name) {
				t.Errorf("%s does not name %s", file, name)
			}
		}
		for _, name := range named {
			if _, served := w.methods()[name]; !served {
				t.Errorf("%s names %s, which is not served", file, name)
			}
		}
	}
}

// TestMethodsAreGuarded: none of them takes a request that a foreign page could have made.
func TestMethodsAreGuarded(t *testing.T) {
	w := newWorld(t)
	for name, m := range w.methods() {
		if m.Class != rpc.Guarded {
			t.Errorf("%s is open to all pages", name)
		}
		q := posted(string(mutate.Request(name, "[]")))
		q.Header.Set("Origin", "https://evil.example")
		r := httptest.NewRecorder()
		if w.server.ServeHTTP(r, q); r.Code != http.StatusForbidden || !strings.Contains(r.Body.String(), name) {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
	}
}

// valid has a good value for every parameter name; the wrong ones are put in their places one by one.
var valid = map[string]string{
	"block_id": `"latest"`, "with_balance": `false`, "address": `"0x77"`, "amount": `1`, "unit": `"FRI"`, "block_tag": `"latest"`,
	"time": `3000000000`, "generate_block": `false`,
}

var optional = []string{"with_balance", "unit", "block_tag", "generate_block", "block_id"}

// TestInvalidInputIsRejected: a wrong value in any parameter of any method is -32602 and names the parameter.
func TestInvalidInputIsRejected(t *testing.T) {
	w := newWorld(t)
	tried := 0
	for name, m := range w.methods() {
		for at, param := range m.Params {
			for _, wrong := range []string{`7.5`, `-1`, `{"x":1}`, `[[7]]`, `"0xzz"`, `true`, `""`, `{}`, `null`, `missing`} {
				fields := map[string]json.RawMessage{}
				for i, other := range m.Params {
					if fields[other] = json.RawMessage(valid[other]); i == at {
						fields[other] = json.RawMessage(wrong)
					}
				}
				if wrong == "missing" {
					delete(fields, param)
				}
				if slices.Contains(optional, param) && (wrong == "null" || wrong == "missing") || valid[param] == `false` && wrong == "true" {
					continue
				}
				params, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				tried++
				_, failed := w.server.Call(t.Context(), name, params)
				if failed == nil || failed.Code != rpc.InvalidParams || !strings.Contains(failed.Message, param) {
					t.Errorf("%s %s: %v", name, params, failed)
				}
			}
		}
	}
	if tried < 90 {
		t.Errorf("only %d calls were tried", tried)
	}
}

// request is a valid one of a method.
func request(name string, m rpc.Method) []byte {
	fields := map[string]json.RawMessage{}
	for _, p := range m.Params {
		fields[p] = json.RawMessage(valid[p])
	}
	params, _ := json.Marshal(fields)
	return mutate.Request(name, string(params))
}

// TestMutatedBodies: a damaged request of every method gets a JSON-RPC answer with an error that the method may have. The
// bodies are the same in every run.
func TestMutatedBodies(t *testing.T) {
	w := newWorld(t)
	results := 0
	for name, m := range w.methods() {
		if name == "devnet_setTime" || name == "devnet_increaseTime" {
			continue // they close blocks until one has the time, which these blocks never have
		}
		seed := fnv.New64a()
		io.WriteString(seed, name)
		random := rand.New(rand.NewPCG(seed.Sum64(), 1))
		for range 50 {
			body, r := mutate.Body(random, request(name, m)), httptest.NewRecorder()
			w.server.ServeHTTP(r, posted(string(body)))
			if err := mutate.Check(name, r.Code, r.Body.Bytes()); err != nil {
				t.Errorf("%s: %v\nrequest %.600s\nanswer %.600s", name, err, body, r.Body)
			}
			if bytes.Contains(r.Body.Bytes(), []byte(`"result":`)) {
				results++
			}
		}
	}
	if results == 0 {
		t.Error("no damaged request has a result: the damage is too large to test much")
	}
}

// FuzzMethod: whatever the parameters, each method answers with a result or an error of its own.
func FuzzMethod(f *testing.F) {
	w := newWorld(f)
	for name, m := range w.methods() {
		var body struct{ Params json.RawMessage }
		if err := json.Unmarshal(request(name, m), &body); err != nil {
			f.Fatal(err)
		}
		f.Add(name, []byte(body.Params))
	}
	f.Fuzz(func(t *testing.T, method string, params []byte) {
		if _, ok := w.methods()[method]; !ok || !json.Valid(params) || method == "devnet_mint" || method == "devnet_setTime" {
			return // not a request of a method, or one that waits for the clock
		}
		r := httptest.NewRecorder()
		w.server.ServeHTTP(r, posted(string(mutate.Request(method, string(params)))))
		if err := mutate.Check(method, r.Code, r.Body.Bytes()); err != nil {
			t.Fatalf("%s %s: %v: %s", method, params, err, r.Body)
		}
	})
}

// posted is a request as programs on this machine send it.
func posted(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:5050/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}
