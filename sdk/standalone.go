package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ordo-sequencer/ordo/sdk/logqueue"
)

// EnvListen makes Serve listen where it says (unix:///path, or tcp://host:port with TLS) instead of waiting for a host to
// start the process: for a debugger, a container, another machine. The node attaches to it and never ends it.
const EnvListen = "ORDO_PLUGIN_LISTEN"

// serveAttached serves until a signal ends the process.
func (s *Service) serveAttached(address string) error {
	// No host reads this stderr: a terminal that is held, or a collector that has stalled, must not hold up a stage.
	errs := logqueue.New(os.Stderr, logqueue.Options{})
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = errs.Flush(ctx)
	}()
	log := hclog.New(&hclog.LoggerOptions{Name: s.description.Name, Output: errs, Level: hclog.LevelFromString(envOr("ORDO_PLUGIN_LOG", "info"))})
	files := tlsFromEnv()
	listener, err := listenAt(address, files)
	if err != nil {
		return err
	}
	defer listener.Close()
	creds, err := serverCredentials(files)
	if err != nil {
		return err
	}
	running := s.Run(log)
	running.attached = true
	server := grpc.NewServer(append(running.ServerOptions(), creds)...)
	running.Register(server)
	checks := health.NewServer()
	checks.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, checks)
	stage := StageName(s.stage)
	fmt.Fprintf(errs, "%s %q is listening: ordo dev --%s-attach %s\n", stage, s.description.Name, stage, address)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(ended, syscall.SIGHUP)
	}
	go func() {
		<-ended
		ctx, cancel := context.WithTimeout(context.Background(), orphanGrace)
		defer cancel()
		if err := running.drain(ctx); err != nil {
			log.Error("drain", "error", err)
		}
		server.Stop()
	}()
	err = server.Serve(listener)
	running.Close()
	return err
}

func listenAt(address string, files TLSFiles) (net.Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvListen, err)
	}
	switch {
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
		listener, err := listenUnix(u.Path)
		if err == nil && os.Getenv(EnvPeerUser) != "" { // the user of a connection is checked at the accept
			err = os.Chmod(u.Path, 0o666)
		}
		return listener, err
	case u.Scheme == "tcp" && u.Host != "":
		if files.CA == "" || files.Cert == "" || files.Key == "" {
			return nil, errors.New("over tcp both sides show certificates: set " + EnvTLSCA + ", " + EnvTLSCert + " and " + EnvTLSKey)
		}
		return net.Listen("tcp", u.Host)
	}
	return nil, fmt.Errorf("%s=%q: choose unix:///absolute/path or tcp://host:port", EnvListen, address)
}
