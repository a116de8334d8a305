package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/mutate"
)

const mostTogether = 4

// agree holds the quick reader of bodies beside the careful one: the same requests, or none. read says whether there were any.
func agree(t *testing.T, body []byte) (read bool) {
	t.Helper()
	quick, batch := fastRequests(body, mostTogether)
	if quick == nil {
		return false
	}
	careful, carefulBatch, failed := carefulRequests(body, mostTogether)
	if failed != nil {
		t.Fatalf("%s: the careful reader: %v", body, failed)
	}
	for i := range careful { // nothing, whether nil or empty
		if len(careful[i].id) == 0 {
			careful[i].id = nil
		}
		if len(careful[i].params) == 0 {
			careful[i].params = nil
		}
	}
	if batch != carefulBatch || !reflect.DeepEqual(quick, careful) {
		t.Fatalf("%s is read as %+v, the careful reader has %+v", body, quick, careful)
	}
	return true
}

var plainBodies = []string{
	chainIDRequest, `{"jsonrpc":"2.0","method":"x"}`, ` [ {"params":[1,-2,{"a":[true,false,null,"b"]}],"id":"a","method":"x","jsonrpc":"2.0"} , ` + chainIDRequest + `]` + "\n",
	`{"jsonrpc":"2.0","id":null,"method":"x","params":null}`, `{"jsonrpc":"2.0","id":-7,"method":"x","params":{}}`, fmt.Sprintf(transferTemplate, 5),
}

var unusualBodies = []string{
	``, ` `, `7`, `{}`, `[]`, `[7]`, `{"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"1.0","id":1,"method":"x"}`, `{"jsonrpc":"2.0","id":{},"method":"x"}`,
	`{"jsonrpc":"2.0","id":01,"method":"x"}`, `{"jsonrpc":"2.0","id":1.5,"method":"x"}`, `{"jsonrpc":"2.0","id":1,"method":""}`, `{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}`,
	`{"jsonrpc":"2.0","id":1,"method":"x","params":7}`, `{"jsonrpc":"2.0","id":1,"method":"\u0078"}`, `{"jsonrpc":"2.0","id":1,"method":"x","more":1}`,
	`{"jsonrpc":"2.0","id":1,"method":"x","params":[1,]}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":[tru]}`, `{"jsonrpc":"2.0","id":1,"method":"x"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"x","params":["` + "\x01" + `"]}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":[` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `]}`,
	"[" + strings.Repeat(chainIDRequest+",", mostTogether) + chainIDRequest + "]",
}

func TestFastAndCarefulBodiesAgree(t *testing.T) {
	for _, body := range plainBodies {
		if !agree(t, []byte(body)) {
			t.Errorf("the quick reader gave up: %s", body)
		}
	}
	for _, body := range unusualBodies {
		if agree(t, []byte(body)) {
			t.Errorf("the quick reader takes %s", body)
		}
	}
	r := rand.New(rand.NewPCG(7, 7))
	taken := 0
	for i := range 2000 {
		if agree(t, mutate.Body(r, []byte(plainBodies[i%len(plainBodies)]))) {
			taken++
		}
	}
	if taken == 0 {
		t.Error("no mutated body was read: the mutations show nothing")
	}
}

// FuzzFastBody: the quick reader gives up or reads what the careful one reads.
func FuzzFastBody(f *testing.F) {
	for _, body := range append(plainBodies, unusualBodies...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body) })
}

