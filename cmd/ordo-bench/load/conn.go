package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// requestTimeout is for one request; a node that makes a block for every transaction may take its time.
const requestTimeout = 60 * time.Second

// target is where requests go.
type target struct {
	address string // host:port
	host    string
	path    string
	tls     bool
}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return target{}, fmt.Errorf("url %q: want one such as http://127.0.0.1:5050", raw)
	}
	t := target{address: u.Host, host: u.Host, path: u.EscapedPath(), tls: u.Scheme == "https"}
	if u.Port() == "" {
		port := "80"
		if t.tls {
			port = "443"
		}
		t.address = net.JoinHostPort(u.Hostname(), port)
	}
	if t.path == "" {
		t.path = "/"
	}
	if u.RawQuery != "" {
		t.path += "?" + u.RawQuery
	}
	return t, nil
}

// conn is one connection that stays open. The load comes from the machine that carries the node, so requests are written by
// hand: net/http's client costs as much processor time as a server. Not safe for concurrent use.
type conn struct {
	target
	c      net.Conn
	in     *bufio.Reader
	head   []byte // of every request, up to the length
	out    []byte
	answer bytes.Buffer
	used   bool // the connection has answered before: a break may be the end of its idle time
}

func newConn(t target) *conn {
	return &conn{target: t, head: []byte("POST " + t.path + " HTTP/1.1\r\nHost: " + t.host + "\r\nContent-Type: application/json\r\nContent-Length: ")}
}

// post sends a body and returns the answer, which is valid until the next call. A connection that was closed while it was
// idle is opened again, once.
func (c *conn) post(ctx context.Context, body []byte) ([]byte, error) {
	for {
		fresh := !c.used
		answer, err := c.try(ctx, body)
		if err == nil || fresh || ctx.Err() != nil || !broken(err) {
			return answer, err
		}
	}
}

func broken(err error) bool {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return false
	}
	return true
}

func (c *conn) try(ctx context.Context, body []byte) (answer []byte, err error) {
	if c.c == nil {
		if err := c.dial(ctx); err != nil {
			return nil, err
		}
	}
	keep := false
	defer func() {
		if !keep {
			c.close()
		}
	}()
	deadline := time.Now().Add(requestTimeout)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
	}
	_ = c.c.SetDeadline(deadline)
	open := c.c
	cancelled := context.AfterFunc(ctx, func() { _ = open.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !cancelled() {
			keep = false // its deadline is gone
		}
	}()
	c.out = append(c.out[:0], c.head...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	if _, err := c.c.Write(c.out); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	c.answer.Reset()
	_, err = io.Copy(&c.answer, response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	keep, c.used = !response.Close, true
	if response.StatusCode != http.StatusOK && !looksLikeJSON(c.answer.Bytes()) {
		return nil, fmt.Errorf("status %d: %.200s", response.StatusCode, c.answer.Bytes())
	}
	return c.answer.Bytes(), nil
}

func looksLikeJSON(b []byte) bool { return len(b) > 0 && (b[0] == '{' || b[0] == '[') }

func (c *conn) dial(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if c.tls {
		c.c, err = (&tls.Dialer{}).DialContext(ctx, "tcp", c.address)
	} else {
		c.c, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
	}
	if err != nil {
		c.c = nil
		return err
	}
	c.in, c.used = bufio.NewReader(c.c), false
	return nil
}

func (c *conn) close() {
	if c.c != nil {
		c.c.Close()
	}
	c.c, c.used = nil, false
}
