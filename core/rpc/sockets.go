package rpc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/ordo-sequencer/ordo/core/rpc/socket"
	"github.com/ordo-sequencer/ordo/core/subscriptions"
)

// socketMessages is how many messages of one socket run at a time; further ones are read when one of them is answered.
const socketMessages = 16

// session is the socket of one client, with what it has subscribed to.
type session struct {
	s    *Server
	http *http.Request // that asked for the socket
	conn *socket.Conn
	pace sync.Mutex // one backfill at a time waits for room

	mu   sync.Mutex
	subs map[string]*subscriptions.Subscription
	size int // bytes of the filters of all
	uses int // messages that run, and subscriptions
	rest func()
}

type sessionKey struct{}

// sessionOf is the socket that a request came over; nil for one over HTTP.
func sessionOf(ctx context.Context) *session {
	c, _ := ctx.Value(sessionKey{}).(*session)
	return c
}

func (s *Server) newPool() *socket.Pool {
	l := s.Limits
	return socket.New(socket.Limits{
		Most: l.Sockets, Queue: int64(l.SocketQueue), Waiting: int64(l.Answers / 2), Messages: socketMessages, Idle: l.Idle, Send: l.sendTime,
		Cut: func(c *socket.Conn, why socket.Why) {
			s.cutOff.log(s.Log, "rpc: a subscriber was cut off", "from", c.From.String(), "why", string(why))
		},
	}, s.answers)
}

// isUpgrade tells whether a request asks for a WebSocket.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveSocket makes the connection of a request a WebSocket and serves it to its end. Pages of every origin may open one, as they may
// post requests; guarded methods are refused there by the rules of checkAccess.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	below := connOf(r.Context())
	if below == nil { // another server than Serve's
		http.Error(w, "WebSocket is not served here", http.StatusNotImplemented)
		return
	}
	c := &session{s: s, http: r, subs: map[string]*subscriptions.Subscription{}}
	conn, err := s.sockets.Place(context.WithValue(r.Context(), sessionKey{}, c), fromOf(r.Context()))
	if err != nil {
		if errors.Is(err, socket.ErrFull) {
			s.cutOff.log(s.Log, "rpc: a socket was refused", "from", r.RemoteAddr, "why", err)
		}
		s.refuse(w, &httpError{http.StatusServiceUnavailable, specError(codeBusy, err.Error())})
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil { // the client was told why
		conn.Abandon()
		return
	}
	below.socket.Store(true)
	below.Answered()
	c.conn = conn
	defer c.close()
	conn.Serve(r.Context(), ws, below, c)
}

// use keeps the connection from being closed for another one, as long as something runs or is subscribed to.
func (c *session) use() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useLocked()
}

func (c *session) useLocked() {
	if c.uses++; c.uses == 1 {
		c.rest = atWork(c.http.Context())
	}
}

func (c *session) unuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unuseLocked()
}

func (c *session) unuseLocked() {
	if c.uses--; c.uses == 0 {
		c.rest()
	}
}

// subscribed tells whether the socket has a subscription.
func (c *session) subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subs) > 0
}

// Receive implements socket.Handler.
func (c *session) Receive(ctx context.Context, conn *socket.Conn, message io.Reader) (work func(), err error) {
	s := c.s
	one := &client{}
	one.holder.From = conn.From
	one.holder.Cut = func(string) { conn.Kill(socket.NoMemory) }
	one.body = s.bodyBytes.Share(&one.holder)
	late := time.AfterFunc(s.Limits.Receive, func() {
		conn.Close(websocket.StatusPolicyViolation, "a message was not received in time (limits.receive_timeout)")
	})
	body, err := s.gather(ctx, message, 1<<10, one)
	late.Stop()
	if err != nil {
		one.body.Close()
		switch {
		case errors.Is(err, errTooLarge):
			return nil, websocket.CloseError{Code: websocket.StatusMessageTooBig, Reason: "a message is over the limit (limits.body_kib)"}
		case errors.As(err, new(*unreadBody)):
			return nil, err
		}
		return nil, websocket.CloseError{Code: websocket.StatusTryAgainLater, Reason: "busy: no room for the message (limits.bodies_mib)"}
	}
	c.use()
	return func() {
		defer c.unuse()
		defer one.body.Close()
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // the value itself
				panic(p)
			}
		}()
		to := &socketAnswer{c: c, ctx: conn.Context()}
		defer to.end()
		s.run(context.WithValue(to.ctx, holdKey{}, to), to, one, body)
	}, nil
}

// socketAnswer answers one message.
type socketAnswer struct {
	c       *session
	ctx     context.Context
	release func()         // lets notifications go; nil when none are held
	message io.WriteCloser // an answer that is sent in pieces
	late    *time.Timer
}

type holdKey struct{}

// hold keeps notifications back until the message is answered.
func hold(ctx context.Context) {
	if a, ok := ctx.Value(holdKey{}).(*socketAnswer); ok && a.release == nil {
		a.release = a.c.conn.Hold()
	}
}

func (a *socketAnswer) end() {
	if a.release != nil {
		a.release()
	}
}

// allowed implements answerer. A page cannot open a socket to this node under a foreign name or from a foreign origin without telling.
func (a *socketAnswer) allowed(method string) *httpError { return a.c.s.checkPage(a.c.http, method) }

// refuse implements answerer: each request has its answer, for the client waits for every one of them.
func (a *socketAnswer) refuse(why *httpError, list []request) {
	var text []byte
	if len(list) == 0 {
		text = written(failure(nil, why.err))
	}
	for i := range list {
		if !list[i].silent() {
			text = append(append(text, ','), written(failure(list[i].id, why.err))...)
		}
	}
	if len(list) > 1 && len(text) > 0 {
		text[0] = '['
		text = append(text, ']')
	} else if len(list) == 1 && len(text) > 0 {
		text = text[1:]
	}
	_ = a.whole(text, a.c.s.Limits.sendTime(len(text)))
}

// whole implements answerer.
func (a *socketAnswer) whole(text []byte, _ time.Duration) error {
	if len(text) == 0 {
		return nil
	}
	return a.c.conn.Write(text)
}

// piece implements answerer.
func (a *socketAnswer) piece(text []byte, within time.Duration, last bool) (err error) {
	if a.message == nil {
		if a.message, err = a.c.conn.Begin(); err != nil {
			return err
		}
		a.late = time.AfterFunc(within, func() { a.c.conn.Kill(socket.NoProgress) })
	} else {
		a.late.Reset(within)
	}
	defer a.late.Stop()
	if _, err = a.message.Write(text); err == nil && last {
		err = a.message.Close()
	}
	return err
}

// broken implements answerer.
func (a *socketAnswer) broken() {
	a.c.conn.Close(websocket.StatusInternalError, "an answer could not be sent to its end")
}

// close ends all subscriptions of a client that left.
func (c *session) close() {
	c.mu.Lock()
	var list []*subscriptions.Subscription
	for _, sub := range c.subs {
		list = append(list, sub)
	}
	c.subs = nil
	c.mu.Unlock()
	for _, sub := range list {
		c.s.broker.remove(sub)
		c.unuse()
	}
}

// SocketStats are counts for the metrics.
type SocketStats struct {
	socket.Stats
	Subscriptions int
}

// SocketStats counts sockets and subscriptions.
func (s *Server) SocketStats() SocketStats {
	return SocketStats{s.sockets.Stats(), s.broker.count()}
}
