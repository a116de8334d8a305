package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// MethodStats is what one method of a plugin's stage has served since it started.
type MethodStats struct {
	Method   string // "Score"
	Calls    uint64 // started; a stream is one call
	Errors   uint64 // ended with an error; not those that the caller gave up
	Late     uint64 // of these, those whose time was over
	InARow   uint64 // errors since the last answer
	Last     string // the newest error
	Open     int64  // running now
	Sent     uint64 // messages to the plugin
	Received uint64 // messages from the plugin
	// P50 and P99 of the time from a message to the plugin until the next one from it: for a unary call its duration.
	P50, P99 time.Duration
}

// meter counts the calls of one data connection.
type meter struct {
	exited  <-chan struct{}
	reason  func() string
	methods sync.Map // full method -> *counters
}

type counters struct {
	calls, errors, late, row, sent, received atomic.Uint64

	last  atomic.Pointer[string] // error
	open  atomic.Int64
	times histogram
}

// failed counts an error of the plugin's. What the caller gave up says nothing of it.
func (c *counters) failed(err error) {
	code := status.Code(err)
	if code == codes.Canceled {
		return
	}
	c.errors.Add(1)
	if !ofTheQuestion(code) {
		c.row.Add(1)
	}
	if code == codes.DeadlineExceeded {
		c.late.Add(1)
	}
	text := status.Convert(err).Message()
	c.last.Store(&text)
}

// ofTheQuestion: such an error says something of what was asked for, or of the room that there is, and not of the plugin.
func ofTheQuestion(code codes.Code) bool {
	switch code {
	case codes.ResourceExhausted, codes.OutOfRange, codes.NotFound, codes.InvalidArgument, codes.Unimplemented:
		return true
	}
	return false
}

func (c *counters) answered() {
	c.received.Add(1)
	c.row.Store(0)
}

func (m *meter) counters(method string) *counters {
	if c, ok := m.methods.Load(method); ok {
		return c.(*counters)
	}
	c, _ := m.methods.LoadOrStore(method, &counters{})
	return c.(*counters)
}

// snapshot returns the counters, sorted by method.
func (m *meter) snapshot() []MethodStats {
	var all []MethodStats
	m.methods.Range(func(key, value any) bool {
		name, c := key.(string), value.(*counters)
		q := c.times.quantiles(0.5, 0.99)
		var last string
		if text := c.last.Load(); text != nil {
			last = *text
		}
		all = append(all, MethodStats{
			Method:   name[strings.LastIndexByte(name, '/')+1:],
			Calls:    c.calls.Load(),
			Errors:   c.errors.Load(),
			Late:     c.late.Load(),
			InARow:   c.row.Load(),
			Last:     last,
			Open:     c.open.Load(),
			Sent:     c.sent.Load(),
			Received: c.received.Load(),
			P50:      q[0],
			P99:      q[1],
		})
		return true
	})
	sort.Slice(all, func(i, j int) bool { return all[i].Method < all[j].Method })
	return all
}

// failing tells whether a method has not answered rightly several times in a row: what it says, and whether it is late.
func (m *meter) failing() (why string, late, failing bool) {
	for _, s := range m.snapshot() {
		if s.InARow < failuresToTell {
			continue
		}
		return fmt.Sprintf("%s: the last %d calls failed: %s", s.Method, s.InARow, cut(s.Last, 200)), s.Late >= s.InARow, true
	}
	return "", false, false
}

// failuresToTell is how many calls of a method in a row make a plugin a failing one.
const failuresToTell = 3

// received counts the answers of all methods.
func (m *meter) received() (n uint64) {
	m.methods.Range(func(_, value any) bool {
		n += value.(*counters).received.Load()
		return true
	})
	return n
}

// explain tells a caller that the plugin is gone, instead of how the connection noticed.
func (m *meter) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	select {
	case <-m.exited:
		if code := status.Code(err); code == codes.Canceled || code == codes.Unavailable {
			return status.Error(codes.Unavailable, m.reason())
		}
	default:
	}
	return err
}

func (m *meter) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if strings.HasPrefix(method, "/"+ordov1.Plugin_ServiceDesc.ServiceName+"/") {
		return m.explain(invoke(ctx, method, req, reply, conn, opts...)) // ours, not the stage's
	}
	c := m.counters(method)
	c.calls.Add(1)
	c.sent.Add(1)
	c.open.Add(1)
	defer c.open.Add(-1)
	begin := time.Now()
	err := invoke(ctx, method, req, reply, conn, opts...)
	c.times.add(time.Since(begin))
	if err != nil {
		c.failed(err)
		return m.explain(err)
	}
	c.answered()
	return nil
}

func (m *meter) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c := m.counters(method)
	c.calls.Add(1)
	s, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		c.failed(err)
		return nil, m.explain(err)
	}
	c.open.Add(1)
	metered := &meteredStream{ClientStream: s, meter: m, c: c, single: !desc.ServerStreams}
	// A caller may leave a stream without reading its end: the context tells.
	context.AfterFunc(s.Context(), func() { metered.end(nil) })
	return metered, nil
}

// meteredStream counts messages, and the time from a message sent to the next one received.
type meteredStream struct {
	grpc.ClientStream
	meter  *meter
	c      *counters
	single bool         // the answer is one message, and ends the stream
	asked  atomic.Int64 // when the oldest unanswered message was sent, in ns; 0: none
	ended  atomic.Bool
}

func (s *meteredStream) SendMsg(msg any) error {
	s.asked.CompareAndSwap(0, time.Now().UnixNano())
	if err := s.ClientStream.SendMsg(msg); err != nil {
		return s.meter.explain(err)
	}
	s.c.sent.Add(1)
	return nil
}

func (s *meteredStream) RecvMsg(msg any) error {
	err := s.ClientStream.RecvMsg(msg)
	if err != nil {
		s.end(err)
		return s.meter.explain(err)
	}
	s.c.answered()
	if asked := s.asked.Swap(0); asked != 0 {
		s.c.times.add(time.Duration(time.Now().UnixNano() - asked))
	}
	if s.single {
		s.end(nil)
	}
	return nil
}

func (s *meteredStream) end(err error) {
	if s.ended.Swap(true) {
		return
	}
	s.c.open.Add(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		s.c.failed(err)
	}
}
