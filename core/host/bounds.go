package host

import (
	"context"
	"strings"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
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
	case "State", "Run":
		return 64 << 20
	}
	return sdk.MaxMessage // Build, View, Compile, Snapshot, Classes, Blocks
}

func bounded(method string, opts []grpc.CallOption) []grpc.CallOption {
	return append([]grpc.CallOption{grpc.MaxCallRecvMsgSize(maxReply(method))}, opts...)
}

func boundUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, conn, bounded(method, opts)...)
}

func boundStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(ctx, desc, conn, method, bounded(method, opts)...)
}

// ofStage tells the calls of a stage from Describe, Configure and Drain, which have deadlines of their own.
func ofStage(method string) bool {
	return !strings.HasPrefix(method, "/"+ordov1.Plugin_ServiceDesc.ServiceName+"/")
}
