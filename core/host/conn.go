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

// dialSocket opens a connection that carries the stage's calls. It is separate from go-plugin's, so that a health check
// never waits behind a block.
func (p *Plugin) dialSocket(socket string) (*grpc.ClientConn, error) {
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
	return sdk.Dial(socket, append(p.interceptors(), grpc.WithContextDialer(dial))...)
}

// interceptors stand before every call of the stage: the size of an answer, the statistics, the time an answer may take.
func (p *Plugin) interceptors() []grpc.DialOption {
	c := &clock{limit: p.options.CallLimit, overdue: p.Condemn}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(boundUnary, p.meter.unary, c.unary),
		grpc.WithChainStreamInterceptor(boundStream, p.meter.stream, c.stream),
		grpc.WithMaxHeaderListSize(1 << 20),
	}
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
