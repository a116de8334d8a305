package rpc

import (
	"bytes"
	"encoding/json"

	"github.com/creachadair/jrpc2"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
)

// request is one of a body.
type request struct {
	id        json.RawMessage // empty: a notification
	method    string
	params    json.RawMessage
	failed    *jrpc2.Error       // what is wrong with the envelope
	invoke    *gateway.Broadcast // the parameter of addInvokeTransaction, when it could be read ahead
	submitted []byte             // hash of what was sent with it, while its answer waits for that
}

// silent: it is a notification, and gets no answer.
func (r *request) silent() bool { return len(r.id) == 0 && r.failed == nil }

// requests takes a body apart.
func requests(body []byte, most int) (list []request, batch bool, failed *jrpc2.Error) {
	if list, batch := fastRequests(body, most); list != nil {
		return list, batch, nil
	}
	return carefulRequests(body, most)
}

// carefulRequests reads all that JSON-RPC allows, and tells what is wrong.
func carefulRequests(body []byte, most int) (list []request, batch bool, failed *jrpc2.Error) {
	if !json.Valid(body) {
		return nil, false, jrpc2.Errorf(jrpc2.ParseError, "parse error: the body is not valid json")
	}
	if n := elements(body); n > most {
		return nil, false, jrpc2.Errorf(jrpc2.InvalidRequest, "a batch of %d requests, at most %d are allowed", n, most)
	}
	parsed, err := jrpc2.ParseRequests(body)
	switch {
	case err != nil:
		return nil, false, jrpc2.Errorf(jrpc2.ParseError, "parse error: the body is not valid json")
	case len(parsed) == 0:
		return nil, false, jrpc2.Errorf(jrpc2.InvalidRequest, "empty batch")
	}
	list = make([]request, len(parsed))
	for i, p := range parsed {
		r := request{id: json.RawMessage(p.ID), method: p.Method, params: bytes.TrimSpace(p.Params), failed: p.Error}
		switch {
		case r.failed != nil && r.failed.Code == jrpc2.ParseError: // the body is valid json, so this is no error of parsing
			r.failed = jrpc2.Errorf(jrpc2.InvalidRequest, "%s", r.failed.Message)
		case r.failed == nil && r.method == "":
			r.failed = jrpc2.Errorf(jrpc2.InvalidRequest, "method is missing")
		}
		list[i] = r
	}
	return list, parsed[0].Batch, nil
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
			if string(q.Text()) != jrpc2.Version {
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
