package host

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// InProcess serves a plugin in this process, over real gRPC but without a socket, behind the same handle as Start. For
// tests, and for a debugger that is to see both sides. Spec.Path is not used.
func InProcess(ctx context.Context, options Options, spec Spec, service *sdk.Service) (*Plugin, error) {
	options = options.withDefaults()
	if spec.Generation == 0 {
		spec.Generation = 1
	}
	p := &Plugin{spec: spec, options: options, exited: make(chan struct{}), since: time.Now()}
	p.info.Store(service.Describe())
	p.log = options.Logger.Named(p.Name())
	if err := p.makeRunDir(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name(), err)
	}
	running := service.Run(p.log)
	server := grpc.NewServer(running.ServerOptions()...)
	checks := health.NewServer()
	checks.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, checks)
	running.Register(server)
	listener := bufconn.Listen(1 << 20)

	p.meter = &meter{exited: p.exited, reason: p.goneText}
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
	var err error
	if p.control, err = sdk.Dial("bufconn", dial); err != nil {
		return nil, err
	}
	if p.data, err = sdk.Dial("bufconn", append(p.interceptors(), dial)...); err != nil {
		return nil, err
	}
	p.stop = func() {
		server.Stop()
		running.Close()
	}
	go func() {
		_ = server.Serve(listener)
		p.ended("stopped")
	}()
	if err := p.introduce(ctx); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w", p.Name(), err)
	}
	return p, nil
}
