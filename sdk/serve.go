package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/ordo-sequencer/ordo/sdk/logqueue"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// orphanGrace is what a plugin gets to flush when no host drains it.
const orphanGrace = 5 * time.Second

// Serve is the whole main function of a plugin. It returns when the host stops the plugin.
func Serve(s *Service) {
	logqueue.SurviveBrokenPipes() // whatever reads stderr may end first: there is still something to drain
	if address := os.Getenv(EnvListen); address != "" {
		if err := s.serveAttached(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	h := Handshake()
	if os.Getenv(h.MagicCookieKey) != h.MagicCookieValue {
		fmt.Fprint(os.Stderr, s.introduction(os.Args[0]))
		os.Exit(1)
	}
	// go-plugin replaces os.Stderr by a stream that only some hosts read: the log keeps the one that is there now.
	log := hclog.New(&hclog.LoggerOptions{
		Name:       s.description.Name,
		Level:      hclog.LevelFromString(envOr("ORDO_PLUGIN_LOG", "debug")),
		Output:     os.Stderr,
		JSONFormat: true,
	})
	creds, err := serverCredentials(tlsFromEnv())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	running := s.Run(log)
	go endWhen(func(why string) {
		log.Warn("stopping without the host", "why", why)
		ctx, cancel := context.WithTimeout(context.Background(), orphanGrace)
		defer cancel()
		if err := running.drain(ctx); err != nil {
			log.Error("drain", "error", err)
			os.Exit(1)
		}
		os.Exit(0)
	})
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: h,
		Plugins:         plugin.PluginSet{"ordo": &adapter{server: running}},
		Logger:          log.Named("go-plugin"),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(append(opts, running.ServerOptions()...), creds)...)
		},
	})
	running.Close()
}

// introduction is the text for a person that starts a plugin by hand.
func (s *Service) introduction(program string) string {
	d := s.Describe()
	var b strings.Builder
	stage := StageName(d.GetStage())
	fmt.Fprintf(&b, "%s is the ordo %s plugin %q, version %s.\n", program, stage, d.GetName(), d.GetVersion())
	fmt.Fprintf(&b, "It is not run by hand: a node starts it. Try\n\n    ordo dev --%s %s\n", stage, program)
	fmt.Fprintf(&b, "\nTo run it apart, in a debugger say, give it a place to listen and attach a node to that:\n\n"+
		"    %s=unix:///tmp/%s.sock %s\n    ordo dev --%s-attach unix:///tmp/%s.sock\n", EnvListen, d.GetName(), program, stage, d.GetName())
	if len(d.GetCapabilities()) > 0 {
		fmt.Fprintf(&b, "\ncapabilities: %s\n", strings.Join(d.GetCapabilities(), ", "))
	}
	if d.GetConfigSchema() != "" {
		fmt.Fprintf(&b, "\nconfiguration (JSON Schema):\n%s\n", d.GetConfigSchema())
	}
	return b.String()
}

// StageName is the name of a stage as people write it: "ordering".
func StageName(stage ordov1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(stage.String(), "STAGE_"))
}

// adapter is go-plugin's view of a Running.
type adapter struct {
	plugin.NetRPCUnsupportedPlugin
	server *Server
}

func (a *adapter) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	a.server.Register(s)
	return nil
}

func (a *adapter) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("the sdk only serves: the host uses the generated clients")
}

// endWhen calls end once when the process has to stop although no host says so: a signal asks for it, or the host has
// ended, which shows by the end of our stdin or by another parent. Pdeathsig alone is not enough: it exists on Linux
// only, and a host may not set it. An interrupt is not a reason, go-plugin ignores it for us.
func endWhen(end func(why string)) {
	reason := make(chan string, 3)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		reason <- "terminated by a signal"
	}()
	// Only when the host promises to hold the other end: elsewhere stdin may be a terminal, a file or nothing.
	if os.Getenv("ORDO_PLUGIN_WATCH_STDIN") != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			reason <- "stdin ended: the host is gone"
		}()
	}
	parent := os.Getppid()
	go func() {
		for range time.Tick(time.Second) {
			if os.Getppid() != parent {
				reason <- "another parent: the host is gone"
				return
			}
		}
	}()
	end(<-reason)
}

func envOr(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}
