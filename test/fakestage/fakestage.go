// Package fakestage has stages that tests serve in their own process, with real gRPC between.
package fakestage

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Dial serves what register registers, and connects to it, until the test ends.
func Dial(t testing.TB, register func(*grpc.Server), options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, server := Serve(t, register, options...)
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
	})
	return conn
}

// Serve is Dial for a test that ends connection and server itself, as the end of a process does.
func Serve(t testing.TB, register func(*grpc.Server), options ...grpc.DialOption) (*grpc.ClientConn, *grpc.Server) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	register(server)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:memory", append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return conn, server
}
