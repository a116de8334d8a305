package sdk

import (
	"context"
	"strings"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// The gate stands before the calls of a stage: none before Configure, none after Drain, and Drain waits for those that
// run. Describe, health and whatever else the server offers pass freely.

func (r *Server) gateUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if !ofStage(info.FullMethod) {
		return next(ctx, req)
	}
	leave, err := r.enter(true)
	if err != nil {
		return nil, err
	}
	defer leave()
	return next(ctx, req)
}

func (r *Server) gateStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !ofStage(info.FullMethod) {
		return next(srv, stream)
	}
	// An upload (Commit) ends with an answer and is waited for. Other streams (Run, Build, Roots) live as long as the
	// host likes: they end with the connection.
	leave, err := r.enter(info.IsClientStream && !info.IsServerStream)
	if err != nil {
		return err
	}
	defer leave()
	return next(srv, stream)
}

func ofStage(method string) bool {
	return strings.HasPrefix(method, "/ordo.") && !strings.HasPrefix(method, "/"+ordov1.Plugin_ServiceDesc.ServiceName+"/")
}
