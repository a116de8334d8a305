package host

import (
	"context"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bounds rejects answers that are too large, and names the plugin and the method.
type bounds struct{ name func() string }

func (b bounds) options(method string, opts []grpc.CallOption) []grpc.CallOption {
	return append([]grpc.CallOption{grpc.MaxCallRecvMsgSize(policyOf(method).reply)}, opts...)
}

// explain turns what gRPC says of an answer that cannot be taken into DATA_LOSS, which no stage's own errors mean: the
// plugin has broken the protocol, and asking again is no use.
func (b bounds) explain(method string, err error) error {
	switch {
	case grpcerr.ReceivedTooLarge(err):
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is larger than the %d MiB that the plugin protocol allows: %s", b.name(), methodName(method), policyOf(method).reply>>20, status.Convert(err).Message())
	case grpcerr.Malformed(err):
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is no message of the plugin protocol: the plugin is broken: %s", b.name(), methodName(method), status.Convert(err).Message())
	}
	return err
}

func (b bounds) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return b.explain(method, invoke(ctx, method, req, reply, conn, b.options(method, opts)...))
}

func (b bounds) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, conn, method, b.options(method, opts)...)
	if err != nil {
		return nil, err
	}
	return &boundedStream{ClientStream: s, bounds: b, method: method}, nil
}

type boundedStream struct {
	grpc.ClientStream
	bounds bounds
	method string
}

func (s *boundedStream) RecvMsg(m any) error {
	return s.bounds.explain(s.method, s.ClientStream.RecvMsg(m))
}
