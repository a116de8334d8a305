package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// askOver sends a request over a socket and reads its answer; notifications before it are passed over.
func askOver(t testing.TB, ws *websocket.Conn, method, params string) (result json.RawMessage, failed *Error) {
	t.Helper()
	sendText(t, ws, `{"jsonrpc":"2.0","id":"ask","method":"`+method+`","params":`+params+`}`)
	for {
		var answer struct {
			ID     any
			Result json.RawMessage
			Error  *Error
		}
		if err := json.Unmarshal(readText(t, ws), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.ID == "ask" {
			return answer.Result, answer.Error
		}
	}
}

func felts(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"0x%x"`, i+1)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// TestSubscriptionsHaveLimits, and the errors that the specification has for them.
func TestSubscriptionsHaveLimits(t *testing.T) {
	w := newWorld(t)
	s := limited(t, w, func(l *Limits) { l.Subscriptions, l.SocketQueue = 3, 600<<10 })
	far := accepted(5000, nil, nil, nil)
	w.storage.Stored = append(w.storage.Stored, accepted(3975, nil, nil, nil), accepted(3976, nil, nil, nil), far)
	w.chain.Start(far.Header, nil, nil)
	ws := dialSocket(t, serve(t, s), "/ws")
	const heads, events, receipts, transactions = "starknet_subscribeNewHeads", "starknet_subscribeEvents", "starknet_subscribeNewTransactionReceipts", "starknet_subscribeNewTransactions"
	for _, c := range []struct {
		method, params string
		code           Code
		says           string
	}{
		{heads, `[{"block_number":3975}]`, 68, ""},
		{heads, `[{"block_hash":"0xb2047"}]`, 68, ""}, // 3975
		{events, `{"block_id":{"block_number":0}}`, 68, ""},
		{events, `{"block_id":{"block_number":18446744073709551615}}`, 24, ""},
		{events, `{"block_id":{"block_number":5001}}`, 24, ""},
		{events, `{"keys":[` + felts(1025) + `]}`, 34, "at most 1024"},
		{events, `{"from_address":` + felts(1025) + `}`, 34, "1025 addresses"},
		{receipts, `{"sender_address":` + felts(1025) + `}`, 67, "limits.filter_addresses"},
		{transactions, `{"sender_address":` + felts(1025) + `}`, 67, "limits.filter_addresses"},
		{"starknet_unsubscribe", `["5"]`, 66, ""},
		{heads, `[{"block_number":3976}]`, 0, ""},
		{receipts, `{"sender_address":` + felts(1024) + `}`, 0, ""},
		{receipts, `{"sender_address":` + felts(1024) + `}`, 0, ""},
		{heads, `[]`, InvalidRequest, "limits.subscriptions"},
	} {
		_, failed := askOver(t, ws, c.method, c.params)
		if c.code == 0 && failed != nil || c.code != 0 && (failed == nil || failed.Code != c.code || !strings.Contains(failed.Message+string(failed.Data), c.says)) {
			t.Errorf("%s %.60s: %v", c.method, c.params, failed)
		}
	}
	many := dialSocket(t, serve(t, limited(t, w, func(l *Limits) { l.SocketQueue = 100 << 10 })), "/ws")
	if _, failed := askOver(t, many, receipts, `{"sender_address":`+felts(1000)+`}`); failed == nil || !strings.Contains(failed.Message, "limits.socket_kib") {
		t.Errorf("a filter over the limit: %v", failed)
	}
}

// TestSubscriptionsNeedASocket: over HTTP they are told where to connect, and a path of sockets tells the same to a request.
func TestSubscriptionsNeedASocket(t *testing.T) {
	address := serve(t, newWorld(t).server)
	code, text, err := postTo(address, `{"jsonrpc":"2.0","id":1,"method":"starknet_subscribeNewHeads"}`)
	if err != nil || code != 200 || !strings.Contains(text, "-32601") || !strings.Contains(text, "/ws") {
		t.Errorf("%d %s %v", code, text, err)
	}
	r, err := http.Post("http://"+address+"/ws", "application/json", strings.NewReader(chainIDRequest))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusUpgradeRequired || r.Header.Get("Upgrade") != "websocket" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
}

// TestSocketsOfPages: every page may open a socket and call open methods; guarded ones are for pages and names that are allowed, and each
// request of a refused batch has its answer.
func TestSocketsOfPages(t *testing.T) {
	w, _ := extendedWorld(t)
	address := serve(t, w.server)
	for _, c := range []struct {
		origin, host string
		allowed      bool
	}{
		{"", "", true}, {"http://localhost:3000", "", true}, {"https://evil.example", "", false}, {"null", "", false}, {"", "rebound.example", false},
	} {
		options := &websocket.DialOptions{Host: c.host, HTTPHeader: http.Header{}}
		if c.origin != "" {
			options.HTTPHeader.Set("Origin", c.origin)
		}
		ws, _, err := websocket.Dial(t.Context(), "ws://"+address+"/ws", options)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if _, failed := askOver(t, ws, "starknet_chainId", "[]"); failed != nil {
			t.Errorf("%+v: an open method: %v", c, failed)
		}
		if _, failed := askOver(t, ws, "test_getKeys", "[]"); (failed == nil) != c.allowed || failed != nil && !strings.Contains(failed.Message, "rpc.allowed_") {
			t.Errorf("%+v: a guarded method: %v", c, failed)
		}
		sendText(t, ws, `[{"jsonrpc":"2.0","id":1,"method":"starknet_chainId"},{"jsonrpc":"2.0","method":"starknet_chainId"},{"jsonrpc":"2.0","id":"two","method":"test_getKeys"}]`)
		var answers []struct {
			ID    any
			Error *Error
		}
		if err := json.Unmarshal(readText(t, ws), &answers); err != nil || len(answers) != 2 || answers[1].ID != "two" || (answers[0].Error == nil) != c.allowed {
			t.Errorf("%+v: a batch: %v %+v", c, err, answers)
		}
		ws.CloseNow()
	}
}

// TestMessagesHaveASize: one over it ends the connection with a reason, and gives back what it held.
func TestMessagesHaveASize(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Body = 256 << 10 })
	address := serve(t, s)
	ws := dialSocket(t, address, "/ws")
	padding := strings.Repeat(" ", 200<<10)
	sendText(t, ws, padding+chainIDRequest) // over 64 KiB: it has a share of the memory for bodies
	readText(t, ws)
	sendText(t, ws, padding+padding)
	_, _, err := ws.Read(t.Context())
	var end websocket.CloseError
	if !errors.As(err, &end) || end.Code != websocket.StatusMessageTooBig || !strings.Contains(end.Reason, "limits.body_kib") {
		t.Errorf("%v", err)
	}
	waitFor(t, func() bool {
		bodies, _ := s.bodyBytes.Used()
		large, _ := s.large.Used()
		return bodies == 0 && large == 0 && s.SocketStats().Open == 0
	})
}

// TestALargeAnswerComesWhole over a socket, with notifications between and not within.
func TestALargeAnswerComesWhole(t *testing.T) {
	w := newWorld(t)
	var events []*ordov1.Event
	for range 2000 {
		events = append(events, emitted(0x99, fes(0xe1, 0xe2), fes(1, 2, 3, 4)))
	}
	b := accepted(3, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, 0x301, 3)}, []*ordov1.TransactionResult{result(0x301, events...)}, nil)
	w.storage.Stored = append(w.storage.Stored, b)
	w.chain.Accept(b.Header)
	ws := dialSocket(t, serve(t, w.server), "/ws")
	askOver(t, ws, "starknet_subscribeNewTransactions", `[["RECEIVED"]]`)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range uint64(500) {
			w.chain.Received(account(ordov1.TransactionType_INVOKE, 0x10000+i, i))
		}
	}()
	for i := range 20 {
		sendText(t, ws, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"starknet_getBlockWithReceipts","params":[{"block_number":3}]}`, i))
	}
	told, answers := 0, 0
	for told < 500 || answers < 20 {
		text := readText(t, ws)
		switch {
		case !json.Valid(text):
			t.Fatalf("not JSON: %.200s", text)
		case strings.Contains(string(text), "subscriptionNewTransaction"):
			told++
		case len(text) > 100<<10:
			answers++
		default:
			t.Fatalf("%.300s", text)
		}
	}
	<-ended
	waitFor(t, func() bool { used, _ := w.server.answers.Used(); return used == 0 })
}

