package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ordo-sequencer/ordo/core/internal/limiter"
)

// smallBody is what any request may hold in memory, without a share of Limits.Bodies.
const smallBody = 64 << 10

// ServeHTTP answers the paths of the versions, and `/is_alive`, and serves WebSocket on the same paths and below `/ws`.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || len(r.Header["Origin"]) > 0 { // programs send no Origin, and pay nothing for browsers
		cors(w.Header(), r)
	}
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close") // where the next request begins is not looked for, see heads
		if why := framing(r); why != nil {
			s.refuseBody(w, r, why)
			return
		}
	}
	path := r.URL.Path
	version := versionAt(path)
	switch {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case path == "/is_alive":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Alive!!!") // older clients compare the text
	case version == nil:
		http.Error(w, "not found: post json-rpc to one of "+servedPaths()+s.formerly(path), http.StatusNotFound)
	case strings.HasPrefix(path, "/ws") && !isUpgrade(r):
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this path serves WebSocket: connect to ws://"+r.Host+path+", or post json-rpc to "+version.paths[0], http.StatusUpgradeRequired)
	case isUpgrade(r):
		s.serveSocket(w, r.WithContext(withVersion(r.Context(), version)))
	case r.Method == http.MethodPost:
		if version != newest { // nearly all are, and pay nothing for it
			r = r.WithContext(withVersion(r.Context(), version))
		}
		s.post(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.hello(w, version)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		http.Error(w, "method not allowed: post json-rpc", http.StatusMethodNotAllowed)
	}
}

const allowOrigin = "Access-Control-Allow-Origin"

// cors lets wallets in browsers call from any page; there are no cookies. A preflight does not tell which method will be
// called, so it is answered the same for all of them: checkAccess looks at the request itself.
func cors(h http.Header, r *http.Request) {
	h.Set(allowOrigin, "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Max-Age", "86400")
	if r.Header.Get("Access-Control-Request-Private-Network") != "" { // of a public page, from a node on this machine
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
}

// narrow takes back what cors gave: the answer of a guarded method is for the page that asked alone.
func narrow(h http.Header, r *http.Request, refused bool) {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return
	}
	h.Set("Vary", "Origin")
	if refused {
		h.Del(allowOrigin)
		return
	}
	h.Set(allowOrigin, origins[0])
}

// formerly names the method that answers what was once posted to a path of its own, such as starknet-devnet's /mint for
// devnet_mint: scripts that do so are still around.
func (s *Server) formerly(path string) string {
	words := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "_", "")
	for name := range s.methods {
		if _, short, ok := strings.Cut(name, "_"); ok && !strings.HasPrefix(name, specPrefix) && (strings.EqualFold(short, words) || strings.EqualFold(short, "get"+words)) {
			return ": the method is " + name
		}
	}
	return ""
}

func (s *Server) hello(w http.ResponseWriter, version *Version) {
	s.reply(w, http.StatusOK, struct {
		Name    string `json:"name"`
		Spec    string `json:"starknet_json_rpc"`
		ChainID any    `json:"chain_id"`
		Usage   string `json:"usage"`
	}{"ordo", version.Number, s.ChainID, "post json-rpc 2.0 requests to this address"})
}

// envelope is one answer. Exactly one of Result and Error is set.
type envelope struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

var nullID = json.RawMessage("null")

func failure(id json.RawMessage, err *Error) *envelope {
	if len(id) == 0 {
		id = nullID
	}
	return &envelope{Version: jsonrpcVersion, ID: id, Error: err}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	c := s.client(w, r)
	c.body = s.bodyBytes.Share(&c.holder)
	defer c.body.Close()
	body, refused := s.receive(r, c)
	if refused != nil {
		s.refuseBody(w, r, refused)
		return
	}
	defer atWork(r.Context())()
	s.run(r.Context(), &httpAnswer{s, w, r}, c, body)
}

