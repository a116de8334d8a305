package host

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/ordo-sequencer/ordo/sdk"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// dialData opens the connection that carries the stage's calls. It is separate from go-plugin's, so that a health check
// never waits behind a block.
func dialData(socket string, m *meter) (*grpc.ClientConn, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		if err := samePeer(conn.(*net.UnixConn)); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	return sdk.Dial(socket, grpc.WithContextDialer(dial),
		grpc.WithChainUnaryInterceptor(m.unary), grpc.WithChainStreamInterceptor(m.stream))
}

// samePeer refuses a socket that another user serves: the folder is private, but a plugin may have named any path.
func samePeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("peer of the plugin's socket: %w", credErr)
	}
	if int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("the plugin's socket is served by user %d, not by user %d who runs the node", cred.Uid, os.Getuid())
	}
	return nil
}
