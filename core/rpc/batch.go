package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/creachadair/jrpc2"

	"github.com/ordo-sequencer/ordo/core/chain"
)

// abreast is how many requests of a body run at a time, and helping how many of all bodies beside the first of each: about
// as many as wait for validation together.
const (
	abreast = 128
	helping = 512
)

// run is the work on one body.
type run struct {
	s       *Server
	ctx     context.Context
	list    []request
	answers [][]byte     // nil: none yet, or none at all for a notification
	size    atomic.Int64 // of the answers
}

// answer runs a batch in order: a deployment may be followed by the first call of the account. Only invokes of different
// senders that stand side by side run at the same time. What the answers hold is bounded: a request costs its sender nothing,
// and a thousand large blocks the node gigabytes.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, list []request, batch bool) {
	r := &run{s: s, ctx: ctx, list: list, answers: make([][]byte, len(list))}
	for at := 0; at < len(list) && !r.left(); {
		lanes, n := s.lanes(list[at:])
		if n < 2 {
			n = 1
			r.one(at)
		} else {
			r.sideBySide(at, lanes)
		}
		r.settle(list[at:at+n], at)
		at += n
	}
	if !r.left() {
		r.write(w, batch)
	}
}

// left: the client is gone.
func (r *run) left() bool { return errors.Is(r.ctx.Err(), context.Canceled) }

func (r *run) one(at int) {
	request := &r.list[at]
	var raw []byte
	switch err, size := r.ctx.Err(), int(r.size.Load()); {
	case err == nil && size < r.s.Limits.Answer:
		raw = r.s.one(r.ctx, request)
	case len(request.id) == 0 || errors.Is(err, context.Canceled):
	case err == nil:
		raw = written(failure(request.id, jrpc2.Errorf(jrpc2.InvalidRequest, "not run: the answers before it are over %d bytes: send smaller batches", r.s.Limits.Answer)))
	default:
		raw = written(failure(request.id, jrpc2.Errorf(jrpc2.InvalidRequest, "not run: the requests before it took %s: send smaller batches", r.s.Limits.Work)))
	}
	r.answers[at] = raw
	r.size.Add(int64(len(raw)))
}

// lanes sorts the n invokes at the front of a list by sender; each sender's stay in order.
func (s *Server) lanes(list []request) (lanes [][]int, n int) {
	if s.instant() { // each waits for its block, and the next may need what it did
		if len(list) > 0 {
			s.readAhead(&list[0])
		}
		return nil, 0
	}
	var of map[Key]int
	for n = range list {
		if !s.readAhead(&list[n]) {
			return lanes, n
		}
		if of == nil {
			of = map[Key]int{}
		}
		sender := Key(list[n].invoke.Transaction.Sender)
		lane, known := of[sender]
		if !known {
			lane = len(lanes)
			of[sender] = lane
			lanes = append(lanes, nil)
		}
		lanes[lane] = append(lanes[lane], n)
	}
	return lanes, len(list)
}

// sideBySide runs the lanes of requests from first on. The goroutine of the body always works, so helpers may be few or none.
func (r *run) sideBySide(first int, lanes [][]int) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(lanes)); i = next.Add(1) - 1 {
			for _, at := range lanes[i] {
				r.one(first + at)
			}
		}
	}
	var helpers sync.WaitGroup
	for range min(len(lanes), abreast) - 1 {
		if !r.s.helpers.TryAcquire(1) {
			break
		}
		helpers.Go(func() {
			defer r.s.helpers.Release(1)
			work()
		})
	}
	work()
	helpers.Wait()
}

// joined is up to where answers are joined to be written at once.
const joined = 1 << 20

// settle waits for what requests have sent, so that what comes after them, and their client, can read what it did.
func (r *run) settle(list []request, first int) {
	waiting := r.s.settling()
	if waiting.enough == chain.Unknown {
		return
	}
	for i := range list {
		request := &list[i]
		if request.sent == nil {
			continue
		}
		_, failed := r.s.guarded(r.ctx, request.method, func() (any, error) { return nil, waiting.wait(r.ctx, request.sent) })
		if failed != nil && len(request.id) > 0 {
			r.answers[first+i] = written(failure(request.id, failed))
		}
	}
}

func (r *run) write(w http.ResponseWriter, batch bool) {
	if !batch {
		if r.answers[0] == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.s.send(w, http.StatusOK, r.answers[0])
		return
	}
	size, count := 0, 0
	for _, a := range r.answers {
		if a != nil {
			size, count = size+len(a)+1, count+1
		}
	}
	if count == 0 { // notifications only
		w.WriteHeader(http.StatusNoContent)
		return
	}
	size++ // n answers have n-1 commas and two brackets
	r.s.head(w, size)
	out := make([]byte, 0, min(size, joined))
	separator := byte('[')
	for _, a := range r.answers {
		if a == nil {
			continue
		}
		if out = append(out, separator); len(out)+len(a) >= joined {
			w.Write(out)
			w.Write(a)
			out = out[:0]
		} else {
			out = append(out, a...)
		}
		separator = ','
	}
	w.Write(append(out, ']'))
}

// one answers a request; nil for a notification.
func (s *Server) one(ctx context.Context, r *request) []byte {
	if r.failed != nil {
		return written(failure(r.id, r.failed))
	}
	var result any
	var failed *jrpc2.Error
	if b := r.invoke; b != nil {
		result, failed = s.guarded(ctx, r.method, func() (any, error) { return s.addInvoke(ctx, b) })
		if failed == nil {
			r.sent = b.Transaction.Hash
		}
		r.invoke = nil // the pool has it, or nobody
	} else {
		result, failed = s.Call(ctx, r.method, r.params)
	}
	switch {
	case len(r.id) == 0:
		return nil
	case failed != nil:
		return written(failure(r.id, failed))
	}
	return success(r.id, result)
}

// appender writes itself; for answers that are given often.
type appender interface{ appendJSON([]byte) []byte }

// success writes an answer with a result.
func success(id json.RawMessage, result any) []byte {
	out := append(make([]byte, 0, 160), `{"jsonrpc":"2.0","id":`...)
	out = append(append(out, id...), `,"result":`...)
	if a, ok := result.(appender); ok {
		return append(a.appendJSON(out), '}')
	}
	raw, err := encode(result)
	if err != nil {
		return written(failure(id, jrpc2.Errorf(jrpc2.InternalError, "internal error: encode the answer: %v", err)))
	}
	return append(append(out, raw...), '}')
}

// head begins an answer of so many bytes.
func (s *Server) head(w http.ResponseWriter, size int) {
	s.hasteTo(w, size)
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(size)}
}

var contentJSON = []string{"application/json"}

func (s *Server) send(w http.ResponseWriter, status int, body []byte) {
	s.head(w, len(body))
	w.WriteHeader(status)
	w.Write(body)
}
