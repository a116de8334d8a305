package attacker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// request writes a JSON-RPC request.
func request(id int, method string, params any) []byte {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		panic(err) // only a wrong attack makes what is no JSON
	}
	return body
}

// batch puts the same request n times into one body.
func batch(n int, one []byte) []byte {
	return append(append([]byte("["), bytes.TrimSuffix(bytes.Repeat(append(one, ','), n), []byte(","))...), ']')
}

// answer is one JSON-RPC answer.
type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *client.Error   `json:"error"`
}

// call sends one request and counts what comes back; the result is nil when there is none.
func (c *Client) call(ctx context.Context, method string, params any) (json.RawMessage, *client.Error) {
	return c.post(ctx, method, request(1, method, params))
}

// post sends a body of one request and counts its outcome.
func (c *Client) post(ctx context.Context, method string, body []byte) (json.RawMessage, *client.Error) {
	status, raw, err := c.raw(ctx, body)
	if err != nil {
		return nil, nil
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		c.fault("%s: status %d, no JSON: %.100s", method, status, raw)
		return nil, nil
	}
	c.got(outcome(status, a))
	c.named(method, a.Error)
	return a.Result, a.Error
}

// raw sends a body and counts it, and the outcome when there is no answer. A request that the end of the turn kept from being
// written was not sent.
func (c *Client) raw(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	var wrote atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) { wrote.Store(info.Err == nil) }})
	status, answer, err = c.Node.Post(traced, body)
	if err != nil && ctx.Err() != nil && !wrote.Load() {
		return 0, nil, err
	}
	c.sent(1)
	if err != nil {
		c.got(noAnswer(ctx, err))
	}
	return status, answer, err
}

// named: an internal error is a fault of the node, whatever the question was.
func (c *Client) named(method string, e *client.Error) {
	if e != nil && e.Code == -32603 {
		c.fault("%s: %v", method, e)
	}
}

func outcome(status int, a answer) string {
	switch {
	case a.Error != nil:
		return fmt.Sprintf("error %d", a.Error.Code)
	case status != http.StatusOK:
		return fmt.Sprintf("http %d", status)
	}
	return "result"
}

// noAnswer says in which way there was none.
func noAnswer(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return left
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no answer: connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "no answer: reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "no answer: closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer: timeout"
	}
	return "no answer: other"
}

// view calls an entry point of the attackers' contract.
func (c *Client) view(ctx context.Context, function string, calldata ...felt.Felt) (json.RawMessage, *client.Error) {
	return c.call(ctx, "starknet_call", map[string]any{"request": functionCall(c.Contract, function, calldata...), "block_id": "latest"})
}

func functionCall(contract felt.Felt, function string, calldata ...felt.Felt) map[string]any {
	data := make([]string, len(calldata))
	for i, f := range calldata {
		data[i] = f.Hex()
	}
	return map[string]any{"contract_address": contract.Hex(), "entry_point_selector": keccak.Selector(function).Hex(), "calldata": data}
}

// on is a call of the attackers' contract in a transaction.
func (c *Client) on(function string, calldata ...felt.Felt) client.Call {
	return client.Call{To: c.Contract, Selector: keccak.Selector(function), Calldata: calldata}
}

// invoke is a transaction of the client's account, whose class takes any signature, with the signature that says what its
// validation does.
func (c *Client) invoke(nonce uint64, signature []felt.Felt, calls ...client.Call) map[string]any {
	tx := c.Account.Invoke(nonce, calls...).JSON()
	list := make([]string, len(signature))
	for i, f := range signature {
		list[i] = f.Hex()
	}
	tx["signature"] = list
	return tx
}

// send sends a transaction with the account's next nonce and counts what becomes of it. It waits for its block for a while: the
// attack is over when the node has run it.
func (c *Client) send(ctx context.Context, signature []felt.Felt, calls ...client.Call) {
	nonce, err := c.Node.Nonce(ctx, "pre_confirmed", c.Account.Address)
	if err != nil {
		c.got("no nonce")
		pause(ctx, 200*time.Millisecond)
		return
	}
	raw, _ := c.call(ctx, "starknet_addInvokeTransaction", map[string]any{"invoke_transaction": c.invoke(nonce, signature, calls...)})
	var answer struct {
		Hash string `json:"transaction_hash"`
	}
	if raw == nil || json.Unmarshal(raw, &answer) != nil || answer.Hash == "" {
		return
	}
	c.got("acknowledged")
	waiting, enough := context.WithTimeout(ctx, 30*time.Second)
	defer enough()
	for {
		s, err := c.Node.Status(waiting, answer.Hash)
		var refusal *client.Error
		switch {
		case errors.As(err, &refusal) && refusal.Code == 29:
			c.got("dropped, with a reason")
			return
		case err == nil && s.Execution != "":
			c.got("in a block: " + s.Execution)
			return
		case !pause(waiting, 100*time.Millisecond):
			c.got("still waiting when the client left")
			return
		}
	}
}

// address is host:port of the node.
func (c *Client) address() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		panic(err) // the driver has used it
	}
	return u.Host
}

// dial opens a connection that is closed when the context ends. window is the receive buffer in bytes; 0: the system's.
func (c *Client) dial(ctx context.Context, window int) (*socket, error) {
	d := *c.dialer
	if window > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window) })
			return errors.Join(failed, err)
		}
	}
	conn, err := d.DialContext(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, in: bufio.NewReader(conn)}
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return s, nil
}

// socket is a connection whose requests are written by hand.
type socket struct {
	net.Conn
	in   *bufio.Reader
	stop func() bool
}

func (s *socket) close() {
	s.stop()
	s.Conn.Close()
}

const head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "

// write sends a request with a body.
func (s *socket) write(body []byte) error {
	_, err := fmt.Fprintf(s, "%s%d\r\n\r\n%s", head, len(body), body)
	return err
}

// read reads one answer and throws its body away.
func (s *socket) read(limit time.Duration) (status int, size int64, err error) {
	_ = s.SetReadDeadline(time.Now().Add(limit))
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	size, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, size, err
}
