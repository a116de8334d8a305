package host

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/sdk"
)

// bounds rejects answers that are too large, and names the plugin and the method. It tells them from requests that the plugin rejects
// for their size, of which gRPC says the same.
type bounds struct{ name func() string }

// options puts the limit of the method last: the options of the connection, which come first, have one for all methods.
func (b bounds) options(method string, opts []grpc.CallOption) []grpc.CallOption {
	return append(slices.Clip(opts), grpc.MaxCallRecvMsgSize(policyOf(method).reply))
}

// explain turns what gRPC says of an answer that cannot be taken into DATA_LOSS, which no stage's own errors mean: the
// plugin has broken the protocol, and asking again is no use. request is that of the call, nil on a stream.
func (b bounds) explain(method string, request any, err error) error {
	size, limit, tooLarge := grpcerr.ReceivedTooLarge(err)
	switch {
	case tooLarge && b.ofRequest(method, request, size, limit):
		return status.Errorf(codes.ResourceExhausted, "%s: %s: the plugin does not take a request of this size: let its gRPC server receive messages of up to %d MiB, as the plugin protocol says: %s",
			b.name(), methodName(method), sdk.MaxMessage>>20, status.Convert(err).Message())
	case tooLarge:
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is larger than the %d MiB that the plugin protocol allows: %s", b.name(), methodName(method), policyOf(method).reply>>20, status.Convert(err).Message())
	case grpcerr.Malformed(err):
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is no message of the plugin protocol: the plugin is broken: %s", b.name(), methodName(method), status.Convert(err).Message())
	}
	return err
}

// ofRequest tells whether it was the plugin that received the message: its limit is another one than that of answers here, or the size
// is that of the request.
func (b bounds) ofRequest(method string, request any, size, limit int) bool {
	if limit != 0 && limit != policyOf(method).reply {
		return true
	}
	m, ok := request.(proto.Message)
	return ok && size != 0 && proto.Size(m) == size
}

func (b bounds) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return b.explain(method, req, invoke(ctx, method, req, reply, conn, b.options(method, opts)...))
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
	return s.bounds.explain(s.method, nil, s.ClientStream.RecvMsg(m))
}
