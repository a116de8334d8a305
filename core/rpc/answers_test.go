package rpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// asRequest is a whole HTTP request.
func asRequest(body string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// largeClass gives the world a class of so many bytes, at hash 0xb16.
func largeClass(w *world, size int) (method, params string) {
	w.storage.Known = append(w.storage.Known, &ordov1.Class{Hash: fe(0xb16), Definition: []byte(`{"abi":"` + strings.Repeat("a", size) + `"}`)})
	return "starknet_getClass", `["latest","0xb16"]`
}

func call1(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}`, method, params)
}

// TestSlowReadersShareTheMemory is the smallest case of an attack: sockets that ask for large classes, many each, and do not
// read. What all of them hold stays within the budget, and a client that reads gets its answer, large or small.
func TestSlowReadersShareTheMemory(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, 2<<20)
	s := limited(t, w, func(l *Limits) { l.Answers, l.Stall, l.Turn = 8<<20, 100*time.Millisecond, time.Minute })
	address := serve(t, s)
	batch := "[" + strings.Repeat(call1(method, params)+",", 109) + call1(method, params) + "]"
	for range 12 {
		conn := dialTCP(t, address)
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(conn, asRequest(batch))
	}
	waitFor(t, func() bool { used, _ := s.answers.Used(); return used > 6<<20 })
	for range 5 {
		if code, text, err := postTo(address, chainIDRequest); code != 200 || err != nil {
			t.Errorf("a small answer: %d %.200s %v", code, text, err)
		}
		if code, text, err := postTo(address, call1(method, params)); code != 200 || err != nil || len(text) < 2<<20 || !strings.HasSuffix(text, `"}}`) {
			t.Errorf("a large answer: %d, %d bytes, %.200s %v", code, len(text), text, err)
		}
		if used, _ := s.answers.Used(); used > 8<<20 {
			t.Errorf("%d bytes are held", used)
		}
	}
	if _, cut := s.answers.Used(); cut == 0 {
		t.Error("none was cut off")
	}
}

// TestALargeBatchArrives in order, whole, and as it does in one piece.
func TestALargeBatchArrives(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, 300_000)
	address := serve(t, w.server)
	var batch []string
	for i := range 40 {
		batch = append(batch, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}`, i, method, params), `{"jsonrpc":"2.0","method":"starknet_chainId"}`, `7`)
	}
	code, text, err := postTo(address, "["+strings.Join(batch, ",")+"]")
	var answers []struct {
		ID     *int
		Result json.RawMessage
		Error  *struct{ Code int }
	}
	if err := json.Unmarshal([]byte(text), &answers); err != nil || code != 200 || len(answers) != 80 {
		t.Fatal(code, len(text), err, len(answers))
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if i%2 == 0 && (a.ID == nil || *a.ID != i/2 || len(a.Result) < 300_000) || i%2 == 1 && (a.ID != nil || a.Error == nil) {
			t.Fatalf("answer %d: %v %.80s %v", i, a.ID, a.Result, a.Error)
		}
	}
}

// TestAnswersThatHaveNoRoom are told so, before the work where the budget is full already.
func TestAnswersThatHaveNoRoom(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, 1<<20)
	s := limited(t, w, func(l *Limits) { l.Answers, l.Turn = 4<<20, 50*time.Millisecond })
	other := s.output(t.Context(), nil, &client{})
	if err := other.share.Take(t.Context(), 4<<20); err != nil { // by one that still works
		t.Fatal(err)
	}
	if got := postBody(s, call1(method, params)); !strings.Contains(got, `"code":-32005`) || !strings.Contains(got, "limits.responses_mib") {
		t.Errorf("%.300s", got)
	}
	var ran atomic.Int32
	s.methods["test_count"] = method2(func() { ran.Add(1) })
	r := httptest.NewRecorder()
	batch := "[" + strings.Repeat(call1("test_count", "[]")+",", 99) + call1("test_count", "[]") + "]"
	s.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(batch)))
	if r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" || !strings.Contains(r.Body.String(), "limits.responses_mib") || ran.Load() > 0 {
		t.Errorf("a batch: %d %s, %d ran", r.Code, r.Body, ran.Load())
	}
	if got := postBody(s, chainIDRequest); !strings.Contains(got, "0x534e") {
		t.Errorf("a small answer: %s", got)
	}
	other.share.Close()
	if got := postBody(s, call1(method, params)); len(got) < 1<<20 {
		t.Errorf("with room: %.300s", got)
	}
	if used, _ := s.answers.Used(); used != 0 {
		t.Errorf("%d bytes are left", used)
	}
}

func method2(do func()) Method {
	return Method{Class: Open, Call: func(context.Context, *jsonin.Object) (any, error) { do(); return 7, nil }}
}

// TestLargeRequestsAreLetGo: what a request held is given back when its answer is there, so that clients that do not read their
// answers keep no large request out.
func TestLargeRequestsAreLetGo(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, 4<<20)
	s := limited(t, w, func(l *Limits) { l.Turn = 200 * time.Millisecond })
	address := serve(t, s)
	large := func(request string) string {
		return strings.TrimSuffix(request, "}") + `,"x":"` + strings.Repeat("a", 4<<20) + `"}`
	}
	for range 6 { // more than are worked on at a time
		conn := dialTCP(t, address)
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(conn, asRequest(large(call1(method, params))))
		if head, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(head, "200") {
			t.Fatal(head, err)
		}
	}
	if code, text, err := postTo(address, large(chainIDRequest)); code != 200 || err != nil {
		t.Errorf("%d %.200s %v", code, text, err)
	}
}

// TestAllAtOnceAreAnswered is the smallest case of a fault: 600 calls of one client, of which 196 were told at once that the
// node is busy.
func TestAllAtOnceAreAnswered(t *testing.T) {
	s := newWorld(t).server
	var all sync.WaitGroup
	for range 600 {
		all.Go(func() {
			got := postBody(s, call1("starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`))
			if !strings.Contains(got, `"result":`) {
				t.Error(got)
			}
		})
	}
	all.Wait()
}