// run answers a body that was received.
func (s *Server) run(ctx context.Context, to answerer, c *client, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Work)
	defer cancel()
	c.caller = limiter.Caller{From: c.holder.From, Bytes: len(body)}
	ctx = limiter.WithCaller(ctx, &c.caller)
	// A read body is bytes; what it is decoded to takes many times that. Few large ones are decoded at a time.
	c.decoded = s.large.Share(&c.holder)
	defer c.decoded.Close()
	if size := int64(len(body)); size > smallBody {
		if err := c.decoded.Take(ctx, size); err != nil {
			to.refuse(unavailable(err), nil)
			return
		}
	}
	list, batch, failed := requests(body, s.Limits.Batch)
	if failed == nil && !utf8.Valid(body) { // an id goes back as it came
		failed = Errorf(ParseError, "parse error: the body is not valid UTF-8")
	}
	if failed != nil {
		text := written(failure(nil, failed))
		_ = to.whole(text, s.Limits.sendTime(len(text)))
		return
	}
	if method := s.guardedMethod(list); method != "" {
		if refused := to.allowed(method); refused != nil {
			to.refuse(refused, list)
			return
		}
	}
	free := func() {}
	if !batch {
		body = nil
		free = func() { c.decoded.Close(); c.body.Close() }
		ctx = limiter.Holding(ctx, c.decoded.Close)
	}
	s.answer(ctx, s.output(ctx, to, c), list, batch, free)
}

// httpAnswer answers over HTTP.
type httpAnswer struct {
	s *Server
	w http.ResponseWriter
	r *http.Request
}

func (a *httpAnswer) allowed(method string) *httpError {
	refused := a.s.checkAccess(a.r, method)
	narrow(a.w.Header(), a.r, refused != nil)
	return refused
}

func (a *httpAnswer) refuse(why *httpError, _ []request) { a.s.refuse(a.w, why) }

func (a *httpAnswer) whole(text []byte, within time.Duration) error {
	a.deadline(within)
	if len(text) == 0 { // notifications only
		a.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h := a.w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	_, err := a.w.Write(text)
	return err
}

func (a *httpAnswer) piece(text []byte, within time.Duration, _ bool) error {
	a.deadline(within)
	a.w.Header()["Content-Type"] = contentJSON
	_, err := a.w.Write(text)
	return err
}

func (a *httpAnswer) deadline(within time.Duration) {
	_ = http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(within)) // no connection in a test: no deadline
}

func (a *httpAnswer) broken() { panic(http.ErrAbortHandler) }

// client is the address that a request comes from, and the memory that it holds.
type client struct {
	holder        limiter.Holder
	caller        limiter.Caller
	body, decoded limiter.Share
}

func (s *Server) client(w http.ResponseWriter, r *http.Request) *client {
	c := &client{}
	c.holder.From = fromOf(r.Context())
	c.holder.Cut = func(why string) {
		s.cutOff.log(s.Log, "rpc: a client was cut off", "from", r.RemoteAddr, "why", why)
		now, control := time.Now(), http.NewResponseController(w)
		_, _ = control.SetReadDeadline(now), control.SetWriteDeadline(now)
	}
	return c
}

// errCutOff is the end of a client that did not take its answer while others waited for the memory.
var errCutOff = errors.New("the client was cut off")

// httpError is a body that is not looked at.
type httpError struct {
	status int
	err    *Error
}

// unavailable is the error of a request for which there is no memory, or no time.
func unavailable(err error) *httpError {
	e, ok := clientError(err)
	if !ok {
		e = specError(codeBusy, "busy: "+err.Error())
	}
	return &httpError{http.StatusServiceUnavailable, e}
}

func (s *Server) refuse(w http.ResponseWriter, r *httpError) {
	if r.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	s.reply(w, r.status, failure(nil, r.err))
}

// What a client may still send of a body that is refused: one that sends it all before it reads would find its connection
// reset, and never learn why.
const (
	lingerBytes = 64 << 20
	lingerTime  = 5 * time.Second
)

// refuseBody refuses a request whose body is not read to its end, and ends the connection.
func (s *Server) refuseBody(w http.ResponseWriter, r *http.Request, why *httpError) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // else the body is read before the answer is sent
	w.Header().Set("Connection", "close")
	s.refuse(w, why)
	if conn := connOf(r.Context()); conn != nil {
		conn.Answered()
	}
	if control.Flush() != nil || r.Header.Get("Expect") != "" { // such a client waits for the answer itself
		return
	}
	_ = control.SetReadDeadline(time.Now().Add(min(lingerTime, s.Limits.Receive)))
	_, _ = io.CopyN(io.Discard, r.Body, lingerBytes)
}

