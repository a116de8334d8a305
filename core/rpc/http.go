package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creachadair/jrpc2"
	"golang.org/x/sync/semaphore"

	"github.com/ordo-sequencer/ordo/core/rpc/gate"
)

// smallBody is what any request may hold in memory, without a share of Limits.Bodies.
const smallBody = 64 << 10

// Serve answers HTTP on the listener until the context ends, then lets running requests finish for a moment.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	l := s.Limits
	l.Connections = min(l.Connections, s.descriptors())
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Receive,
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // what clients do wrong is no news
	}
	listener = newDoorman(listener, l.Connections, l.PerAddress)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// descriptors is how many connections the process can have open beside all else.
func (s *Server) descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt
	}
	room := int(min(limit.Cur/4*3, math.MaxInt32))
	if room < s.Limits.Connections {
		s.Log.Warn("rpc: fewer connections than configured: the system allows few open files, see ulimit -n", "connections", room, "configured", s.Limits.Connections)
	}
	return room
}

// ServeHTTP answers `/`, `/rpc` (also with a version below it) and `/is_alive`.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || len(r.Header["Origin"]) > 0 { // programs send no Origin, and pay nothing for browsers
		cors(w.Header(), r)
	}
	switch path := r.URL.Path; {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case path == "/is_alive":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Alive!!!") // older clients compare the text
	case path != "/" && path != "/rpc" && path != "/rpc/v0_10":
		http.Error(w, "not found: post json-rpc to / or /rpc"+s.formerly(path), http.StatusNotFound)
	case r.Method == http.MethodPost:
		s.post(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.hello(w)
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

// narrow takes back what cors gave: the answer of a restricted method is for the page that asked alone.
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

// formerly names the method that answers what starknet-devnet once answered at a path: scripts that post there are still around.
func (s *Server) formerly(path string) string {
	words := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "_", "")
	for name := range s.methods {
		if strings.EqualFold(name, "devnet_"+words) || strings.EqualFold(name, "devnet_get"+words) {
			return ": the method is " + name
		}
	}
	return ""
}

func (s *Server) hello(w http.ResponseWriter) {
	s.reply(w, http.StatusOK, struct {
		Name    string `json:"name"`
		Spec    string `json:"starknet_json_rpc"`
		ChainID any    `json:"chain_id"`
		Usage   string `json:"usage"`
	}{"ordo", SpecVersion, s.ChainID, "post json-rpc 2.0 requests to this address"})
}

// envelope is one answer. Exactly one of Result and Error is set.
type envelope struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *jrpc2.Error    `json:"error,omitempty"`
}

var nullID = json.RawMessage("null")

func failure(id json.RawMessage, err *jrpc2.Error) *envelope {
	if len(id) == 0 {
		id = nullID
	}
	return &envelope{Version: jrpc2.Version, ID: id, Error: err}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, release, refused := s.receive(r)
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	defer release()
	defer atWork(r.Context())()
	ctx, cancel := context.WithTimeout(r.Context(), s.Limits.Work)
	defer cancel()
	// A read body is bytes; what it is decoded to takes many times that. Few large ones are decoded at a time.
	share := func() {}
	if size := int64(len(body)); size > smallBody {
		if refused := s.wait(ctx, s.large, size, "too many large requests run"); refused != nil {
			s.refuse(w, refused)
			return
		}
		share = sync.OnceFunc(func() { s.large.Release(size) })
		defer share()
	}
	list, batch, failed := requests(body, s.Limits.Batch)
	switch {
	case failed != nil:
		s.reply(w, http.StatusOK, failure(nil, failed))
		return
	case s.restricted(list):
		refused := s.checkAccess(r)
		narrow(w.Header(), r, refused != nil)
		if refused != nil {
			s.refuse(w, refused)
			return
		}
	}
	switch {
	case len(list) == 1:
		s.answer(gate.Holding(ctx, share), w, list, batch)
	default:
		s.answer(ctx, w, list, batch)
	}
}

// wait takes a share of memory.
func (s *Server) wait(ctx context.Context, of *semaphore.Weighted, size int64, what string) *refusal {
	waiting, cancel := context.WithTimeout(ctx, s.Limits.Turn)
	defer cancel()
	if of.Acquire(waiting, size) != nil {
		return &refusal{http.StatusServiceUnavailable, jrpc2.Errorf(codeBusy, "busy: %s: try again later", what)}
	}
	return nil
}

// refusal is a body that is not looked at.
type refusal struct {
	status int
	err    *jrpc2.Error
}

func (s *Server) refuse(w http.ResponseWriter, r *refusal) {
	if r.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	s.reply(w, r.status, failure(nil, r.err))
}

// receive reads the body. What is over smallBody has its share of the memory for bodies from when it arrives, not from when
// it is announced: who announces much and sends nothing takes nothing away. release gives the share back.
func (s *Server) receive(r *http.Request) (body []byte, release func(), refused *refusal) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, nil, &refusal{http.StatusUnsupportedMediaType,
			jrpc2.Errorf(jrpc2.InvalidRequest, "content encoding %q: send the body as it is", clip(coding))}
	}
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, jrpc2.Errorf(jrpc2.InvalidRequest, "request body is over %d bytes", s.Limits.Body)}
	if r.ContentLength > int64(s.Limits.Body) {
		return nil, nil, tooLarge
	}
	var held int64
	release = func() { s.bodyBytes.Release(held) }
	give := func(why *refusal) ([]byte, func(), *refusal) {
		release()
		return nil, nil, why
	}
	room := 4 << 10
	if n := int(r.ContentLength); n >= 0 && n < room {
		room = n + 1 // so that the end is seen without another array
	}
	body = make([]byte, 0, room)
	for {
		if len(body) == cap(body) {
			size := min(2*cap(body), s.Limits.Body+1)
			if share := int64(size - cap(body)); size > smallBody {
				// The old array and the new one are there together for a moment; that is within the margin.
				if refused := s.wait(r.Context(), s.bodyBytes, share, "too many large request bodies are on their way"); refused != nil {
					return give(refused)
				}
				held += share
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > s.Limits.Body:
			return give(tooLarge)
		case errors.Is(err, io.EOF):
			return body, release, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return give(&refusal{http.StatusRequestTimeout, jrpc2.Errorf(jrpc2.InvalidRequest, "request body: not received within %s", s.Limits.Receive)})
		case err != nil:
			return give(&refusal{http.StatusBadRequest, jrpc2.Errorf(jrpc2.InvalidRequest, "request body: %v", err)})
		}
	}
}

func encode(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buffer.Bytes(), "\n"), nil
}

// written encodes an answer, or says that it cannot.
func written(v any) []byte {
	body, err := encode(v)
	if err != nil {
		var id json.RawMessage
		if e, ok := v.(*envelope); ok {
			id = e.ID
		}
		body, _ = encode(failure(id, jrpc2.Errorf(jrpc2.InternalError, "internal error: encode the answer: %v", err)))
	}
	return body
}

func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	s.send(w, status, written(v))
}

// hasteTo ends the connection of a client that does not read its answer.
func (s *Server) hasteTo(w http.ResponseWriter, size int) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.Limits.sendTime(size))) // no connection in a test: no deadline
}