// TestManyConnectionsAtOnce: 1,200 of one address, where 1,024 may be open. Each opens its connection before any of them sends,
// and each gets an answer: 176 were closed without one.
func TestManyConnectionsAtOnce(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Connections, l.PerAddress = 400, 256 })
	address := serve(t, s)
	crowd := func(n int) (answered, refused int) {
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = dialTCP(t, address)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, c := range conns {
			all.Go(func() {
				defer c.Close()
				io.WriteString(c, asRequest(chainIDRequest))
				c.SetReadDeadline(time.Now().Add(30 * time.Second))
				r, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Errorf("no answer: %v", err)
					return
				}
				defer r.Body.Close()
				text, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case r.StatusCode == 200 && bytes.Contains(text, []byte("0x534e")):
					answered++
				case r.StatusCode == 503 && r.Header.Get("Retry-After") == "1" && bytes.Contains(text, []byte(`"code":-32005`)) && json.Valid(text):
					refused++
				default:
					t.Errorf("%d %s", r.StatusCode, text)
				}
			})
		}
		all.Wait()
		return answered, refused
	}
	if answered, refused := crowd(300); answered != 300 || refused != 0 {
		t.Errorf("of 300: %d answered, %d refused", answered, refused)
	}
	if answered, refused := crowd(700); answered+refused != 700 || answered < 256 {
		t.Errorf("of 700: %d answered, %d refused", answered, refused)
	}
}

// leaving is an execution that runs a view until its caller leaves.
type leaving struct {
	*fakeExecution
	began, ended atomic.Int32
}

func (e *leaving) View(ctx context.Context, _ *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	e.began.Add(1)
	<-ctx.Done()
	e.ended.Add(1)
	return nil, ctx.Err()
}

