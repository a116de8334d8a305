package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ordo-sequencer/ordo/core/gateway"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// testExtension has three guarded methods and an open one, and lets a test hold answers back.
type testExtension struct {
	oneByOne bool
	held     chan struct{} // answers wait until it is closed; nil: they do not wait
	first    error         // why the first of those that are awaited together is in no block

	mu        sync.Mutex
	submitted []string
	awaited   [][]string
}

func (e *testExtension) Methods(s *Server) map[string]Method {
	return map[string]Method{
		"test_getKeys": {Call: func(context.Context, *Params) (any, error) { return []string{"private_key"}, nil }},
		"test_setTime": {Params: []string{"time"}, Call: func(_ context.Context, p *Params) (any, error) { return p.Number("time"), p.Err() }},
		"test_balance": {Params: []string{"address", "block_id"}, Call: func(ctx context.Context, p *Params) (any, error) {
			address, raw := p.Felt("address"), p.Raw("block_id")
			if err := p.Err(); err != nil {
				return nil, err
			}
			id, err := DecodeBlockID(raw)
			if err != nil {
				return nil, InvalidParam("block_id", "%v", err)
			}
			at, err := s.Block(ctx, id)
			if err != nil {
				return nil, err
			}
			result, err := s.CallContract(ctx, at, &ordov1.CallView{Contract: address, Selector: fe(1), Calldata: fes(5)})
			return hexFelts(result), err
		}},
		"test_open": {Class: Open, Call: func(context.Context, *Params) (any, error) { return "open", nil }},
	}
}

func (e *testExtension) Submitted(hash []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.submitted = append(e.submitted, string(hash))
}

func (e *testExtension) Await(_ context.Context, hashes ...[]byte) []error {
	var group []string
	for _, hash := range hashes {
		group = append(group, string(hash))
	}
	e.mu.Lock()
	e.awaited = append(e.awaited, group)
	e.mu.Unlock()
	if e.held != nil {
		<-e.held
	}
	errs := make([]error, len(hashes))
	errs[0] = e.first
	return errs
}

func (e *testExtension) OneByOne() bool { return e.oneByOne }

// extendedWorld is the small chain behind a server with a testExtension and a list of plugins.
func extendedWorld(t testing.TB) (*world, *testExtension) {
	w, e := newWorld(t), &testExtension{}
	o := w.server.Options
	o.Extension = e
	o.Plugins = func(context.Context) []PluginInfo {
		return []PluginInfo{{Stage: "ordering", Name: "fifo", Version: "1.0.0", PID: 7, Capabilities: []string{"arrival"}, Calls: 3, P50: 0.5}}
	}
	w.server = New(o)
	return w, e
}

func call(t *testing.T, w *world, name, params string) string {
	t.Helper()
	result, failed := w.server.Call(t.Context(), name, json.RawMessage(params))
	var v any = result
	if failed != nil {
		v = failed
	}
	raw, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestMethodsBesideTheSpecification are served when the server was given them, and not otherwise.
func TestMethodsBesideTheSpecification(t *testing.T) {
	w, _ := extendedWorld(t)
	for _, c := range []struct{ method, params, want string }{
		{"ordo_plugins", ``, `[{"stage":"ordering","name":"fifo","version":"1.0.0","pid":7,"generation":0,"capabilities":["arrival"],"calls":3,"p50_ms":0.5,"p99_ms":0,"errors":0,"late":0,"api_minor":0}]`},
		{"test_setTime", `[7]`, `7`},
		{"test_balance", `["0x77","latest"]`, `["0x77","0x5"]`},
		{"test_balance", `["0xdead","latest"]`, `{"code":20,"message":"Contract not found"}`},
		{"test_balance", `["0x77",{"block_number":9}]`, `{"code":24,"message":"Block not found"}`},
		{"test_balance", `["0x77",7]`, `{"code":-32602,"message":"invalid params: block_id: want \"latest\", \"pre_confirmed\", \"l1_accepted\", {\"block_number\": n} or {\"block_hash\": \"0x...\"}"}`},
	} {
		if got := call(t, w, c.method, c.params); got != c.want {
			t.Errorf("%s %s\n got %s\nwant %s", c.method, c.params, got, c.want)
		}
	}
	for name := range newWorld(t).server.methods {
		if !strings.HasPrefix(name, specPrefix) {
			t.Errorf("%s is served by a server without an extension", name)
		}
	}
}

// TestAnExtensionCannotReplaceAMethod of the specification or of the server.
func TestAnExtensionCannotReplaceAMethod(t *testing.T) {
	w, _ := extendedWorld(t)
	for _, name := range []string{"starknet_chainId", "starknet_more", "ordo_plugins"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was registered", name)
				}
			}()
			w.server.register(map[string]Method{name: {}})
		}()
	}
}