// transfers is a batch; senders and nonces are given in pairs.
func transfers(pairs ...[2]int) string {
	var list []string
	for i, p := range pairs {
		one := fmt.Sprintf(transferTemplate, p[1])
		one = strings.Replace(one, `"id":1`, fmt.Sprintf(`"id":%d`, i), 1)
		list = append(list, strings.Replace(one, "0x64b48806902a367c8598f4f95c305e8c1a1acba5f082d294a43793113115691", fmt.Sprintf("%#x", 0xa000+p[0]), 1))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// gathering is an execution that answers when a number of transactions have come, all at once.
type gathering struct {
	*fakeExecution
	want, come atomic.Int32
	all        chan struct{}
	mu         sync.Mutex
	nonces     map[Key][]byte // by sender, in the order of their coming
}

func (g *gathering) Validate(ctx context.Context, q *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	g.mu.Lock()
	for _, item := range q.Items {
		sender := Key(item.Transaction.Sender)
		g.nonces[sender] = append(g.nonces[sender], item.Transaction.Nonce[31])
	}
	g.mu.Unlock()
	if g.come.Add(int32(len(q.Items))) == g.want.Load() {
		close(g.all)
	}
	<-g.all
	return g.fakeExecution.Validate(ctx, q)
}

// TestInvokesOfABatchRunSideBySide: those of different senders together, those of one in order, and the answers as asked.
func TestInvokesOfABatchRunSideBySide(t *testing.T) {
	w := newWorld(t)
	g := &gathering{fakeExecution: w.execution, all: make(chan struct{}), nonces: map[Key][]byte{}}
	o := w.server.Options
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, g) }))
	in := gateway.New(gateway.Options{ChainID: o.ChainID, Execution: o.Execution, Storage: o.Storage, Pool: w.pool, Chain: w.chain, Validators: 32})
	t.Cleanup(in.Close)
	o.Gateway = in
	w.server = New(o)
	var pairs [][2]int
	for nonce := range 3 {
		for sender := range 20 {
			pairs = append(pairs, [2]int{sender, nonce})
		}
	}
	g.want.Store(20) // one of each sender; were they not together, the test would hang
	pairs = append(pairs, pairs[0])
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(transfers(pairs...))))
	var answers []struct {
		ID     int
		Result struct {
			Hash string `json:"transaction_hash"`
		}
		Error *struct{ Code int }
	}
	if err := json.Unmarshal(r.Body.Bytes(), &answers); err != nil || len(answers) != 61 {
		t.Fatal(err, r.Body)
	}
	hashes := map[string]bool{}
	for i, a := range answers {
		if a.ID != i || (a.Error != nil) != (i == 60) {
			t.Errorf("answer %d: %+v", i, a)
		}
		hashes[a.Result.Hash] = true
	}
	if len(hashes) != 61 || answers[60].Error.Code != 59 { // 60 and the empty one of the repeated transaction
		t.Errorf("%d hashes, the repeated one has %+v", len(hashes), answers[60].Error)
	}
	for sender, nonces := range g.nonces {
		if string(nonces) != "\x00\x01\x02" {
			t.Errorf("sender %x: nonces %v", sender, nonces)
		}
	}
	if n := len(w.server.helpers); n != 0 {
		t.Errorf("%d helpers are not given back", n)
	}
}

// TestOtherRequestsOfABatchWait: what comes after invokes sees them.
func TestOtherRequestsOfABatchWait(t *testing.T) {
	w := newWorld(t)
	batch := transfers([2]int{1, 0}, [2]int{2, 0})
	status := `{"jsonrpc":"2.0","id":7,"method":"starknet_getTransactionStatus","params":["0x501"]}`
	for range maxHelpers { // without helpers it works all the same
		w.server.helpers <- struct{}{}
	}
	r := httptest.NewRecorder()
	w.server.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(batch[:len(batch)-1]+","+status+","+batch[1:])))
	got := r.Body.String()
	if strings.Count(got, "transaction_hash") != 2 || strings.Count(got, `"code":59`) != 2 || strings.Count(got, `"RECEIVED"`) != 1 {
		t.Errorf("got %s", got)
	}
}

// bound holds the quick binding of parameters beside the careful one.
func bound(t *testing.T, raw []byte) {
	t.Helper()
	m := Method{Params: []string{"first", "second"}}
	quick := m.bindFast(raw)
	if quick == nil || !json.Valid(raw) {
		return // the server looks at the whole body first
	}
	careful, err := m.bindCarefully(raw)
	if err != nil || !reflect.DeepEqual(jsonin.NewObject(quick), careful) {
		t.Fatalf("%q is bound to %s, the careful reader has %+v, %v", raw, quick, careful, err)
	}
}

// FuzzFastBind: quick and careful give the same parameters, or the quick one none.
func FuzzFastBind(f *testing.F) {
	for _, raw := range []string{`[]`, `{}`, `[1]`, ` [ {"a": [ ] } , "b" ] `, `[1,2,3]`, `{"first":1}`, `{"second": "x" , "first":[1]}`, `{"first":1,"first":2}`, `{"third":1}`, `[1,"\n"]`, ``} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 || bytes.HasPrefix(raw, []byte("[")) || bytes.HasPrefix(raw, []byte("{")) {
			bound(t, raw)
		}
	})
}
