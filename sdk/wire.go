package sdk

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The numbers of the wire, the same on both ends of every connection.
const (
	// ProtocolVersion is the major of the plugin protocol: go-plugin's app version.
	ProtocolVersion = 1
	// APIMinor is the highest minor of the plugin protocol that this SDK knows.
	APIMinor = 0

	// MaxMessage: a block has to fit into one message. Terraform's figure, for the same reason: gRPC's 4 MiB is too
	// small for a state diff, and no limit at all lets one broken length field take the memory of the process.
	MaxMessage = 256 << 20
	// MaxProofKeys is how many keys one Proofs call may name.
	MaxProofKeys = 1024

	// Both windows are set: with one alone, grpc-go drops the other to 64 KiB and turns its estimator off.
	streamWindow = 8 << 20
	connWindow   = 8 << 20
	ioBuffer     = 256 << 10
)

// Handshake is what host and plugin compare before they talk. The cookie is a courtesy to people who start a plugin by
// hand, not a secret.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   "ORDO_PLUGIN",
		MagicCookieValue: "ordo-sequencer-plugin-v1",
	}
}

// ServerOptions tunes a gRPC server for the plugin protocol.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WriteBufferSize(ioBuffer),
	}
}

// DialOptions tunes a gRPC connection for the plugin protocol.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A socket path is no valid :authority for h2 (Rust, Swift); this one is valid everywhere.
		grpc.WithAuthority("localhost"),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithReadBufferSize(ioBuffer),
		grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
	}
}

// Dial opens a tuned connection to the unix socket at path. It connects on first use and again after a loss.
func Dial(path string, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	dialer := func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	opts := append(DialOptions(), grpc.WithContextDialer(dialer))
	conn, err := grpc.NewClient("passthrough:///localhost", append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", path, err)
	}
	return conn, nil
}
