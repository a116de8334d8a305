package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Server is one instance of a Service: configured once, drained once. Serve makes one for the process; a test makes its own
// with Service.Run and may register it on any server.
type Server struct {
	ordov1.UnimplementedPluginServer
	service  *Service
	log      hclog.Logger
	attached bool // a host may come, go and come again

	mu      sync.Mutex
	phase   phase
	servers []*grpc.Server // of the extra sockets
	calls   sync.WaitGroup // calls of the stage that Drain waits for
	drained chan struct{}  // closed when the one drain is over
	failure error          // of the drain

	// Of an attached plugin: what it was configured with.
	settled *ordov1.ConfigureRequest
	warned  []*ordov1.Diagnostic
}

type phase int

const (
	described phase = iota
	configuring
	serving
	draining
)

// Run starts an instance of the service. Nothing happens before the host's calls.
func (s *Service) Run(log hclog.Logger) *Server {
	if s.logs != nil {
		s.logs(log)
	}
	return &Server{service: s, log: log, drained: make(chan struct{})}
}

// Register adds the plugin's services to a server that was made with the options of ServerOptions.
func (r *Server) Register(to grpc.ServiceRegistrar) {
	ordov1.RegisterPluginServer(to, r)
	r.service.register(to)
}

// ServerOptions are what a server of this instance needs: the wire's numbers, and the gate that counts calls of the stage.
func (r *Server) ServerOptions() []grpc.ServerOption {
	return append(ServerOptions(), grpc.ChainUnaryInterceptor(r.gateUnary), grpc.ChainStreamInterceptor(r.gateStream))
}

// Describe implements the plugin protocol.
func (r *Server) Describe(context.Context, *ordov1.DescribeRequest) (*ordov1.DescribeResponse, error) {
	return r.service.Describe(), nil
}

// Configure implements the plugin protocol: check against the schema, hand over to the part, open the sockets.
func (r *Server) Configure(ctx context.Context, req *ordov1.ConfigureRequest) (*ordov1.ConfigureResponse, error) {
	r.mu.Lock()
	if r.phase == serving && r.attached {
		defer r.mu.Unlock()
		return r.configureAgain(req)
	}
	if r.phase != described {
		r.mu.Unlock()
		return nil, status.Error(codes.FailedPrecondition, "configure: the plugin is configured already")
	}
	r.phase = configuring
	r.mu.Unlock()

	setup, err := r.setup(req)
	if err == nil {
		err = r.configureImpl(ctx, setup)
	}
	if err == nil {
		err = r.openSockets(req.GetListen())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.phase = described // a host may ask again with a better configuration
		return &ordov1.ConfigureResponse{Diagnostics: append(setup.warnings, diagnostics(err)...)}, nil
	}
	if r.phase == configuring { // not if Drain came meanwhile
		r.phase = serving
	}
	r.settled, r.warned = req, setup.warnings
	return &ordov1.ConfigureResponse{Diagnostics: setup.warnings}, nil
}

// configureAgain is for a host that comes back to an attached plugin: a part is configured once, so the settings must be
// the same. Only the sockets may lie elsewhere. Under mu.
func (r *Server) configureAgain(req *ordov1.ConfigureRequest) (*ordov1.ConfigureResponse, error) {
	same := proto.CloneOf(req)
	same.Generation, same.RunDir, same.Listen = r.settled.GetGeneration(), r.settled.GetRunDir(), r.settled.GetListen()
	if !proto.Equal(same, r.settled) {
		return &ordov1.ConfigureResponse{Diagnostics: diagnostics(&Problem{
			Summary: "the plugin is configured already, with other settings, another chain or another folder",
			Detail:  "start the plugin again",
		})}, nil
	}
	servers := r.servers
	r.servers = nil
	r.mu.Unlock()
	for _, s := range servers {
		s.Stop()
	}
	err := r.openSockets(req.GetListen())
	r.mu.Lock()
	if err != nil {
		return &ordov1.ConfigureResponse{Diagnostics: diagnostics(err)}, nil
	}
	return &ordov1.ConfigureResponse{Diagnostics: r.warned}, nil
}

