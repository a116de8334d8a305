package rpc

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/connlimit"
)

// sendAll sends all of a request before it reads, as most clients do, and returns the answer.
func sendAll(t *testing.T, address string, parts ...string) (*http.Response, string) {
	t.Helper()
	return sendOn(t, dialTCP(t, address), parts...)
}

func sendOn(t *testing.T, conn net.Conn, parts ...string) (*http.Response, string) {
	t.Helper()
	for _, part := range parts {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatalf("the node closed while the body was sent: %v", err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%q %v", text, err)
	}
	if !closed(conn, 10*time.Second) {
		t.Error("the connection stays")
	}
	return r, string(text)
}

// TestRefusedBodiesAreAnswered: a client that sends all of its body first reads why it was refused, not a reset.
func TestRefusedBodiesAreAnswered(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Body = 64 << 10 })
	address := serve(t, s)
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	length := func(n int) string { return fmt.Sprintf("%sContent-Length: %d\r\n", head, n) }
	long := strings.Repeat("a", 20<<20)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, long[:1<<20])
	for _, c := range []struct {
		name  string
		parts []string
		code  int
		want  string
	}{
		{"too long", []string{length(len(long)), "\r\n", long}, 413, "limits.body_kib"},
		{"too long, in chunks", []string{head, "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat(chunk, 20), "0\r\n\r\n"}, 413, "limits.body_kib"},
		{"packed", []string{length(len(long)), "Content-Encoding: gzip\r\n\r\n", long}, 415, `content encoding \"gzip\"`},
		{"packed, said in a second header", []string{length(len(long)), "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n", long}, 415, `content encoding \"gzip\"`},
		{"packed, said in a list", []string{length(5), "Content-Encoding: identity, br\r\n\r\nabcde"}, 415, `content encoding \"br\"`},
		{"two lengths", []string{length(5), "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, 400, "Content-Length and Transfer-Encoding"},
		{"two lengths, and another request behind", []string{length(5), "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", asRequest(chainIDRequest)}, 400, "Content-Length and Transfer-Encoding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, text := sendAll(t, address, c.parts...)
			if r.StatusCode != c.code || !strings.Contains(text, c.want) || !r.Close {
				t.Errorf("%d %s, close %v", r.StatusCode, text, r.Close)
			}
		})
	}
	// In chunks alone is fine.
	r, text := sendAll(t, address, head, "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(chainIDRequest), chainIDRequest))
	if r.StatusCode != 200 || !strings.Contains(text, "0x534e") {
		t.Errorf("in chunks: %d %s", r.StatusCode, text)
	}
	// A request with two lengths is found behind others on the same connection, too.
	conn := dialTCP(t, address)
	io.WriteString(conn, asRequest(chainIDRequest)+length(5)+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+asRequest(chainIDRequest))
	all, _ := io.ReadAll(conn)
	if strings.Count(string(all), "HTTP/1.1 200") != 1 || strings.Count(string(all), "HTTP/1.1 400") != 1 {
		t.Errorf("behind another: %s", all)
	}
}

// TestAClientThatWaitsForLeave sends nothing when it is refused, and is not waited for.
func TestAClientThatWaitsForLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		serveOn(t, newWorld(t).server, l)
		conn := l.dial()
		defer conn.Close()
		began := time.Now()
		r, _ := sendOn(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n")
		if took := time.Since(began); r.StatusCode != http.StatusRequestEntityTooLarge || took != 0 {
			t.Errorf("%d after %v", r.StatusCode, took)
		}
	})
}

// pipes is a listener in memory, whose connections go by the clock of a synctest.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// far is the server's end of a connection, with the address of a client.
type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial() net.Conn {
	near, other := net.Pipe()
	p.conns <- far{other}
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return far{}.RemoteAddr() }

// TestBodiesAreText: what is no UTF-8 is no JSON, so that an id that goes back as it came is valid in the answer.
func TestBodiesAreText(t *testing.T) {
	s := newWorld(t).server
	for _, body := range []string{
		"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"starknet_chainId\"}",
		"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"starknet_chainId\"},{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\",\"method\":\"starknet_chainId\"}]",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xed\xa0\x80\"}",
	} {
		if got := postBody(s, body); got != `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error: the body is not valid UTF-8"}}` {
			t.Errorf("%q: %s", body, got)
		}
	}
	if got := postBody(s, `{"jsonrpc":"2.0","id":"ü\ud800","method":"starknet_chainId"}`); !strings.Contains(got, `"id":"ü\ud800","result":"0x534e`) {
		t.Error(got)
	}
}

// TestFewOpenFiles: what the system allows is shared between the node and its clients, and too little is said at the start.
func TestFewOpenFiles(t *testing.T) {
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	configured := connlimit.Limits{Most: 4096, Each: 1024, Waiting: 1024, Rejecting: 256}
	for _, c := range []struct {
		limit, open int
		want        [4]int // open, of one address, waiting, rejecting
		failed      string
	}{
		{1 << 20, 50, [4]int{4096, 1024, 1024, 256}, ""},
		{1024, 50, [4]int{718, 718, 119, 119}, ""},
		{128, 50, [4]int{46, 46, 7, 7}, ""},
		{80, 50, [4]int{10, 10, 1, 1}, ""},
		{64, 50, [4]int{}, "the system allows 64 open files, and the node has 50 and needs 24 more to serve: raise the limit (ulimit -n, LimitNOFILE) to 1024 or more"},
	} {
		got, err := s.connLimitsWithin(configured, c.limit, c.open)
		if c.failed != "" {
			if err == nil || !strings.Contains(err.Error(), c.failed) {
				t.Errorf("%d: %v", c.limit, err)
			}
			continue
		}
		if found := [4]int{got.Most, got.Each, got.Waiting, got.Rejecting}; err != nil || found != c.want {
			t.Errorf("%d: %v %v, want %v", c.limit, found, err, c.want)
		}
		if all := got.Most + got.Waiting + got.Rejecting + c.open + spareFiles; all > c.limit && c.limit < 1<<20 {
			t.Errorf("%d of %d files", all, c.limit)
		}
	}
}

// TestANewcomerWaits for a place, gets it when one leaves, and has it when one has been quiet for a while.
func TestANewcomerWaits(t *testing.T) {
	s := limited(t, newWorld(t), func(l *Limits) { l.Connections, l.PerAddress = 4, 4 })
	address := serve(t, s)
	idle := make([]net.Conn, 4)
	for i := range idle {
		idle[i] = dialTCP(t, address)
		io.WriteString(idle[i], asRequest(chainIDRequest))
		if _, err := bufio.NewReader(idle[i]).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, err := postTo(address, chainIDRequest); code != 200 || err != nil {
		t.Errorf("beside four that are idle: %d %v", code, err)
	}
	gone := 0
	for _, c := range idle {
		if closed(c, 10*time.Millisecond) {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d had to go for one", gone)
	}
}