// framing refuses what proxies and servers may read in two ways: where a body ends must never be a question.
func framing(r *http.Request) *httpError {
	if conn := connOf(r.Context()); conn != nil && conn.heads.ambiguous() {
		return &httpError{http.StatusBadRequest, Errorf(InvalidRequest, "Content-Length and Transfer-Encoding in one request: send one of them")}
	}
	return nil
}

// coded refuses a body that is packed: nothing that a client packs is unpacked.
func coded(h http.Header) *httpError {
	for _, value := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return &httpError{http.StatusUnsupportedMediaType, Errorf(InvalidRequest, "content encoding %q: send the body as it is", clip(coding))}
			}
		}
	}
	return nil
}

// receive reads the body. What is over smallBody has its share of the memory for bodies from when it arrives, not from when
// it is announced: a client that announces much and sends nothing takes nothing away.
func (s *Server) receive(r *http.Request, c *client) (body []byte, refused *httpError) {
	if refused := coded(r.Header); refused != nil {
		return nil, refused
	}
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, Errorf(InvalidRequest, "request body is over %d bytes (limits.body_kib)", s.Limits.Body)}
	if r.ContentLength > int64(s.Limits.Body) {
		return nil, tooLarge
	}
	room := 4 << 10
	if n := int(r.ContentLength); n >= 0 && n < room {
		room = n + 1 // so that the end is seen without another array
	}
	body, err := s.gather(r.Context(), r.Body, room, c)
	var unread *unreadBody
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, errTooLarge):
		return nil, tooLarge
	case errors.As(err, &unread):
		return nil, s.notReceived(r, c, unread.error)
	}
	return nil, unavailable(err)
}

// errTooLarge is the end of a body over Limits.Body.
var errTooLarge = errors.New("the body is too large")

// unreadBody is an error of the connection that a body was read from.
type unreadBody struct{ error }

// gather reads a body to its end. Other errors are those of the memory that it needs.
func (s *Server) gather(ctx context.Context, from io.Reader, room int, c *client) (body []byte, err error) {
	body = make([]byte, 0, room)
	defer c.holder.Done()
	for next := 0; ; {
		if len(body) == cap(body) {
			size := min(2*cap(body), s.Limits.Body+1)
			if size > smallBody {
				// The old array and the new one are there together for a moment; that is within the margin.
				c.holder.Done()
				if err := c.body.Take(ctx, int64(size-cap(body))); err != nil {
					return nil, err
				}
			}
			body = append(make([]byte, 0, size), body...)
		}
		if len(body) >= next { // the client has to make progress with every piece
			c.holder.Begin()
			next = len(body) + piece
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > s.Limits.Body:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, &unreadBody{err}
		}
	}
}

func (s *Server) notReceived(r *http.Request, c *client, err error) *httpError {
	switch conn := connOf(r.Context()); {
	case c.holder.Gone():
		return &httpError{http.StatusServiceUnavailable, specError(codeBusy, "busy: the request body came too slowly while others waited (limits.bodies_mib): try again later")}
	case conn != nil && conn.Evicted():
		return &httpError{http.StatusServiceUnavailable, specError(codeBusy, noRoom)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &httpError{http.StatusRequestTimeout, Errorf(InvalidRequest, "request body: not received within %s (limits.receive_timeout)", s.Limits.Receive)}
	}
	return &httpError{http.StatusBadRequest, Errorf(InvalidRequest, "request body: %v", err)}
}

func encode(v any) ([]byte, error) {
	var j jsonWriter
	err := j.whole(v)
	return j.buf, err
}

// written encodes an answer, or says that it cannot.
func written(v any) []byte {
	body, err := encode(v)
	if err != nil {
		var id json.RawMessage
		if e, ok := v.(*envelope); ok {
			id = e.ID
		}
		body, _ = encode(failure(id, Errorf(InternalError, "internal error: encode the answer: %v", err)))
	}
	return body
}

// reply sends a small answer.
func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	body := written(v)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.Limits.sendTime(len(body)))) // no connection in a test: no deadline
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
