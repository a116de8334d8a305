package openrpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Transport compares every JSON-RPC answer that passes through it with a table, for clients that need not know of it. Bodies are held
// whole. Everything but POST passes unseen.
type Transport struct {
	*Checker
	Base  http.RoundTripper // nil: http.DefaultTransport
	Wrong func(error)       // told of each answer that does not fit
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if r.Method != http.MethodPost || r.Body == nil {
		return base.RoundTrip(r)
	}
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close() // read to its end
	forward := r.Clone(r.Context())
	forward.Body, forward.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	forward.Header.Del("Accept-Encoding") // what is packed cannot be read here
	response, err := base.RoundTrip(forward)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(got))
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		t.Compare(sent, got)
	}
	return response, nil
}

// Compare looks at the answers of a body to those requests whose ids and methods can be read: a damaged request is answered by JSON-RPC's own errors.
func (t *Transport) Compare(sent, got []byte) {
	methods := make(map[string]string)
	for _, raw := range each(sent) {
		var request struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(raw, &request) == nil && len(request.ID) > 0 {
			methods[string(request.ID)] = request.Method
		}
	}
	for _, raw := range each(got) {
		var answer struct{ ID, Result, Error json.RawMessage }
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Wrong(fmt.Errorf("an answer is not JSON: %w: %.200s", err, raw))
			continue
		}
		method, ok := methods[string(answer.ID)]
		if !ok {
			continue
		}
		if (answer.Result == nil) == (answer.Error == nil) {
			t.Wrong(fmt.Errorf("%s: an answer has one of result and error: %.200s", method, raw))
			continue
		}
		if err := t.Answer(method, answer.Result, answer.Error); err != nil {
			t.Wrong(fmt.Errorf("%w: asked by %.400s", err, sent))
		}
	}
}

// each are the requests or answers of a body.
func each(body []byte) (list []json.RawMessage) {
	if json.Unmarshal(body, &list) == nil {
		return list
	}
	return []json.RawMessage{body}
}
