package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// clock limits how long each call of a stage may wait for an answer. A plugin whose answer is overdue is wedged, although
// its health check may be answered still; overdue is told so, once or more.
type clock struct {
	limit   time.Duration // 0: none
	overdue func(why string)

	mu   sync.Mutex
	late map[string]lateness // of the methods that get a second chance
}

// lateness is a row of calls without an answer, be it the caller's deadline that passed or the host's.
type lateness struct {
	since time.Time // when the first of them began
	calls int
}

func (c *clock) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	p := policyOf(method)
	if c.limit == 0 || p.times == 0 {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	limit := c.limit * p.times
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	err := invoke(limited, method, req, reply, conn, opts...)
	// The plugin's gRPC knows the deadline and may say a moment before us that it is over; Rust's calls that CANCELLED.
	code := status.Code(err)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // the caller left
	}
	if code != codes.DeadlineExceeded && code != codes.Canceled {
		c.answered(method)
		return err
	}
	ours := ctx.Err() == nil && (limited.Err() != nil || time.Since(begin) > limit-limit/10)
	why := fmt.Sprintf("%s: no answer within %s", methodName(method), limit)
	if ours && !p.lenient || p.lenient && c.wedged(method, begin, limit) {
		go c.overdue(why + ": killed by the node")
	}
	if !ours {
		return err // of the caller's own deadline
	}
	return status.Error(codes.DeadlineExceeded, why)
}

func (c *clock) answered(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.late, method)
}

// wedged counts a late call and tells whether several in a row have had no answer for the whole limit.
func (c *clock) wedged(method string, begin time.Time, limit time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late == nil {
		c.late = map[string]lateness{}
	}
	l := c.late[method]
	if l.calls == 0 {
		l.since = begin
	}
	l.calls++
	c.late[method] = l
	return l.calls >= 2 && time.Since(l.since) >= limit
}

func (c *clock) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	p := policyOf(method)
	if c.limit == 0 || p.times == 0 {
		return open(ctx, desc, conn, method, opts...)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	timed := &timedStream{ClientStream: s, cancel: cancel, ctx: ctx, name: methodName(method), limit: c.limit * p.times, overdue: c.overdue,
		each: p.answersEach, follows: p.follows, download: desc.ServerStreams && !desc.ClientStreams}
	return timed, nil
}

// timedStream watches a stream while the plugin owes something: it has to take what is sent, to answer each message where
// the plugin protocol says so (Run), to go on while it is being read from (a download), and to end once our side has ended. What
// it may be silent about is not watched here: a build that waits for transactions, and Roots, which follow the head.
type timedStream struct {
	grpc.ClientStream
	ctx      context.Context
	cancel   context.CancelCauseFunc
	name     string
	limit    time.Duration
	overdue  func(string)
	each     bool // an answer to each message
	follows  bool
	download bool

	mu      sync.Mutex
	reading bool // a caller waits for a message
	owed    int  // answers
	closed  bool // our side
	timer   *time.Timer
}

// overdueError is why a stream was cancelled.
type overdueError struct{ why string }

func (e *overdueError) Error() string { return e.why }

func (s *timedStream) fire(what string) {
	why := fmt.Sprintf("%s: %s within %s", s.name, what, s.limit)
	s.cancel(&overdueError{why})
	go s.overdue(why + ": killed by the node")
}

// look starts or stops the timer, after something has changed; again starts it anew, after a message.
func (s *timedStream) look(again bool) {
	owes := s.reading && !s.follows && (s.download || s.closed || s.each && s.owed > 0)
	if s.timer != nil && (!owes || again) {
		s.timer.Stop()
		s.timer = nil
	}
	if owes && s.timer == nil {
		s.timer = time.AfterFunc(s.limit, func() { s.fire("no answer") })
	}
}

func (s *timedStream) SendMsg(m any) error {
	s.mu.Lock()
	s.owed++
	s.look(false)
	s.mu.Unlock()
	stuck := time.AfterFunc(s.limit, func() { s.fire("a message is not taken") })
	defer stuck.Stop()
	return s.explain(s.ClientStream.SendMsg(m))
}

func (s *timedStream) CloseSend() error {
	s.mu.Lock()
	s.closed = true
	s.look(true)
	s.mu.Unlock()
	return s.ClientStream.CloseSend()
}

func (s *timedStream) RecvMsg(m any) error {
	s.mu.Lock()
	s.reading = true
	s.look(false)
	s.mu.Unlock()
	err := s.ClientStream.RecvMsg(m)
	s.mu.Lock()
	s.reading = false
	unasked := err == nil && isUnasked(m)
	if err == nil && s.owed > 0 && !unasked {
		s.owed--
	}
	s.look(!unasked)
	s.mu.Unlock()
	return s.explain(err)
}

// isUnasked says whether a message answers none of ours: an engine of consensus acts by itself.
func isUnasked(m any) bool {
	actions, ok := m.(*ordov1.Actions)
	return ok && actions.Seq == 0
}

// explain tells a caller that the time is over, instead of that the stream was cancelled.
func (s *timedStream) explain(err error) error {
	if err == nil || s.ctx.Err() == nil || status.Code(err) != codes.Canceled {
		return err
	}
	if cause, ok := errors.AsType[*overdueError](context.Cause(s.ctx)); ok {
		return status.Error(codes.DeadlineExceeded, cause.why)
	}
	return err
}
