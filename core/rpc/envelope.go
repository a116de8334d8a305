package rpc

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
)

// request is one request of a body.
type request struct {
	id        json.RawMessage // empty: a notification
	method    string
	params    json.RawMessage
	failed    *Error             // what is wrong with the envelope
	invoke    *gateway.Broadcast // the parameter of addInvokeTransaction, when it could be read ahead
	submitted []byte             // hash of what was sent with it, while its answer waits for that
}

// silent reports that the request is a notification, which gets no answer.
func (r *request) silent() bool { return len(r.id) == 0 && r.failed == nil }

// requests takes a body apart.
func requests(body []byte, most int) (list []request, batch bool, failed *Error) {
	if list, batch := fastRequests(body, most); list != nil {
		return list, batch, nil
	}
	return carefulRequests(body, most)
}

// carefulRequests reads all that JSON-RPC allows, and tells what is wrong.
func carefulRequests(body []byte, most int) (list []request, batch bool, failed *Error) {
	if !json.Valid(body) {
		return nil, false, Errorf(ParseError, "parse error: the body is not valid json")
	}
	if n := elements(body); n > most {
		return nil, false, Errorf(InvalidRequest, "a batch of %d requests, at most %d are allowed", n, most)
	}
	var texts []json.RawMessage
	if batch = bytes.TrimSpace(body)[0] == '['; !batch {
		texts = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &texts); err != nil {
		return nil, false, Errorf(ParseError, "parse error: %v", err)
	}
	if len(texts) == 0 {
		return nil, false, Errorf(InvalidRequest, "empty batch")
	}
	list = make([]request, len(texts))
	for i, text := range texts {
		list[i] = carefulRequest(text)
	}
	return list, batch, nil
}

// carefulRequest reads one request of valid JSON. An id that can be used stays with a request that cannot.
func carefulRequest(text json.RawMessage) (r request) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields == nil {
		return request{failed: Errorf(InvalidRequest, "request is not a JSON object")}
	}
	fail := func(format string, args ...any) {
		if r.failed == nil {
			r.failed = Errorf(InvalidRequest, format, args...)
		}
	}
	null := json.RawMessage("null")
	if id := fields["id"]; len(id) > 0 && !bytes.Equal(id, null) {
		if first := id[0]; first == '"' || first == '-' || first-'0' <= 9 {
			r.id = id
		} else {
			fail("invalid request ID")
		}
	}
	var version string
	if json.Unmarshal(fields["jsonrpc"], &version) != nil || version != jsonrpcVersion {
		fail("invalid version marker")
	}
	if params := fields["params"]; len(params) > 0 && !bytes.Equal(params, null) {
		if r.params = params; params[0] != '[' && params[0] != '{' {
			fail("parameters must be array or object")
		}
	}
	if method, ok := fields["method"]; ok && json.Unmarshal(method, &r.method) != nil {
		fail("invalid method name")
	} else if r.method == "" {
		fail("method is missing")
	}
	var extra []string
	for name := range fields {
		if !slices.Contains([]string{"jsonrpc", "id", "method", "params"}, name) {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 && r.failed == nil {
		slices.Sort(extra)
		r.failed = withData(Errorf(InvalidRequest, "extra fields in request"), extra)
	}
	return r
}

// fastRequests reads, in one pass, what programs write; nil for anything else.
func fastRequests(body []byte, most int) (list []request, batch bool) {
	q := jsonin.NewFast(body)
	if batch = q.Peek() == '['; batch {
		for range q.Items {
			if len(list) == most {
				q.GiveUp()
			} else {
				list = append(list, fastRequest(&q))
			}
		}
	} else {
		list = []request{fastRequest(&q)}
	}
	if !q.Ended() {
		return nil, false
	}
	return list, batch
}

func fastRequest(q *jsonin.Fast) (r request) {
	const version, id, method, params = 1, 2, 4, 8
	seen := 0
	for name := range q.Fields {
		field := 0
		switch string(name) {
		case "jsonrpc":
			field = version
			if string(q.Text()) != jsonrpcVersion {
				q.GiveUp()
			}
		case "id":
			field = id
			switch first := q.Peek(); {
			case first == '"' || first == '-' || first-'0' <= 9:
				r.id = q.Value()
			case string(q.Value()) != "null":
				q.GiveUp()
			}
		case "method":
			field = method
			r.method = string(q.Text())
		case "params":
			field = params
			switch q.Peek() {
			case '[', '{':
				r.params = q.Value()
			default:
				if string(q.Value()) != "null" {
					q.GiveUp()
				}
			}
		}
		if field == 0 || seen&field != 0 {
			q.GiveUp()
		}
		seen |= field
	}
	if seen&(version|method) != version|method || r.method == "" {
		q.GiveUp()
	}
	return r
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
