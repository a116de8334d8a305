package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// attach connects to a plugin that the operator runs. The connection is the instance: when it breaks the instance has ended, and
// another attach begins the next one. The process is neither drained nor killed.
func attach(ctx context.Context, options Options, spec Spec) (*Plugin, error) {
	network, address, config, err := spec.remote()
	if err != nil {
		return nil, err
	}
	p := &Plugin{spec: spec, options: options, exited: make(chan struct{}), since: time.Now()}
	p.info.Store(&ordov1.DescribeResponse{Name: spec.Attach})
	p.log = options.Logger.Named(sdk.StageName(spec.Stage))
	p.meter = &meter{exited: p.exited, reason: p.goneText}
	if err := p.makeRunDir(); err != nil {
		return nil, err
	}
	// A connection that breaks is not made again: what answers then may be another process.
	once := func() grpc.DialOption {
		var made atomic.Bool
		return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if made.Load() {
				return nil, errLost
			}
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, address)
			made.Store(err == nil)
			return conn, err
		})
	}
	security := []grpc.DialOption{grpc.WithIdleTimeout(0)}
	if config != nil {
		security = append(security, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithAuthority(config.ServerName))
	}
	if p.control, err = sdk.Dial(address, slices.Concat(security, []grpc.DialOption{once(), grpc.WithMaxHeaderListSize(1 << 20)})...); err == nil {
		p.data, err = sdk.Dial(address, slices.Concat(security, p.interceptors(), []grpc.DialOption{once()})...)
	}
	if err != nil {
		p.removeRunDir()
		return nil, err
	}
	var over atomic.Bool
	p.stop = func() {
		if !over.Swap(true) {
			p.ended("detached")
		}
	}
	if err := p.reach(ctx); err != nil {
		p.stop()
		return nil, err
	}
	p.data.Connect()
	go p.watchConnection()
	return p, nil
}

// remote is where the plugin is, and with which certificates it is talked to.
func (s Spec) remote() (network, address string, config *tls.Config, err error) {
	u, err := url.Parse(s.Attach)
	if err != nil {
		return "", "", nil, err
	}
	switch u.Scheme {
	case "unix":
		return "unix", u.Path, nil, nil
	case "tcp":
		if s.TLSFiles.CA == "" || s.TLSFiles.Cert == "" || s.TLSFiles.Key == "" {
			return "", "", nil, errors.New("over tcp both sides show certificates: name ca, cert and key")
		}
		if config, err = s.TLSFiles.Config(); err != nil {
			return "", "", nil, err
		}
		config.ServerName = u.Hostname()
		return "tcp", u.Host, config, nil
	}
	return "", "", nil, fmt.Errorf("%q: choose unix:///PATH or tcp://HOST:PORT", s.Attach)
}

// reach waits until the plugin answers its health check.
func (p *Plugin) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.StartTimeout)
	defer cancel()
	// The connection's own errors say what is wrong; waiting for it to be ready would hide them behind a deadline.
	var cause error
	for {
		_, err := grpc_health_v1.NewHealthClient(p.control).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		if err == nil {
			return nil
		}
		if strings.Contains(err.Error(), errLost.Error()) && cause != nil { // there was one, and it was of no use
			if p.spec.TLSFiles.CA != "" {
				return fmt.Errorf("%w: are the certificates of both sides of one authority?", cause)
			}
			return cause
		}
		if ctx.Err() == nil || cause == nil {
			cause = err
		}
		select {
		case <-time.After(100 * time.Millisecond):
			p.control.ResetConnectBackoff()
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: is it running there? %w", p.options.StartTimeout, cause)
		}
	}
}

var errLost = errors.New("the connection to it is lost")

// watchConnection ends the instance with its connection: what answers after that may be another process.
func (p *Plugin) watchConnection() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	for state := p.control.GetState(); ; state = p.control.GetState() {
		if state != connectivity.Ready {
			p.KillFor(errLost.Error())
			return
		}
		if !p.control.WaitForStateChange(ctx, state) {
			return
		}
	}
}