// brittleStorage is away for a while, and breaks streams in the middle.
type brittleStorage struct {
	*fakeStorage
	away  atomic.Bool
	calls atomic.Int32
}

func (b *brittleStorage) Blocks(q *ordov1.BlocksRequest, out grpc.ServerStreamingServer[ordov1.Block]) error {
	if b.away.Load() {
		return status.Error(codes.Unavailable, "the plugin is being started again")
	}
	if n := b.calls.Add(1); n%3 == 0 && q.To > q.GetNumber()+1 {
		half := &ordov1.BlocksRequest{From: q.From, To: (q.GetNumber() + q.To) / 2, Results: q.Results}
		if err := b.fakeStorage.Blocks(half, out); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "broken")
	}
	return b.fakeStorage.Blocks(q, out)
}

// TestABackfillGoesOnWhenStorageIsBack: no block and no event is missing or told twice, though storage goes away in the middle, breaks
// streams, and blocks are accepted meanwhile.
func TestABackfillGoesOnWhenStorageIsBack(t *testing.T) {
	w := newWorld(t)
	storage := &brittleStorage{fakeStorage: &fakeStorage{}}
	const old, all = 300, 330
	block := func(n uint64) *ordov1.Block {
		hash := 0x100000 + n
		return accepted(n, []*ordov1.Transaction{account(ordov1.TransactionType_INVOKE, hash, n)}, []*ordov1.TransactionResult{result(hash, emitted(0x99, fes(n), fes(n)))}, nil)
	}
	for n := range uint64(all) { // storage has a block before the chain has heard of its root
		storage.Stored = append(storage.Stored, block(n))
	}
	w.chain.Start(storage.Stored[old-1].Header, nil, nil)
	o := w.server.Options
	o.Storage = ordov1.NewStorageReadClient(dial(t, func(s *grpc.Server) { ordov1.RegisterStorageReadServer(s, storage) }))
	o.Limits.Grace, o.Limits.SocketQueue = 20*time.Millisecond, 4<<10
	s := New(o)
	ws := dialSocket(t, serve(t, s), "/ws")
	sendText(t, ws, `{"jsonrpc":"2.0","id":1,"method":"starknet_subscribeNewHeads","params":[{"block_number":0}]}`)
	sendText(t, ws, `{"jsonrpc":"2.0","id":2,"method":"starknet_subscribeEvents","params":{"block_id":{"block_number":0}}}`)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for n := uint64(old); n < all; n++ {
			b := storage.Stored[n]
			w.chain.Decide(chainview.NewBlock(&ordov1.BlockHeader{Context: b.Header.Context}, b.Transactions, b.Results, nil, nil))
			w.chain.Accept(b.Header)
			time.Sleep(time.Millisecond)
		}
	}()
	heads, events := uint64(0), uint64(0)
	for heads < all || events < all {
		var n struct {
			Method string
			Params struct {
				Result struct {
					Number uint64 `json:"block_number"`
				}
			}
		}
		if err := json.Unmarshal(readText(t, ws), &n); err != nil {
			t.Fatal(err)
		}
		of := &heads
		if n.Method == "" {
			continue // an answer
		}
		if strings.HasSuffix(n.Method, "Events") {
			of = &events
		}
		if n.Params.Result.Number != *of {
			t.Fatalf("%s of block %d, want %d", n.Method, n.Params.Result.Number, *of)
		}
		if *of++; *of == 100 {
			storage.away.Store(true)
			time.AfterFunc(200*time.Millisecond, func() { storage.away.Store(false) })
		}
	}
	<-accepting
}

