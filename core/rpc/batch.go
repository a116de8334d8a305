package rpc

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// maxParallelPerBody is how many requests of a body run at a time, and maxHelpers how many of all bodies beside the first of
// each: about as many as wait for validation together.
const (
	maxParallelPerBody = 128
	maxHelpers         = 512
)

// small is what the answer to a request may hold, beside its text, without a share of Limits.Answers: so what most clients ask
// for never waits for clients that do not read.
const small = 64 << 10

// fewAnswers is how many answers fit into a piece, unless they are large.
const fewAnswers = 32

// run is the work on one body.
type run struct {
	s     *Server
	ctx   context.Context
	list  []request
	batch bool
	out   *output
	free  func()       // gives back what the request holds
	any   bool         // something is answered
	size  atomic.Int64 // of the answers
}

// answer runs a batch in order: a deployment may be followed by the first call of the account. Only invokes of different
// senders that stand side by side run at the same time. Each answer is on its way before the next is made: a request costs its
// sender nothing, and a thousand large blocks the node gigabytes.
func (s *Server) answer(ctx context.Context, out *output, list []request, batch bool, free func()) {
	r := &run{s: s, ctx: ctx, list: list, batch: batch, out: out, free: free}
	defer out.share.Close()
	if len(list) > fewAnswers {
		if err := out.reserve(); err != nil {
			if !r.left() {
				out.abort(err)
			}
			return
		}
	}
	for at := 0; at < len(list) && !r.left(); {
		lanes, n := s.lanes(list[at:])
		if n < 2 {
			r.one(at)
			at++
			continue
		}
		r.sideBySide(at, lanes)
		at += n
	}
	if r.any && batch {
		out.json.raw([]byte{']'})
	}
	switch {
	case out.json.err != nil: // it is told when nothing is sent yet: an empty answer would pass for one
		out.abort(out.json.err)
	case !r.left():
		out.end()
	case out.began:
		out.abort(r.ctx.Err())
	}
}

// left reports that the client is gone, or does not read.
func (r *run) left() bool {
	return r.out.json.err != nil || errors.Is(r.ctx.Err(), context.Canceled)
}

// one answers the request at a place of the list.
func (r *run) one(at int) {
	q := &r.list[at]
	if why := r.notRun(); why != nil {
		if !q.silent() && !errors.Is(r.ctx.Err(), context.Canceled) {
			r.begin()
			r.out.failure(q.id, why)
		}
		return
	}
	id := q.id
	if !r.batch {
		id = bytes.Clone(id) // the rest of the body is not needed when the answer is there
	}
	silent := q.silent()
	result, held, failed := r.weighed(q)
	if why := r.await(r.list[at : at+1]); failed == nil && why != nil {
		failed = why[0]
	}
	if !r.batch {
		*q = request{id: id}
		r.free()
	}
	if silent {
		return
	}
	r.begin()
	before := r.out.total()
	if failed != nil {
		r.out.failure(id, failed)
	} else {
		r.out.result(id, result, held)
	}
	r.size.Add(int64(r.out.total() - before))
	r.out.share.Give(int64(held))
}

// total is the length of the answers so far.
func (o *output) total() int { return o.sent + len(o.json.buf) }

// weighed answers a request and takes a share of the memory for answers. When there is none, the answer is dropped and made
// again when there is memory for it, so that a request that waits holds none. Few large answers are made at a time, until they have
// their share.
func (r *run) weighed(q *request) (result any, held int, failed *Error) {
	m := r.s.methods[q.method]
	for {
		leave := func() {}
		if m.large {
			turn, err := r.s.makes.Enter(r.ctx)
			if err != nil {
				r.out.share.Give(int64(held))
				return nil, 0, internal(err)
			}
			leave = turn
		}
		result, failed = r.s.one(r.ctx, q)
		if failed != nil || held > 0 { // it may weigh otherwise by now, but hardly by much
			leave()
			if failed != nil {
				r.out.share.Give(int64(held))
				return nil, 0, failed
			}
			return result, held, nil
		}
		held = weight(result)
		free := held <= small || q.silent() || !m.repeatable // what sends or changes something has a small answer
		room := free || r.out.try(int64(held))
		leave()
		switch {
		case free:
			return result, 0, nil
		case room:
			return result, held, nil
		}
		result = nil
		if err := r.out.take(int64(held)); err != nil {
			return nil, 0, internal(err)
		}
	}
}

