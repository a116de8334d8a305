package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/creachadair/jrpc2"
)

const (
	maxBody  = 5 << 20 // a declared class has at most 4 MB
	maxBatch = 1000    // requests in one body

	smallBody = 64 << 10
	largeSum  = 16 << 20 // of the larger bodies that are worked on at the same time

	// maxAnswer ends a batch: what was answered by then is sent, the rest is not run.
	maxAnswer = 64 << 20
)

// Serve answers HTTP on the listener until the context ends, then lets running requests finish for a moment.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      150 * time.Second, // a declaration compiles
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
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

// ServeHTTP answers `/`, `/rpc` (also with a version below it) and `/is_alive`.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cors(w.Header())
	switch path := r.URL.Path; {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case path == "/is_alive":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Alive!!!") // older clients compare the text
	case path != "/" && path != "/rpc" && path != "/rpc/v0_10":
		http.Error(w, "not found: post json-rpc to / or /rpc", http.StatusNotFound)
	case r.Method == http.MethodPost:
		s.post(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.hello(w)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		http.Error(w, "method not allowed: post json-rpc", http.StatusMethodNotAllowed)
	}
}

// cors lets wallets in browsers call from any page; there are no cookies and no keys to steal.
func cors(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Max-Age", "86400")
}

func (s *Server) hello(w http.ResponseWriter) {
	reply(w, http.StatusOK, struct {
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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			reply(w, http.StatusRequestEntityTooLarge, failure(nil, jrpc2.Errorf(jrpc2.InvalidRequest, "request body is over %d bytes", maxBody)))
			return
		}
		reply(w, http.StatusBadRequest, failure(nil, jrpc2.Errorf(jrpc2.InvalidRequest, "request body: %v", err)))
		return
	}
	// A read body is bytes; what it is decoded to takes many times that. Few large ones are decoded at a time.
	if len(body) > smallBody {
		if s.large.Acquire(r.Context(), int64(len(body))) != nil {
			return // the client left
		}
		defer s.large.Release(int64(len(body)))
	}
	if !json.Valid(body) {
		reply(w, http.StatusOK, failure(nil, jrpc2.Errorf(jrpc2.ParseError, "parse error: the body is not valid json")))
		return
	}
	if n := elements(body); n > maxBatch {
		reply(w, http.StatusOK, failure(nil, jrpc2.Errorf(jrpc2.InvalidRequest, "a batch of %d requests, at most %d are allowed", n, maxBatch)))
		return
	}
	requests, err := jrpc2.ParseRequests(body)
	switch {
	case err != nil:
		reply(w, http.StatusOK, failure(nil, jrpc2.Errorf(jrpc2.ParseError, "parse error: the body is not valid json")))
	case len(requests) == 0:
		reply(w, http.StatusOK, failure(nil, jrpc2.Errorf(jrpc2.InvalidRequest, "empty batch")))
	default:
		s.answer(w, r.Context(), requests)
	}
}

// elements counts what a list holds, one too many for an empty one, without decoding it; 1 for what is no list.
func elements(valid []byte) int {
	if valid = bytes.TrimSpace(valid); valid[0] != '[' {
		return 1
	}
	count, depth := 1, 0
	for i := 0; i < len(valid); i++ {
		switch valid[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 1 {
				count++
			}
		case '"':
			for i++; valid[i] != '"'; i++ {
				if valid[i] == '\\' {
					i++
				}
			}
		}
	}
	return count
}

// answer runs a batch in order: a deployment may be followed by the first call of the account. What the
// answers hold is bounded: a request costs its sender nothing, and a thousand large blocks the node gigabytes.
func (s *Server) answer(w http.ResponseWriter, ctx context.Context, requests []*jrpc2.ParsedRequest) {
	var answers [][]byte
	size := 0
	for _, request := range requests {
		if ctx.Err() != nil {
			return // the client left
		}
		var a *envelope
		switch id := json.RawMessage(request.ID); {
		case size < maxAnswer:
			a = s.one(ctx, request)
		case len(id) > 0:
			a = failure(id, jrpc2.Errorf(jrpc2.InvalidRequest, "not run: the answers before it are over %d bytes: send smaller batches", maxAnswer))
		}
		if a != nil {
			raw := written(a)
			answers, size = append(answers, raw), size+len(raw)
		}
	}
	if len(answers) == 0 { // notifications only
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !requests[0].Batch {
		w.Write(answers[0])
		return
	}
	before := "["
	for _, raw := range answers {
		io.WriteString(w, before)
		w.Write(raw)
		before = ","
	}
	io.WriteString(w, "]")
}

// one answers a request; nil for a notification.
func (s *Server) one(ctx context.Context, request *jrpc2.ParsedRequest) *envelope {
	id := json.RawMessage(request.ID)
	if request.Error != nil {
		e := request.Error
		if e.Code == jrpc2.ParseError { // the body is valid json, so this is no error of parsing
			e = jrpc2.Errorf(jrpc2.InvalidRequest, "%s", e.Message)
		}
		return failure(id, e)
	}
	if request.Method == "" {
		return failure(id, jrpc2.Errorf(jrpc2.InvalidRequest, "method is missing"))
	}
	result, failed := s.Call(ctx, request.Method, bytes.TrimSpace(request.Params))
	switch {
	case len(id) == 0:
		return nil
	case failed != nil:
		return failure(id, failed)
	}
	return &envelope{Version: jrpc2.Version, ID: id, Result: present{result}}
}

// present keeps `"result":false` and empty results from being left out.
type present struct{ value any }

// MarshalJSON implements json.Marshaler.
func (p present) MarshalJSON() ([]byte, error) { return encode(p.value) }

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

func reply(w http.ResponseWriter, status int, v any) {
	body := written(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
