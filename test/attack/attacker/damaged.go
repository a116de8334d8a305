package attacker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/test/mutate"
)

// damagedJSON sends valid requests with damage, of every method that does not turn the chain's clock: the operator's own pages may.
type damagedJSON struct{}

func (damagedJSON) Name() string { return "damaged JSON" }

func (damagedJSON) Run(ctx context.Context, c *Client) {
	nonce, err := c.Node.Nonce(ctx, "latest", c.Account.Address)
	if err != nil {
		c.got("no nonce")
		return
	}
	corpus, err := Corpus(ctx, c.Node, Subject{
		Account: c.Account.Address, Token: c.Token, Class: c.Classes[0], Hash: c.Hash, Nonce: nonce,
		Invoke: func(nonce uint64) any { return c.invoke(nonce, nil) },
	})
	if err != nil {
		c.got("no corpus")
		return
	}
	delete(corpus, "devnet_setTime")
	delete(corpus, "devnet_increaseTime")
	methods := make([]string, 0, len(corpus))
	for method := range corpus {
		methods = append(methods, method)
	}
	slices.Sort(methods)
	for ctx.Err() == nil {
		method := methods[c.Random.IntN(len(methods))]
		list := corpus[method]
		body := mutate.Body(c.Random, list[c.Random.IntN(len(list))])
		status, raw, err := c.raw(ctx, body)
		if err != nil {
			continue
		}
		if err := mutate.Check(method, status, raw); err != nil {
			c.fault("%s: %v: request %.200s: answer %.200s", method, err, body, raw)
		}
		switch {
		case strings.Contains(string(raw), `"result":`):
			c.got("result")
		default:
			c.got("error")
		}
		pause(ctx, 5*time.Millisecond)
	}
}

func (damagedJSON) Judge(t *Tally) error {
	if t.Sent >= 500 && t.count("result") == 0 { // one in ten has a result
		return fmt.Errorf("no body of %d had a result: the damage reaches no method", t.Sent)
	}
	return t.happened("error", left)
}

// damagedHTTP sends heads that are no HTTP, or more than one.
type damagedHTTP struct{}

func (damagedHTTP) Name() string { return "damaged HTTP" }

func (damagedHTTP) Run(ctx context.Context, c *Client) {
	body := string(request(1, "starknet_chainId", []any{}))
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	const post, host = "POST / HTTP/1.1\r\n", "Host: 127.0.0.1\r\n"
	shapes := []string{
		post + host + length + "Content-Length: 7\r\n\r\n" + body,
		post + host + "Content-Length: -1\r\n\r\n" + body,
		post + host + "Content-Length: 9223372036854775808\r\n\r\n" + body,
		post + host + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + post + host + length + "\r\n" + body,
		post + host + "Transfer-Encoding: xchunked\r\n\r\n" + body,
		post + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + body,
		post + host + "Transfer-Encoding: chunked\r\n\r\n1;\n1\r\n0\r\n" + strings.Repeat("a: b\r\n", 300_000) + "\r\n",
		post + length + "\r\n" + body,
		post + host + host + length + "\r\n" + body,
		post + host + "X: \x00\r\n" + length + "\r\n" + body,
		post + host + strings.Repeat("X: y\r\n", 10_000) + length + "\r\n" + body,
		post + host + "X: " + strings.Repeat("y", 1<<20) + "\r\n" + length + "\r\n" + body,
		"POST /" + strings.Repeat("y", 1<<20) + " HTTP/1.1\r\n" + host + length + "\r\n" + body,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/0.9\r\n\r\n", "POST / HTTP/3.0\r\n" + host + "\r\n", "\r\n\r\n\r\n\r\n",
		"CONNECT 127.0.0.1:1 HTTP/1.1\r\n" + host + "\r\n", "TRACE / HTTP/1.1\r\n" + host + "\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		post + host + "Content-Encoding: gzip\r\n" + length + "\r\n" + body,
		post + host + "Expect: 100-nothing\r\n" + length + "\r\n" + body,
	}
	for ctx.Err() == nil {
		s, err := c.dial(ctx, 0)
		if err != nil {
			c.got(noAnswer(ctx, err))
			pause(ctx, 100*time.Millisecond)
			continue
		}
		c.sent(1)
		_ = s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		shape := c.Random.IntN(len(shapes))
		_, wrote := s.Write([]byte(shapes[shape]))
		status, _, err := s.read(3 * time.Second)
		switch {
		case err == nil && status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported:
			c.fault("status %d to %.100q", status, shapes[shape])
		case err == nil:
			c.got(fmt.Sprintf("http %d", status))
		case wrote != nil:
			c.got(noAnswer(ctx, wrote))
		default:
			c.got(noAnswer(ctx, err))
		}
		s.close()
		pause(ctx, 10*time.Millisecond)
	}
}

func (damagedHTTP) Judge(t *Tally) error { return t.happened("http 4") }
