package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// orphanGrace is what a plugin gets to flush when its host has died.
const orphanGrace = 5 * time.Second

// Serve is the whole main function of a plugin. It returns when the host stops the plugin.
func Serve(s *Service) {
	h := Handshake()
	if os.Getenv(h.MagicCookieKey) != h.MagicCookieValue {
		fmt.Fprint(os.Stderr, s.introduction(os.Args[0]))
		os.Exit(1)
	}
	// go-plugin replaces os.Stderr by a stream that only some hosts read: the log keeps the one that is there now.
	log := hclog.New(&hclog.LoggerOptions{
		Name:       s.description.Name,
		Level:      hclog.LevelFromString(envOr("ORDO_LOG_LEVEL", "debug")),
		Output:     os.Stderr,
		JSONFormat: true,
	})
	running := s.Run(log)
	go watchHost(func(why string) {
		log.Warn("the host is gone, stopping", "why", why)
		ctx, cancel := context.WithTimeout(context.Background(), orphanGrace)
		defer cancel()
		if err := running.drain(ctx); err != nil {
			log.Error("drain after the host's end", "error", err)
			os.Exit(1)
		}
		os.Exit(0)
	})
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: h,
		Plugins:         plugin.PluginSet{"ordo": &adapter{running: running}},
		Logger:          log.Named("go-plugin"),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, running.ServerOptions()...)...)
		},
	})
	running.Close()
}

// introduction is what a person reads who starts a plugin by hand.
func (s *Service) introduction(program string) string {
	d := s.Describe()
	var b strings.Builder
	stage := stageName(d.GetStage())
	fmt.Fprintf(&b, "%s is the ordo %s plugin %q, version %s.\n", program, stage, d.GetName(), d.GetVersion())
	fmt.Fprintf(&b, "It is not run by hand: a node starts it. Try\n\n    ordo dev --%s %s\n", stage, program)
	if len(d.GetCapabilities()) > 0 {
		fmt.Fprintf(&b, "\ncapabilities: %s\n", strings.Join(d.GetCapabilities(), ", "))
	}
	if d.GetConfigSchema() != "" {
		fmt.Fprintf(&b, "\nconfiguration (JSON Schema):\n%s\n", d.GetConfigSchema())
	}
	return b.String()
}

func stageName(stage ordov1.Stage) string {
	return strings.ToLower(strings.TrimPrefix(stage.String(), "STAGE_"))
}

// adapter is go-plugin's view of a Running.
type adapter struct {
	plugin.NetRPCUnsupportedPlugin
	running *Running
}

func (a *adapter) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	a.running.Register(s)
	return nil
}

func (a *adapter) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("the sdk only serves: the host uses the generated clients")
}

// watchHost calls gone once when the process that started this one has died: its end of our stdin closes, or we get
// another parent. Pdeathsig alone is not enough, it exists on Linux only and a host may not set it.
func watchHost(gone func(why string)) {
	signal := make(chan string, 2)
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			signal <- "stdin closed"
		}()
	}
	parent := os.Getppid()
	go func() {
		for range time.Tick(time.Second) {
			if os.Getppid() != parent {
				signal <- "parent changed"
				return
			}
		}
	}()
	gone(<-signal)
}

func envOr(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}
