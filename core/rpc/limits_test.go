package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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

// limited is the world with other limits.
func limited(t testing.TB, w *world, change func(*Limits)) *Server {
	t.Helper()
	o := w.server.Options
	change(&o.Limits)
	w.server = New(o)
	return w.server
}

// serve listens on a port of its own until the test ends.
func serve(t testing.TB, s *Server) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, l)
	return l.Addr().String()
}

// serveOn serves until the end of the test.
func serveOn(t testing.TB, s *Server, l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

const chainIDRequest = `{"jsonrpc":"2.0","id":1,"method":"starknet_chainId"}`

func postTo(address, body string) (int, string, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Post("http://"+address, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}

func dialTCP(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// closed waits until the other side has closed the connection.
func closed(conn net.Conn, patience time.Duration) bool {
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, conn)
	var late net.Error
	return !(errors.As(err, &late) && late.Timeout())
}

// TestIdleConnectionsMakeRoom: the ones that are quiet for longest go, and never one whose request is worked on.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	w := newWorld(t)
	s := limited(t, w, func(l *Limits) { l.Connections, l.PerAddress = 20, 10 })
	began, finish := make(chan struct{}), make(chan struct{})
	s.methods["test_wait"] = Method{Class: Open, Call: func(context.Context, *jsonin.Object) (any, error) {
		close(began)
		<-finish
		return 7, nil
	}}
	address := serve(t, s)
	working := make(chan string, 1)
	go func() {
		_, text, err := postTo(address, `{"jsonrpc":"2.0","id":1,"method":"test_wait"}`)
		working <- fmt.Sprint(text, err)
	}()
	<-began
	var conns []net.Conn
	for range 100 {
		conns = append(conns, dialTCP(t, address))
	}
	if code, text, err := postTo(address, chainIDRequest); err != nil || code != 200 || !strings.Contains(text, "0x534e") {
		t.Errorf("beside idle connections: %d %s %v", code, text, err)
	}
	open := 0
	for _, c := range conns {
		if !closed(c, 10*time.Millisecond) {
			open++
		}
	}
	if open > 9 || open < 7 {
		t.Errorf("%d of 100 idle connections are open, the address may have 10", open)
	}
	close(finish)
	if got := <-working; !strings.Contains(got, `"result":7`) {
		t.Errorf("the request that was worked on: %s", got)
	}
}

// TestNoConnectionIsFree: when all are worked on, a new one is told so.
func TestNoConnectionIsFree(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Connections, l.PerAddress, l.Turn = 2, 2, 50*time.Millisecond })
	var began sync.WaitGroup
	began.Add(2)
	finish := make(chan struct{})
	s.methods["test_wait"] = Method{Class: Open, Call: func(context.Context, *jsonin.Object) (any, error) {
		began.Done()
		<-finish
		return 7, nil
	}}
	address := serve(t, s)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { postTo(address, `{"jsonrpc":"2.0","id":1,"method":"test_wait"}`) })
	}
	began.Wait()
	conn := dialTCP(t, address)
	text, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(text), "HTTP/1.1 503") || !strings.Contains(string(text), "no connection is free") {
		t.Errorf("got %q", text)
	}
	close(finish)
	all.Wait()
}

// TestSlowClients: a head and a body that trickle, and an answer that is not read, end with the connection.
func TestSlowClients(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) {
		l.Header, l.Receive, l.Idle = 200*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
		l.Send, l.Rate = 200*time.Millisecond, 1<<30
	})
	returned := make(chan struct{})
	s.methods["test_large"] = Method{Class: Open, Call: func(ctx context.Context, _ *jsonin.Object) (any, error) {
		context.AfterFunc(ctx, func() { close(returned) }) // the request ends
		return strings.Repeat("a", 32<<20), nil
	}}
	address := serve(t, s)
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
	for name, text := range map[string]string{
		"nothing": "", "head": "POST / HTTP/1.1\r\nX: y\r\n", "body": fmt.Sprintf(head, 1000) + `{"jsonrpc"`, "idle after a request": fmt.Sprintf(head, len(chainIDRequest)) + chainIDRequest,
	} {
		conn := dialTCP(t, address)
		io.WriteString(conn, text)
		if !closed(conn, 10*time.Second) {
			t.Errorf("%s: the connection stays", name)
		}
	}
	conn := dialTCP(t, address)
	request := `{"jsonrpc":"2.0","id":1,"method":"test_large"}`
	fmt.Fprintf(conn, head+"%s", len(request), request)
	select {
	case <-returned:
	case <-time.After(10 * time.Second):
		t.Error("the answer waits for a client that does not read")
	}
	// The late body has an answer that says why.
	conn = dialTCP(t, address)
	io.WriteString(conn, fmt.Sprintf(head, 1000)+`{"jsonrpc"`)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || r.StatusCode != http.StatusRequestTimeout {
		t.Fatal(r, err)
	}
	if text, _ := io.ReadAll(r.Body); !strings.Contains(string(text), "not received within 300ms") {
		t.Errorf("a late body: %s", text)
	}
}

