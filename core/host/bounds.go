package host

import (
	"context"
	"strings"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxReply is how large one message of a plugin may be. gRPC refuses a larger one by its announced length, before it takes
// any memory for it. What carries a block, a class or a trace gets the contract's limit; the rest is small by nature.
func maxReply(method string) int {
	switch method[strings.LastIndexByte(method, '/')+1:] {
	case "Describe", "Drain", "Apply", "Head", "Commit", "Roots", "Revert", "FindTransaction":
		return 1 << 20
	case "Configure":
		return 4 << 20
	case "Score", "Validate": // a number, or a verdict with a reason, for each of a batch
		return 16 << 20
	case "State", "Run", "Proofs":
		return 64 << 20
	}
	return sdk.MaxMessage // Build, View, Compile, Snapshot, Classes, Blocks
}

// bounds refuses answers that are too large, and says whose.
type bounds struct{ name func() string }

func (b bounds) options(method string, opts []grpc.CallOption) []grpc.CallOption {
	return append([]grpc.CallOption{grpc.MaxCallRecvMsgSize(maxReply(method))}, opts...)
}

// explain turns what gRPC says of an answer that cannot be taken into DATA_LOSS, which no stage's own errors mean: the
// plugin has broken the contract, and asking again is no use.
func (b bounds) explain(method string, err error) error {
	code := status.Code(err)
	if code != codes.ResourceExhausted && code != codes.Internal {
		return err
	}
	name, text := method[strings.LastIndexByte(method, '/')+1:], status.Convert(err).Message()
	switch {
	case code == codes.ResourceExhausted && strings.Contains(text, "received message larger than max"):
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is larger than the %d MiB that the contract allows: %s", b.name(), name, maxReply(method)>>20, text)
	case code == codes.Internal && strings.Contains(text, "failed to unmarshal the received message"):
		return status.Errorf(codes.DataLoss, "%s: %s: the answer is no message of the contract: the plugin is broken: %s", b.name(), name, text)
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

// ofStage tells the calls of a stage from Describe, Configure and Drain, which have deadlines of their own.
func ofStage(method string) bool {
	return !strings.HasPrefix(method, "/"+ordov1.Plugin_ServiceDesc.ServiceName+"/")
}
