// Command plugin is a proxy before an honest plugin: it starts a real plugin of any stage, passes every call on, and injects the fault
// that the file beside it (its own path and ".fault") describes. For tests.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Fault is what to do wrong.
type Fault struct {
	Real   string // path of the honest plugin
	Method string // whose answers are changed: "Score"
	After  int    // answers of the method that stay honest
	Do     string // "hang", "die", "error", "garbage", "empty", "twice", "large", or the name of a mutation
	Once   bool   // the first time only, over all instances of the plugin

	// Marker is a file that gets a line each time the fault is injected: a test looks there whether it was.
	Marker string

	// Built are mutations of the proposals that the core gives to consensus, one after the other: see falseProposals.
	Built []string

	// Crash has bytes for methods: a request of the method with them ends the process, a moment after it came.
	Crash map[string][]byte
}

// moment is how long a request that ends the process runs.
const moment = 50 * time.Millisecond

func main() {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	raw, err := os.ReadFile(self + ".fault")
	if err != nil {
		fail(err)
	}
	p := &proxy{}
	if err := json.Unmarshal(raw, &p.fault); err != nil {
		fail(err)
	}
	if os.Getenv(sdk.Handshake().MagicCookieKey) == "" {
		fail(errors.New("this plugin is for tests"))
	}
	if err := p.start(); err != nil {
		fail(err)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: sdk.Handshake(),
		Plugins:         plugin.PluginSet{"ordo": nothing{}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer:      p.server,
	})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "byzantine:", err)
	os.Exit(1)
}

type proxy struct {
	fault Fault
	real  *grpc.ClientConn
	read  *grpc.ClientConn // its socket for reads, once it is configured
	done  atomic.Int64     // answers of the method
	// chainID is that of the configuration.
	chainID felt.Felt
	mutex   sync.Mutex
}

// start runs the honest plugin, as go-plugin does it.
func (p *proxy) start() error {
	dir, err := os.MkdirTemp(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "r")
	if err != nil {
		return err
	}
	cmd := exec.Command(p.fault.Real)
	cmd.Env = append(os.Environ(), "PLUGIN_UNIX_SOCKET_DIR="+dir)
	client := plugin.NewClient(&plugin.ClientConfig{HandshakeConfig: sdk.Handshake(), Plugins: plugin.PluginSet{"ordo": nothing{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Cmd: cmd, Logger: hclog.NewNullLogger(), Stderr: os.Stderr, SkipHostEnv: true})
	address, err := client.Start()
	if err != nil {
		return err
	}
	p.real, err = sdk.Dial(address.String())
	return err
}

func (p *proxy) server(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(append(opts, sdk.ServerOptions()...), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		return p.pass(p.real, s)
	}), grpc.ForceServerCodecV2(rawCodec{}))...)
}

// pass forwards one call in both directions.
func (p *proxy) pass(to *grpc.ClientConn, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	name := method[strings.LastIndexByte(method, '/')+1:]
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	out, err := to.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	go func() {
		for {
			var m frame
			if err := in.RecvMsg(&m); err != nil {
				_ = out.CloseSend()
				return
			}
			if name == "Configure" {
				m = p.configure(m)
			}
			if name == "Run" && len(p.fault.Built) > 0 {
				m = p.propose(m)
			}
			if mark := p.fault.Crash[name]; len(mark) > 0 && bytes.Contains(m, mark) {
				time.Sleep(moment)
				p.mark()
				os.Exit(3)
			}
			if out.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m frame
		if err := out.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if name == "Configure" {
			if err := p.connectRead(); err != nil {
				return err
			}
		}
		again, err := p.change(ctx, name, &m)
		if err != nil {
			return err
		}
		for range again {
			if err := in.SendMsg(&m); err != nil {
				return err
			}
		}
	}
}

var readSocket string

// configure puts us between storage and its readers.
func (p *proxy) configure(m frame) frame {
	var req ordov1.ConfigureRequest
	if proto.Unmarshal(m, &req) != nil {
		return m
	}
	if len(p.fault.Built) > 0 {
		p.learn(&req)
	}
	if req.Listen["read"] == "" {
		return m
	}
	readSocket = req.Listen["read"]
	req.Listen["read"] = filepath.Join(filepath.Dir(readSocket), "honest")
	changed, _ := proto.Marshal(&req)
	return changed
}

func (p *proxy) connectRead() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if readSocket == "" || p.read != nil {
		return nil
	}
	var err error
	if p.read, err = sdk.Dial(filepath.Join(filepath.Dir(readSocket), "honest")); err != nil {
		return err
	}
	_ = os.Remove(readSocket)
	listener, err := net.Listen("unix", readSocket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(append(sdk.ServerOptions(), grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		return p.pass(p.read, s)
	}))...)
	go func() { _ = server.Serve(listener) }()
	return nil
}

// change injects the fault into an answer, when it is its turn: how often to send it, or the error that takes its place.
func (p *proxy) change(ctx context.Context, method string, m *frame) (times int, err error) {
	if method != p.fault.Method {
		return 1, nil
	}
	if p.done.Add(1) <= int64(p.fault.After) {
		return 1, nil
	}
	changed, mutated := *m, mutations[p.fault.Do]
	if mutated != nil {
		var applied bool
		if changed, applied = mutated(*m); !applied { // nothing in this answer can be changed so: the next one
			p.done.Add(-1)
			return 1, nil
		}
	}
	if !p.mark() {
		return 1, nil
	}
	switch p.fault.Do {
	case "hang":
		time.Sleep(time.Hour) // and not: until the caller leaves
	case "die":
		os.Exit(3)
	case "error":
		return 0, status.Error(codes.Internal, "an injected fault: something broke")
	case "garbage":
		*m = frame(strings.Repeat("\xff", 64))
	case "empty":
		*m = nil
	case "twice":
		return 2, nil
	case "silent":
		return 0, nil
	case "large":
		*m = make(frame, 65<<20)
	default:
		if mutated == nil {
			fail(fmt.Errorf("no such mutation: %s", p.fault.Do))
		}
		*m = changed
	}
	return 1, nil
}

// mark writes into the marker that the fault is injected; false: it is not to be, because it was.
func (p *proxy) mark() bool {
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if p.fault.Once {
		flags |= os.O_EXCL
	}
	marker, err := os.OpenFile(p.fault.Marker, flags, 0o600)
	if err != nil {
		if !p.fault.Once || !errors.Is(err, os.ErrExist) {
			fail(err)
		}
		return false
	}
	defer marker.Close()
	if _, err := fmt.Fprintln(marker, p.fault.Method, p.fault.Do); err != nil {
		fail(err)
	}
	return true
}

// frame is a message as its bytes.
type frame []byte

type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(*f)}, nil
	}
	b, err := proto.Marshal(v.(proto.Message)) // health, and go-plugin's own
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		*f = data.Materialize()
		return nil
	}
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

type nothing struct{ plugin.NetRPCUnsupportedPlugin }

func (nothing) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }
func (nothing) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("only serves")
}