// TestCrowdsLeaveNothingBehind: subscribers that never read while much is told, and clients that connect, subscribe and leave.
func TestCrowdsLeaveNothingBehind(t *testing.T) {
	deaf, passing := 200, 2000
	if testing.Short() {
		deaf, passing = 40, 200
	}
	w := newWorld(t)
	s := limited(t, w, func(l *Limits) {
		l.SocketQueue, l.Send, l.Rate = 64<<10, 2*time.Second, 1<<30
		l.Connections, l.PerAddress, l.Sockets = 4096, 4096, 2048
	})
	address := serve(t, s)
	warm := dialSocket(t, address, "/ws")
	askOver(t, warm, "starknet_subscribeNewHeads", "[]")
	warm.Close(websocket.StatusNormalClosure, "")
	waitFor(t, func() bool { return s.SocketStats().Open == 0 })
	before, files := runtime.NumGoroutine(), openFiles()

	var silent []*websocket.Conn
	for range deaf {
		ws := dialSocket(t, address, "/ws")
		askOver(t, ws, "starknet_subscribeNewTransactions", `{"finality_status":["RECEIVED"]}`)
		askOver(t, ws, "starknet_subscribeEvents", `{"finality_status":"PRE_CONFIRMED"}`)
		silent = append(silent, ws)
	}
	var peak atomic.Int64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			if n := s.SocketStats().Waiting; n > peak.Load() {
				peak.Store(n)
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	long := account(ordov1.TransactionType_INVOKE, 1, 1)
	long.Calldata = make([]byte, 32*500)
	sent := 0
	waitFor(t, func() bool { // what the system holds is not bounded by the node
		for range 200 {
			sent++
			tx := *account(ordov1.TransactionType_INVOKE, uint64(0x100000+sent), 1)
			tx.Calldata = long.Calldata
			w.chain.Received(&tx)
		}
		var cut uint64
		for _, n := range s.SocketStats().Cut {
			cut += n
		}
		return cut == uint64(deaf)
	})
	close(stop)
	<-watched
	if most := int64(s.Limits.Answers); peak.Load() > most {
		t.Errorf("%d bytes waited, %d are allowed", peak.Load(), most)
	}
	for _, ws := range silent {
		ws.CloseNow()
	}
	var all sync.WaitGroup
	var left atomic.Int64
	for range 16 {
		all.Go(func() {
			for left.Add(1) <= int64(passing) {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				ws, _, err := websocket.Dial(ctx, "ws://"+address+"/ws", nil)
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				_ = ws.Write(ctx, websocket.MessageText, []byte(`{"jsonrpc":"2.0","id":1,"method":"starknet_subscribeNewHeads","params":[{"block_number":0}]}`))
				if left.Load()%2 == 0 {
					_, _, _ = ws.Read(ctx)
				}
				ws.CloseNow()
				cancel()
			}
		})
	}
	all.Wait()
	waitFor(t, func() bool {
		x := s.SocketStats()
		return x.Open == 0 && x.Subscriptions == 0 && x.Waiting == 0 && runtime.NumGoroutine() <= before+8 && openFiles() <= files+4
	})
	used, _ := s.answers.Used()
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	if used != 0 || s.broker.hub != nil || s.broker.filters != 0 {
		t.Errorf("%d bytes are held, filters %d, the chain is followed: %v", used, s.broker.filters, s.broker.hub != nil)
	}
	t.Logf("%d transactions until %d subscribers were cut off; at most %d KiB waited", sent, deaf, peak.Load()>>10)
}
