package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"

	"github.com/ordo-sequencer/ordo/sdk"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// dialSocket opens a connection that carries the stage's calls. It is separate from go-plugin's, so that a health check
// never waits behind a block.
func (p *Plugin) dialSocket(socket string, secure *tls.Config) (*grpc.ClientConn, error) {
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
	options := append(p.interceptors(), grpc.WithContextDialer(dial))
	if secure != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	}
	return sdk.Dial(socket, options...)
}

// interceptors stand before every call of the stage: the size of an answer, the statistics, the time an answer may take.
func (p *Plugin) interceptors() []grpc.DialOption {
	c := &clock{limit: p.options.CallLimit, overdue: p.KillFor}
	b := bounds{name: p.Name}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(b.unary, p.meter.unary, c.unary),
		grpc.WithChainStreamInterceptor(b.stream, p.meter.stream, c.stream),
		grpc.WithMaxHeaderListSize(1 << 20),
		grpc.WithStatsHandler(sent{}),
	}
}

// samePeer refuses a socket that another user serves: the folder is private, but a plugin may have named any path.
func samePeer(conn *net.UnixConn) error {
	uid, err := sdk.PeerUser(conn)
	if err != nil {
		return fmt.Errorf("peer of the plugin's socket: %w", err)
	}
	if uid != os.Getuid() {
		return fmt.Errorf("the plugin's socket is served by user %d, not by user %d, which runs the node", uid, os.Getuid())
	}
	return nil
}
