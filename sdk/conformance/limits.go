package conformance

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a plugin may take for an answer here. A node is stricter with scores (half a second), because a test runs on machines
// that are busy with something else; a plugin that needs these times is of no use in one.
const (
	scoreLimit     = 10 * time.Second
	callLimit      = 20 * time.Second
	configureLimit = 60 * time.Second // it may open a database or warm up
)

// hangs is how many calls may hang before the other tests of a subject are given up: each would take the whole time.
const hangs = 2

func limitOf(method string) time.Duration {
	switch method[strings.LastIndexByte(method, '/')+1:] {
	case "Score":
		return scoreLimit
	case "Configure":
		return configureLimit
	}
	return callLimit
}

// answers bounds the time of every answer of a subject, over all of its processes.
type answers struct {
	mu   sync.Mutex
	late []string // the calls that hung

	limit func(method string) time.Duration // nil: limitOf
}

func (a *answers) limitOf(method string) time.Duration {
	if a.limit != nil {
		return a.limit(method)
	}
	return limitOf(method)
}

// giveUp ends a test when the plugin hangs.
func (a *answers) giveUp(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.late) >= hangs {
		t.Fatalf("not tried: the plugin hangs: %s", strings.Join(a.late, "; "))
	}
}

func (a *answers) hung(method string) error {
	limit := a.limitOf(method)
	err := status.Errorf(codes.DeadlineExceeded, "%s: no answer within %s", method[strings.LastIndexByte(method, '/')+1:], limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = append(a.late, status.Convert(err).Message())
	return err
}

// options make a connection whose calls are bounded.
func (a *answers) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(a.unary), grpc.WithChainStreamInterceptor(a.stream)}
}

func (a *answers) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	limited, cancel := context.WithTimeout(ctx, a.limitOf(method))
	defer cancel()
	err := invoke(limited, method, req, reply, conn, opts...)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return a.hung(method)
	}
	return err
}

func (a *answers) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return &boundedStream{s, ctx, cancel, a, method}, nil
}

// boundedStream gives each message of a plugin its time.
type boundedStream struct {
	grpc.ClientStream
	ctx     context.Context
	cancel  context.CancelCauseFunc
	answers *answers
	method  string
}

var errHung = errors.New("no answer in time")

func (s *boundedStream) RecvMsg(m any) error {
	timer := time.AfterFunc(s.answers.limitOf(s.method), func() { s.cancel(errHung) })
	err := s.ClientStream.RecvMsg(m)
	timer.Stop()
	if err != nil && errors.Is(context.Cause(s.ctx), errHung) {
		return s.answers.hung(s.method)
	}
	return err
}
