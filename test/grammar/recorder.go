package grammar

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Recorder taps a client connection and keeps the order of its calls, to be checked against a grammar. Give Unary and
// Stream to grpc.WithChainUnaryInterceptor and grpc.WithChainStreamInterceptor.
type Recorder struct {
	mu      sync.Mutex
	calls   map[string][]string
	streams map[string][]*[]string
}

// Calls returns the names of the methods called on a service ("ordo.v1.Storage"), in order.
func (r *Recorder) Calls(service string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls[service])
}

// Streams returns, for each stream of a method ("/ordo.v1.Execution/Build"), the steps that were sent on it.
func (r *Recorder) Streams(method string) [][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all [][]string
	for _, steps := range r.streams[method] {
		all = append(all, slices.Clone(*steps))
	}
	return all
}

func (r *Recorder) call(method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[string][]string{}
	}
	service := strings.TrimPrefix(path.Dir(method), "/")
	r.calls[service] = append(r.calls[service], path.Base(method))
}

// Unary is the interceptor for unary calls.
func (r *Recorder) Unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	r.call(method)
	return invoke(ctx, method, req, reply, cc, opts...)
}

// Stream is the interceptor for streams: the opening counts as a call, each message sent as a step of the stream.
func (r *Recorder) Stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	r.call(method)
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil || !desc.ClientStreams {
		return stream, err
	}
	steps := new([]string)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[string][]*[]string{}
	}
	r.streams[method] = append(r.streams[method], steps)
	return &tap{stream, r, steps}, nil
}

type tap struct {
	grpc.ClientStream
	recorder *Recorder
	steps    *[]string
}

func (t *tap) SendMsg(m any) error {
	t.recorder.mu.Lock()
	*t.steps = append(*t.steps, step(m))
	t.recorder.mu.Unlock()
	return t.ClientStream.SendMsg(m)
}

// step names a message by the branch of its first oneof, in the capitals that the grammar uses.
func step(m any) string {
	message, ok := m.(proto.Message)
	if !ok {
		return "?"
	}
	reflected := message.ProtoReflect()
	if oneofs := reflected.Descriptor().Oneofs(); oneofs.Len() > 0 {
		if field := reflected.WhichOneof(oneofs.Get(0)); field != nil {
			name := string(field.Name())
			return strings.ToUpper(name[:1]) + name[1:]
		}
	}
	return string(reflected.Descriptor().Name())
}