func invokes(n, senders int) string {
	const invoke = `{"jsonrpc":"2.0","id":%d,"method":"starknet_addInvokeTransaction","params":[{"type":"INVOKE","sender_address":"%#x","calldata":["0x1"],` +
		`"version":"0x3","signature":["0x1"],"nonce":"%#x","resource_bounds":{"l1_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"},` +
		`"l2_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"},"l1_data_gas":{"max_amount":"0x1","max_price_per_unit":"0x1"}},"tip":"0x0",` +
		`"paymaster_data":[],"account_deployment_data":[],"nonce_data_availability_mode":"L1","fee_data_availability_mode":"L1"}]}`
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(invoke, i, 0x3000+i%senders, i/senders))
	}
	return "[" + strings.Join(list, ",") + "]"
}

type answerOf struct {
	ID     int
	Result struct {
		Hash string `json:"transaction_hash"`
	}
	Error *struct {
		Code int
		Data json.RawMessage
	}
}

// TestTheExtensionDelaysAnswers: the invokes of a batch are submitted together and awaited in one call, no answer comes before
// that returns, and a reason takes the place of the answer it belongs to.
func TestTheExtensionDelaysAnswers(t *testing.T) {
	w, e := extendedWorld(t)
	e.held = make(chan struct{})
	answers, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		w.server.ServeHTTP(answers, posted(invokes(8, 4)))
	}()
	waitFor(t, func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.awaited) == 1 })
	if len(e.awaited[0]) != 8 || len(e.submitted) != 8 {
		t.Fatalf("%d are awaited, %d submitted", len(e.awaited[0]), len(e.submitted))
	}
	select {
	case <-done:
		t.Fatal("answered before the extension let it go")
	default:
	}
	close(e.held)
	<-done
	if got := decodeAnswers(t, answers); len(got) != 8 || slices.ContainsFunc(got, func(a answerOf) bool { return a.Error != nil || a.Result.Hash == "" }) {
		t.Errorf("%s", answers.Body)
	}
}

// TestOneByOne: each transaction of a batch is awaited before the next is submitted.
func TestOneByOne(t *testing.T) {
	w, e := extendedWorld(t)
	e.oneByOne = true
	answers := httptest.NewRecorder()
	w.server.ServeHTTP(answers, posted(invokes(4, 4)))
	if len(e.awaited) != 4 || len(decodeAnswers(t, answers)) != 4 {
		t.Errorf("%d groups are awaited: %s", len(e.awaited), answers.Body)
	}
	for i, group := range e.awaited {
		if len(group) != 1 || group[0] != e.submitted[i] {
			t.Errorf("group %d: %x", i, group)
		}
	}
}

// TestAReasonTakesThePlaceOfTheAnswer, with the code that admission has for it; the others of its batch are answered.
func TestAReasonTakesThePlaceOfTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		reason error
		code   int
	}{
		"none":     {nil, 0},
		"rejected": {&gateway.Rejection{Code: ordov1.RejectionCode_INSUFFICIENT_BALANCE, Reason: "too poor"}, int(errBalance.Code)},
		"dropped":  {Unexpected("the transaction was dropped"), int(errUnexpected.Code)},
		"a fault":  {errors.New("no such block"), int(InternalError)},
	} {
		for _, n := range []int{1, 3} {
			w, e := extendedWorld(t)
			e.first = c.reason
			answers := httptest.NewRecorder()
			w.server.ServeHTTP(answers, posted(invokes(n, n)))
			for i, got := range decodeAnswers(t, answers) {
				want := 0
				if i == 0 {
					want = c.code
				}
				if code := got.Error; (code == nil) != (want == 0) || code != nil && code.Code != want {
					t.Errorf("%s: answer %d of %d: %s", name, i, n, answers.Body)
				}
			}
		}
	}
}

func decodeAnswers(t *testing.T, r *httptest.ResponseRecorder) (list []answerOf) {
	t.Helper()
	if err := json.Unmarshal(r.Body.Bytes(), &list); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return list
}