// internal is clientError for an error that has one in any case.
func internal(err error) *Error {
	if e, ok := clientError(err); ok {
		return e
	}
	return Errorf(InternalError, "internal error: %v", err)
}

// begin writes what stands in front of an answer.
func (r *run) begin() {
	if r.batch {
		separator := byte('[')
		if r.any {
			separator = ','
		}
		r.out.json.raw([]byte{separator})
	}
	r.any = true
}

// notRun is why a request is not run; nil when it is.
func (r *run) notRun() *Error {
	switch err := r.ctx.Err(); {
	case err != nil:
		return Errorf(InvalidRequest, "not run: the requests before it took %s (limits.request_timeout): send smaller batches", r.s.Limits.Work)
	case int(r.size.Load()) >= r.s.Limits.Answer:
		return Errorf(InvalidRequest, "not run: the answers before it are over %d bytes (limits.response_mib): send smaller batches", r.s.Limits.Answer)
	}
	return nil
}

// lanes sorts the n invokes at the front of a list by sender; each sender's stay in order.
func (s *Server) lanes(list []request) (lanes [][]int, n int) {
	if s.Extension != nil && s.Extension.OneByOne() { // the next may need what one did
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

// sideBySide runs the lanes of requests from first on, and then writes their answers in order: they are small. The goroutine of
// the body always works, so helpers may be few or none.
func (r *run) sideBySide(first int, lanes [][]int) {
	count := 0
	for _, lane := range lanes {
		count += len(lane)
	}
	answers := make([][]byte, count)
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(lanes)); i = next.Add(1) - 1 {
			for _, at := range lanes[i] {
				answers[at] = r.apart(&r.list[first+at])
			}
		}
	}
	var helpers sync.WaitGroup
help:
	for range min(len(lanes), maxParallelPerBody) - 1 {
		select {
		case r.s.helpers <- struct{}{}:
			helpers.Go(func() {
				defer func() { <-r.s.helpers }()
				work()
			})
		default:
			break help
		}
	}
	work()
	helpers.Wait()
	for at, failed := range r.await(r.list[first : first+count]) {
		if failed != nil && answers[at] != nil {
			answers[at] = written(failure(r.list[first+at].id, failed))
		}
	}
	for _, text := range answers {
		if text != nil && !r.left() {
			r.begin()
			r.out.json.raw(text)
		}
	}
}

// await lets the extension delay the answers about what requests have submitted, so that what comes after them, and the
// client, can read what the transactions did. It returns, by request, why a transaction is in no block; nil when all are, or may
// yet be.
func (r *run) await(list []request) (failed []*Error) {
	if r.s.Extension == nil {
		return nil
	}
	var hashes [][]byte
	var from []int // by hash: its request
	for i := range list {
		if list[i].submitted != nil {
			hashes, from = append(hashes, list[i].submitted), append(from, i)
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	var errs []error
	_, fault := r.s.guarded(r.ctx, addInvokeMethod, func() (any, error) {
		errs = r.s.Extension.Await(r.ctx, hashes...)
		return nil, nil
	})
	failed = make([]*Error, len(list))
	for i, at := range from {
		if failed[at] = fault; fault == nil {
			failed[at] = r.s.told(r.ctx, addInvokeMethod, errs[i])
		}
	}
	return failed
}

// apart answers a request that runs beside others and returns the text; nil when there is none.
func (r *run) apart(q *request) []byte {
	var result any
	failed := r.notRun()
	if failed == nil {
		result, failed = r.s.one(r.ctx, q)
	}
	if q.silent() || errors.Is(r.ctx.Err(), context.Canceled) {
		return nil
	}
	j := jsonWriter{buf: make([]byte, 0, 160)}
	o := output{json: j}
	if failed != nil {
		o.failure(q.id, failed)
	} else {
		o.result(q.id, result, 0)
	}
	r.size.Add(int64(len(o.json.buf)))
	return o.json.buf
}

// one runs a request.
func (s *Server) one(ctx context.Context, r *request) (result any, failed *Error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if b := r.invoke; b != nil {
		result, failed = s.guarded(ctx, r.method, func() (any, error) { return s.addInvoke(ctx, b) })
		if failed == nil {
			r.submitted = b.Transaction.Hash
		}
		r.invoke = nil // the pool has it, or it is gone
		return result, failed
	}
	return s.Call(ctx, r.method, r.params)
}

// appender is an answer that is given so often that it writes its own JSON.
type appender interface{ appendJSON([]byte) []byte }

var contentJSON = []string{"application/json"}
