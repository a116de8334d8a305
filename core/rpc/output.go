package rpc

import (
	"context"
	"net/http"
	"time"

	"github.com/ordo-sequencer/ordo/core/internal/limiter"
)

// answerer carries what one body is answered with to the client. A client has so long to take a text as the call says.
type answerer interface {
	// allowed is why the client may not call a guarded method; nil when it may.
	allowed(method string) *httpError
	// refuse answers the requests of a body that is not run; the list is empty when it was not taken apart.
	refuse(why *httpError, list []request)
	// whole sends an answer, nothing when it is empty.
	whole(text []byte, within time.Duration) error
	// piece sends a part of an answer.
	piece(text []byte, within time.Duration, last bool) error
	// broken ends the connection, so that no client takes what it has for the whole.
	broken()
}

// output sends what one body is answered with. An answer up to a piece is held and sent whole, with its length; a larger one
// goes piece by piece, and while a piece is on its way nothing more is made.
type output struct {
	s      *Server
	to     answerer
	client *client
	share  limiter.Share // of the memory for answers
	ctx    context.Context

	json  jsonWriter
	began bool          // a piece is sent
	piece bool          // the share has room for a piece
	sent  int           // bytes
	spent time.Duration // waiting for the client to take them
}

func (s *Server) output(ctx context.Context, to answerer, c *client) *output {
	o := &output{s: s, to: to, client: c, ctx: ctx, share: s.answers.Share(&c.holder)}
	o.json.buf, o.json.spill, o.json.version = make([]byte, 0, 256), o.spill, versionOf(ctx)
	return o
}

// reserve takes the room for the pieces. Before the work, so that nothing is done whose answer has no room.
func (o *output) reserve() error {
	if o.piece {
		return nil
	}
	return o.take(0)
}

// take waits for room for what an answer holds, together with that for the pieces that it is sent in: one that held the first
// and waited for the second would keep both from all others, and wait for them.
func (o *output) take(held int64) error {
	if err := o.share.Take(o.ctx, held+o.missing()); err != nil {
		return err
	}
	o.piece = true
	return nil
}

// try is take when there is room at once.
func (o *output) try(held int64) bool {
	room := o.share.Try(held + o.missing())
	o.piece = o.piece || room
	return room
}

func (o *output) missing() int64 {
	if o.piece {
		return 0
	}
	return piece
}

// spill sends a piece of a large answer.
func (o *output) spill(text []byte) error {
	if !o.began {
		if err := o.reserve(); err != nil {
			return err
		}
		o.began = true
	}
	return o.write(len(text), func(within time.Duration) error { return o.to.piece(text, within, false) })
}

// write waits until the client has taken a text, but not longer than its rate allows.
func (o *output) write(size int, send func(within time.Duration) error) error {
	allowed := o.s.Limits.sendTime(o.sent+size) - o.spent
	if o.client.holder.Gone() {
		return errCutOff
	}
	began := time.Now()
	o.client.holder.Begin()
	err := send(max(allowed, time.Millisecond))
	o.client.holder.Done()
	o.spent += time.Since(began)
	o.sent += size
	return err
}

// end sends what is left; an answer that was not begun is sent whole, and one without any text is an empty one.
func (o *output) end() {
	text := o.json.buf
	switch {
	case o.json.err != nil:
		o.abort(o.json.err)
	case o.began:
		if o.write(len(text), func(within time.Duration) error { return o.to.piece(text, within, true) }) != nil {
			o.to.broken()
		}
	default:
		_ = o.write(len(text), func(within time.Duration) error { return o.to.whole(text, within) })
	}
}

// abort ends an answer that cannot be sent to its end. When nothing is sent yet the client is told why; else the connection
// ends, so that no client takes what it has for the whole.
func (o *output) abort(why error) {
	if busy, ok := clientError(why); ok && !o.began {
		o.to.refuse(&httpError{http.StatusServiceUnavailable, busy}, nil)
		return
	}
	o.to.broken()
}

// result writes the answer to one request. What it holds beside the text is counted until it is written.
func (o *output) result(id []byte, result any, held int) {
	j := &o.json
	at := len(j.buf)
	j.raw([]byte(`{"jsonrpc":"2.0","id":`))
	j.raw(id)
	j.raw([]byte(`,"result":`))
	begun := o.sent
	var err error
	if a, ok := result.(appender); ok {
		j.buf = a.appendJSON(j.buf)
	} else {
		err = j.value(result, held > small)
	}
	switch {
	case j.err != nil:
	case err == nil:
		j.raw([]byte{'}'})
	case begun == o.sent && at <= len(j.buf): // nothing of it is sent
		j.buf = j.buf[:at]
		o.failure(id, Errorf(InternalError, "internal error: encode the answer: %v", err))
	default:
		j.err = err
	}
}

func (o *output) failure(id []byte, e *Error) { o.json.raw(written(failure(id, e))) }