// TestAClientThatLeaves takes its work with it: what runs, what waits for its turn, and the rest of its batch.
func TestAClientThatLeaves(t *testing.T) {
	w := newWorld(t)
	execution := &leaving{fakeExecution: w.execution}
	o := w.server.Options
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, execution) }))
	o.Limits.Views = 3
	w.server = New(o)
	address := serve(t, w.server)
	view := call1("starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`)
	estimate := call1("starknet_estimateMessageFee", `[{"from_address":"0x8888888888888888888888888888888888888888","to_address":"0x88","entry_point_selector":"0x1","payload":[]},"latest"]`)
	trace := call1("starknet_traceTransaction", `["0x101"]`)
	var conns []net.Conn
	for _, body := range []string{view, estimate, "[" + trace + "," + view + "," + view + "]", view, estimate, trace} {
		conn := dialTCP(t, address)
		io.WriteString(conn, asRequest(body))
		conns = append(conns, conn)
		want := len(conns)
		waitFor(t, func() bool { return w.server.views.Inside() == want })
	}
	waitFor(t, func() bool { return execution.began.Load() == 3 })
	for _, c := range conns[3:] { // those that wait
		c.Close()
	}
	waitFor(t, func() bool { return w.server.views.Inside() == 3 })
	for _, c := range conns[:3] {
		c.Close()
	}
	waitFor(t, func() bool { return w.server.views.Inside() == 0 && execution.ended.Load() == 3 })
	if n := execution.began.Load(); n != 3 {
		t.Errorf("%d views began: the rest of the batch, or what waited", n)
	}
}

// TestAClientThatLeavesItsScan: so it is with reads over many blocks.
func TestAClientThatLeavesItsScan(t *testing.T) {
	w := newWorld(t)
	storage := &endless{fakeStorage: w.storage}
	o := w.server.Options
	o.Storage = ordov1.NewStorageReadClient(dial(t, func(s *grpc.Server) { ordov1.RegisterStorageReadServer(s, storage) }))
	w.server = New(o)
	address := serve(t, w.server)
	conn := dialTCP(t, address)
	io.WriteString(conn, asRequest(call1("starknet_getEvents", `[{"chunk_size":5,"keys":[["0x123"]]}]`)))
	waitFor(t, func() bool { return storage.sent.Load() > 100 && w.server.scans.Inside() == 1 })
	conn.Close()
	waitFor(t, func() bool { return storage.ended.Load() == 1 && w.server.scans.Inside() == 0 })
}

// endless sends the same block until its reader leaves.
type endless struct {
	*fakeStorage
	sent, ended atomic.Int32
}

func (e *endless) Blocks(q *ordov1.BlocksRequest, out grpc.ServerStreamingServer[ordov1.Block]) error {
	if !q.Results {
		return e.fakeStorage.Blocks(q, out)
	}
	for {
		header := &ordov1.BlockHeader{Context: &ordov1.BlockContext{Number: 0}}
		if err := out.Send(&ordov1.Block{Header: header}); err != nil {
			e.ended.Add(1)
			return err
		}
		e.sent.Add(1)
	}
}

// TestAnAnswerLargerThanTheBudgetArrives: it has the memory for itself, and so the room for its pieces too. It waited for
// those, which it kept from itself, and the client got an empty answer.
func TestAnAnswerLargerThanTheBudgetArrives(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, 4<<20)
	s := limited(t, w, func(l *Limits) { l.Answers, l.Turn = 1<<20, time.Second })
	request := call1(method, params)
	for name, body := range map[string]string{
		"alone": request, "in a batch": "[" + request + "]",
		"in a batch that has a piece already": "[" + strings.Repeat(chainIDRequest+",", fewAnswers) + request + "]",
	} {
		r := httptest.NewRecorder()
		s.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if r.Code != http.StatusOK || r.Body.Len() < 4<<20 || !json.Valid(r.Body.Bytes()) {
			t.Errorf("%s: %d, %d bytes: %.300s", name, r.Code, r.Body.Len(), r.Body)
		}
	}
	if used, _ := s.answers.Used(); used != 0 {
		t.Errorf("%d bytes are left", used)
	}
}

// TestAnAnswerThatCannotBeBegunIsRefused, where it holds too little to be counted before and its text is larger than a piece.
func TestAnAnswerThatCannotBeBegunIsRefused(t *testing.T) {
	w := newWorld(t)
	method, params := largeClass(w, piece+1<<10)
	s := limited(t, w, func(l *Limits) { l.Answers, l.Turn = 4<<20, 50*time.Millisecond })
	other := s.output(t.Context(), nil, &client{})
	if err := other.share.Take(t.Context(), 4<<20); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRecorder()
	s.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(call1(method, params))))
	if r.Code != http.StatusServiceUnavailable || !strings.Contains(r.Body.String(), "limits.responses_mib") {
		t.Errorf("%d %.300s", r.Code, r.Body)
	}
}