func (r *Server) setup(req *ordov1.ConfigureRequest) (*Setup, error) {
	setup := &Setup{
		Chain:      req.GetChain(),
		RunDir:     req.GetRunDir(),
		DataDir:    req.GetDataDir(),
		Generation: req.GetGeneration(),
		Logger:     r.log,
		peers:      req.GetPeers(),
	}
	if setup.Chain == nil {
		setup.Chain = &ordov1.Chain{}
	}
	whole, found := r.service.rules.Complete(req.GetConfig())
	setup.Config = whole
	var problems []error
	for _, p := range found {
		problems = append(problems, &Problem{Summary: p.Summary, Detail: p.Detail, Path: p.Path})
	}
	return setup, errors.Join(problems...)
}

func (r *Server) configureImpl(ctx context.Context, setup *Setup) error {
	if c, ok := r.service.impl.(Configurer); ok {
		return c.Configure(ctx, setup)
	}
	return nil
}

// openSockets serves every socket that the host asked for before Configure answers.
func (r *Server) openSockets(listen map[string]string) error {
	for role, path := range listen {
		register, ok := r.service.sockets[role]
		if !ok {
			return &Problem{
				Summary: fmt.Sprintf("no socket of role %q is served by %s", role, r.service.description.Name),
				Detail:  "plugin and host disagree about the plugin protocol; check their versions",
			}
		}
		listener, err := listenUnix(path)
		if err != nil {
			return &Problem{Summary: fmt.Sprintf("socket of role %q: %v", role, err)}
		}
		creds, err := serverCredentials(TLSFiles{}) // also of a plugin with TLS: other stages read here, in any language
		if err != nil {
			return err
		}
		server := grpc.NewServer(append(r.ServerOptions(), creds)...)
		register(server)
		r.mu.Lock()
		r.servers = append(r.servers, server)
		r.mu.Unlock()
		go func() {
			if err := server.Serve(listener); err != nil {
				r.log.Error("socket ended", "role", role, "error", err)
			}
		}()
	}
	return nil
}

// listenUnix replaces what a killed process left at the path.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s exists and is not a socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// Drain implements the plugin protocol. A second call waits for the first.
func (r *Server) Drain(ctx context.Context, req *ordov1.DrainRequest) (*ordov1.DrainResponse, error) {
	if ms := req.GetDeadlineMs(); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	if err := r.drain(ctx); err != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "drain: %v", err)
	}
	return &ordov1.DrainResponse{}, nil
}

func (r *Server) drain(ctx context.Context) error {
	r.mu.Lock()
	first, configured := r.phase != draining, r.phase != described
	r.phase = draining
	r.mu.Unlock()
	if first {
		go func() {
			defer close(r.drained)
			r.calls.Wait()
			if d, ok := r.service.impl.(Drainer); ok && configured {
				r.failure = d.Drain(ctx)
			}
		}()
	}
	select {
	case <-r.drained:
		return r.failure
	case <-ctx.Done():
		return fmt.Errorf("work is left at the deadline: %w", ctx.Err())
	}
}

// Close stops the extra sockets. The process's end does the same.
func (r *Server) Close() {
	r.mu.Lock()
	servers := r.servers
	r.servers = nil
	r.mu.Unlock()
	for _, s := range servers {
		s.Stop()
	}
}

// enter lets a call of the stage pass, or says why not.
func (r *Server) enter(counted bool) (func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.phase {
	case described, configuring:
		return nil, status.Error(codes.FailedPrecondition, "the plugin is not configured yet: call Configure first")
	case draining:
		return nil, status.Error(codes.FailedPrecondition, "the plugin is draining: no new work is taken")
	}
	if !counted {
		return func() {}, nil
	}
	r.calls.Add(1)
	return r.calls.Done, nil
}