// TestBodiesOnTheirWay share the memory for them; small ones need no share, and a share that is announced but not used none.
func TestBodiesOnTheirWay(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Body, l.Bodies, l.Turn = 1<<20, 2<<20+4096, 50*time.Millisecond })
	address := serve(t, s)
	announced := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
	for range 50 {
		io.WriteString(dialTCP(t, address), announced)
	}
	large := `{"jsonrpc":"2.0","id":1,"method":"starknet_chainId","x":"` + strings.Repeat("a", 900_000) + `"}`
	if code, text, err := postTo(address, large); code != 200 || err != nil {
		t.Errorf("beside bodies that are only announced: %d %s %v", code, text, err)
	}
	var held []net.Conn
	for range 2 {
		conn := dialTCP(t, address)
		io.WriteString(conn, announced+strings.Repeat(" ", 999_000))
		held = append(held, conn)
	}
	waitFor(t, func() bool { // else the next large body may be the one that finds room
		used, _ := s.bodyBytes.Used()
		return used > 2<<20-256<<10
	})
	waitFor(t, func() bool {
		code, text, _ := postTo(address, large)
		return code == http.StatusServiceUnavailable && strings.Contains(text, "-32005") && strings.Contains(text, "on their way")
	})
	if code, _, err := postTo(address, chainIDRequest); code != 200 || err != nil {
		t.Errorf("a small body: %d %v", code, err)
	}
	for _, c := range held {
		c.Close()
	}
	waitFor(t, func() bool { code, _, _ := postTo(address, large); return code == 200 })
}

func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came so")
		}
	}
}

func TestPackedBodiesAreRefused(t *testing.T) {
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("\x1f\x8b"))
	request.Header.Set("Content-Encoding", "gzip")
	r := httptest.NewRecorder()
	newWorld(t).server.ServeHTTP(r, request)
	if r.Code != http.StatusUnsupportedMediaType || !strings.Contains(r.Body.String(), `content encoding \"gzip\"`) {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestBusyViews: few run, few wait, the rest hears at once that the node is busy; others are answered meanwhile.
func TestBusyViews(t *testing.T) {
	w := newWorld(t)
	slow := &slowExecution{fakeExecution: w.execution, release: make(chan struct{})}
	o := w.server.Options
	o.Execution = ordov1.NewExecutionClient(dial(t, func(s *grpc.Server) { ordov1.RegisterExecutionServer(s, slow) }))
	o.Limits.Views, o.Limits.ViewsWaiting = 2, 3
	w.server = New(o)
	request := `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":[]},"latest"]`
	var busy, answered atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			result, failed := w.server.Call(t.Context(), "starknet_call", json.RawMessage(request))
			switch {
			case failed != nil && failed.Code == codeBusy && strings.Contains(failed.Message, "busy: 2 calls, estimates, simulations and traces run and 3 wait"):
				busy.Add(1)
			case failed != nil:
				t.Error(failed)
			case result != nil:
				answered.Add(1)
			}
		})
	}
	waitFor(t, func() bool { return slow.running.Load() == 2 && busy.Load() == 15 })
	if got := call(t, w, "starknet_getNonce", `["latest","0x77"]`); got != `"0x3"` {
		t.Errorf("a read beside busy views: %s", got)
	}
	close(slow.release)
	all.Wait()
	if answered.Load() != 5 || busy.Load() != 15 || slow.most.Load() != 2 {
		t.Errorf("%d answered, %d told busy, %d at a time", answered.Load(), busy.Load(), slow.most.Load())
	}
}

// slowExecution answers views when it is released.
type slowExecution struct {
	*fakeExecution
	running, most atomic.Int32
	release       chan struct{}
}

func (e *slowExecution) View(ctx context.Context, q *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	n := e.running.Add(1)
	defer e.running.Add(-1)
	for m := e.most.Load(); n > m && !e.most.CompareAndSwap(m, n); m = e.most.Load() {
	}
	<-e.release
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: fe(1)}}, nil
}

// TestSizes: what a request may ask for, each with the place and the limit in its error.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	limited(t, w, func(l *Limits) {
		l.Calldata, l.Simulated, l.EventsPage, l.Keys, l.Addresses, l.EventsBlocks = 2, 2, 5, 3, 2, 2
	})
	for _, c := range []struct{ method, params, want string }{
		{"starknet_call", `[{"contract_address":"0x88","entry_point_selector":"0x1","calldata":["0x1","0x2","0x3"]},"latest"]`, `request.calldata: 3 felts, at most 2 are allowed`},
		{"starknet_estimateMessageFee", `[{"from_address":"0x8888888888888888888888888888888888888888","to_address":"0x88","entry_point_selector":"0x1","payload":["0x1","0x2","0x3"]},"latest"]`, `message.payload: 3 felts, at most 2 are allowed`},
		{"starknet_estimateFee", `[[{},{},{}],[],"latest"]`, `request: 3 transactions, at most 2 are allowed`},
		{"starknet_simulateTransactions", `["latest",[{},{},{}],[]]`, `transactions: 3 transactions, at most 2 are allowed`},
		{"starknet_getEvents", `[{"chunk_size":6}]`, `"code":31`},
		{"starknet_getEvents", `[{"chunk_size":5,"keys":[["0x1","0x2"],["0x1","0x2"]]}]`, `"code":34`},
		{"starknet_getEvents", `[{"chunk_size":5,"address":["0x1","0x2","0x3"]}]`, `3 addresses, at most 2 are allowed`},
		{"starknet_getEvents", `[{"chunk_size":5,"keys":[["0xe9"]]}]`, `{"events":[],"continuation_token":"2-0"}`},
		{"starknet_getStateUpdate", `["latest",["0x1","0x2","0x3"]]`, `contract_addresses: 3 addresses, at most 2 are allowed`},
	} {
		if got := call(t, w, c.method, c.params); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %s", c.method, c.params, got, c.want)
		}
	}
}
