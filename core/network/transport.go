package network

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	_ "google.golang.org/grpc/encoding/proto" // the codec that inbox uses

	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/core/network/wire"
)

// Windows of HTTP/2: what a peer may send before it is read. They bound what gRPC holds of a link.
const (
	streamWindow = 1 << 20
	connWindow   = 2 << 20
	ioBuffer     = 64 << 10
	overhead     = 64 << 10 // of a frame around what the limits count
	maxFrame     = 1<<20 + overhead
)

// dialTime is for TCP alone: after a partition that swallows packets the next attempt must not come late.
const dialTime = 2 * time.Second

// linkAuth is what the handshake of TLS has found: the key of the other side, and the connection, which a link closes.
type linkAuth struct {
	credentials.TLSInfo
	id     ID
	conn   net.Conn
	opened *opened
}

// opened is which streams of a connection have come: of each there is one, so that what a handshake costs is counted.
type opened struct{ control, bulk atomic.Bool }

// linkCredentials is TLS that remembers its connection.
type linkCredentials struct {
	credentials.TransportCredentials
	done func(conn net.Conn, id ID) (net.Conn, error) // of the side that listens; may refuse
}

func newCredentials(c *tls.Config, done func(net.Conn, ID) (net.Conn, error)) *linkCredentials {
	return &linkCredentials{credentials.NewTLS(c), done}
}

func (c *linkCredentials) Clone() credentials.TransportCredentials {
	return &linkCredentials{c.TransportCredentials.Clone(), c.done}
}

func (c *linkCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.finish(c.TransportCredentials.ServerHandshake(raw))
}

func (c *linkCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.finish(c.TransportCredentials.ClientHandshake(ctx, authority, raw))
}

func (c *linkCredentials) finish(conn net.Conn, info credentials.AuthInfo, err error) (net.Conn, credentials.AuthInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	secured, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, fmt.Errorf("no TLS but %T", info)
	}
	id, err := identity.Peer(secured.State)
	if err == nil && c.done != nil {
		conn, err = c.done(conn, id)
	}
	if err != nil {
		return nil, nil, err
	}
	return conn, linkAuth{secured, id, conn, new(opened)}, nil
}

// authOf is what the handshake has found of the connection of a stream.
func authOf(ctx context.Context) (linkAuth, bool) {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return linkAuth{}, false
	}
	auth, ok := p.AuthInfo.(linkAuth)
	return auth, ok
}

// inbox takes a frame, and keeps apart what gRPC mixes: a frame that does not decode is a fault of the peer, an error of the
// transport is not.
type inbox struct {
	frame   proto.Message
	bytes   int
	garbage error
}

// rawFrame is a frame that is encoded already: once for all links that it goes to.
type rawFrame []byte

func encode(m proto.Message) rawFrame {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("network: a message of our own cannot be encoded: %v", err))
	}
	return data
}

// frameCodec is gRPC's codec for messages, passes frames on that are encoded, and fills inboxes.
type frameCodec struct{ encoding.CodecV2 }

func newCodec() frameCodec { return frameCodec{encoding.GetCodecV2("proto")} }

func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(rawFrame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f)}, nil
	}
	return c.CodecV2.Marshal(v)
}

func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*inbox)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	in.bytes = data.Len()
	in.garbage = c.CodecV2.Unmarshal(data, in.frame)
	return nil
}

// stream is either side of a stream of gRPC.
type stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

func serverOptions(l Limits, c credentials.TransportCredentials) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(c), grpc.ForceServerCodecV2(newCodec()), grpc.ConnectionTimeout(l.Handshake), grpc.MaxConcurrentStreams(4), grpc.MaxHeaderListSize(8 << 10),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame), grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(ioBuffer), grpc.WriteBufferSize(ioBuffer),
	}
}

func dialOptions(l Limits, c credentials.TransportCredentials) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(c), grpc.WithAuthority("ordo"), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
		grpc.WithMaxHeaderListSize(8 << 10),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow), grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: min(dialTime, l.Handshake)}
			return d.DialContext(ctx, "tcp", address) // and through no proxy of the environment
		}),
	}
}

// service is what the side that listens serves: wire's service without its message types, because frames are read into inboxes.
func service(control, bulk func(stream) error) *grpc.ServiceDesc {
	handle := func(name string, f func(stream) error) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return f(s) }}
	}
	return &grpc.ServiceDesc{ServiceName: wire.Mesh_ServiceDesc.ServiceName, Metadata: wire.Mesh_ServiceDesc.Metadata,
		Streams: []grpc.StreamDesc{handle("Control", control), handle("Bulk", bulk)}}
}
