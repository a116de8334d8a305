package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxSocketPath is what a unix socket address holds, less the name that the plugin chooses.
const maxSocketPath = 107

// Start launches a plugin, or attaches to one, checks what it is, and configures it. When it returns an error, nothing is left running.
func Start(ctx context.Context, options Options, spec Spec) (*Plugin, error) {
	options = options.withDefaults()
	if spec.Generation == 0 {
		spec.Generation = 1
	}
	if err := spec.utf8Paths(options.RunDir); err != nil {
		return nil, fmt.Errorf("%s plugin: %w", sdk.StageName(spec.Stage), err)
	}
	where, begin := spec.Attach, func() (*Plugin, error) { return attach(ctx, options, spec) }
	if where == "" {
		path, err := spec.executable()
		if err != nil {
			return nil, fmt.Errorf("%s plugin: %w", sdk.StageName(spec.Stage), err)
		}
		where, begin = path, func() (*Plugin, error) { return launch(ctx, options, spec, path) }
	}
	p, err := begin()
	if err == nil {
		if err = p.introduce(ctx); err != nil {
			p.Kill()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s plugin %s: %w", sdk.StageName(spec.Stage), where, err)
	}
	return p, nil
}

// launch starts the process and shakes hands.
func launch(ctx context.Context, options Options, spec Spec, path string) (*Plugin, error) {
	if err := verifyChecksums(spec.Checksums); err != nil {
		return nil, err
	}
	p := &Plugin{spec: spec, options: options, exited: make(chan struct{}), since: time.Now()}
	p.info.Store(&ordov1.DescribeResponse{Name: filepath.Base(path)})
	p.log = options.Logger.Named(sdk.StageName(spec.Stage))
	if err := p.makeRunDir(); err != nil {
		return nil, err
	}
	fail := func(err error) (*Plugin, error) {
		p.removeRunDir()
		return nil, err
	}

	cmd := exec.Command(path, spec.Args...)
	cmd.Env = spec.environment(options.PassEnv)
	if spec.TLS {
		files, config, err := certificates(p.sockets)
		if err != nil {
			return fail(fmt.Errorf("certificates: %w", err))
		}
		p.tls = config
		cmd.Env = append(cmd.Env, sdk.EnvTLSCA+"="+files.CA, sdk.EnvTLSCert+"="+files.Cert, sdk.EnvTLSKey+"="+files.Key)
	}
	guard := options.guard
	if guard == nil {
		var err error
		if guard, err = newReaper(); err != nil {
			p.log.Warn("children of a plugin may outlive a killed node", "error", err)
		}
		defer func() {
			if p.process.pid == 0 { // never started: nothing else closes it
				guard.close()
			}
		}()
		p.own = guard
	}
	p.process = newProcess(cmd, spec.Stage, p.log, guard)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  sdk.Handshake(),
		Plugins:          plugin.PluginSet{"ordo": nothing{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		SkipHostEnv:      true,
		TLSConfig:        p.tls,
		StartTimeout:     options.StartTimeout,
		Logger:           hclog.NewNullLogger(), // it would repeat what is logged here
		SyncStdout:       &lineLog{output: p.process.output, stream: "stdout"},
		SyncStderr:       &lineLog{output: p.process.output, stream: "stderr"},
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.sockets},
		GRPCDialOptions:  []grpc.DialOption{grpc.WithAuthority("localhost")},
		RunnerFunc: func(_ hclog.Logger, handed *exec.Cmd, _ string) (runner.Runner, error) {
			cmd.Env = append(cmd.Env, handed.Env...)
			// Scratch files too: those of a plugin that is killed are removed with the folder of its instance.
			cmd.Env = append(cmd.Env, plugin.EnvUnixSocketDir+"="+p.sockets, "TMPDIR="+p.sockets)
			return p.process, nil
		},
	})
	p.stop = client.Kill

	address, err := p.shakeHands(ctx, client)
	if err != nil {
		return fail(p.abandon(err))
	}
	if len(address) > maxSocketPath {
		return fail(p.abandon(fmt.Errorf("socket path %s is too long", address)))
	}
	p.meter = &meter{exited: p.exited, reason: p.goneText}
	if p.data, err = p.dialSocket(address, p.tls); err != nil {
		return fail(p.abandon(err))
	}
	go func() {
		<-p.process.done
		p.ended(p.process.reason)
	}()
	return p, nil
}

// shakeHands runs go-plugin's steps, which know no context, and gives them one by ending the process under them.
func (p *Plugin) shakeHands(ctx context.Context, client *plugin.Client) (address string, err error) {
	shaken := make(chan error, 1)
	go func() {
		addr, err := client.Start()
		if err == nil {
			address = addr.String()
			if p.tls != nil {
				err = probeTLS(address, p.tls, p.options.StartTimeout/2)
			}
		}
		if err == nil {
			var protocol plugin.ClientProtocol
			if protocol, err = client.Client(); err == nil {
				p.control = protocol.(*plugin.GRPCClient).Conn
			}
		}
		shaken <- err
	}()
	timer := time.NewTimer(p.options.StartTimeout + time.Second) // go-plugin's own timeout should come first
	defer timer.Stop()
	select {
	case err := <-shaken:
		return address, err
	case <-ctx.Done():
		err = fmt.Errorf("start given up: %w", context.Cause(ctx))
	case <-timer.C:
		err = fmt.Errorf("no answer on its socket within %s after the start", p.options.StartTimeout)
	}
	p.process.abort()
	<-shaken // soon: what it waits for has ended
	return "", err
}

// Describe starts a plugin, asks what it is, and ends it: it is not configured.
func Describe(ctx context.Context, options Options, spec Spec) (*ordov1.DescribeResponse, error) {
	options = options.withDefaults()
	spec.Generation = max(spec.Generation, 1)
	path, err := spec.executable()
	if err != nil {
		return nil, fmt.Errorf("%s plugin: %w", sdk.StageName(spec.Stage), err)
	}
	p, err := launch(ctx, options, spec, path)
	if err == nil {
		defer p.Kill()
		err = p.describe(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s plugin %s: %w", sdk.StageName(spec.Stage), path, err)
	}
	return p.Info(), nil
}

// describe asks the plugin for its description.
func (p *Plugin) describe(ctx context.Context) error {
	client := ordov1.NewPluginClient(p.data)
	describing, cancel := context.WithTimeout(ctx, p.options.StartTimeout)
	defer cancel()
	info, err := client.Describe(describing, &ordov1.DescribeRequest{})
	if err != nil {
		if status.Code(err) == codes.Unimplemented {
			return fmt.Errorf("it is a go-plugin plugin, but not one of ordo: it does not serve %s", ordov1.Plugin_ServiceDesc.ServiceName)
		}
		return fmt.Errorf("describe: %w", p.withLastOutput(err))
	}
	if info.GetStage() != p.spec.Stage {
		return fmt.Errorf("it is a plugin of stage %s (%s), not %s: use it for that stage, or name another one here",
			sdk.StageName(info.GetStage()), info.GetName(), sdk.StageName(p.spec.Stage))
	}
	if info.GetName() == "" {
		return errors.New("describe: the plugin has no name")
	}
	p.info.Store(info)
	p.log = p.options.Logger.Named(p.Name())
	if p.process != nil {
		p.process.output.rename(p.log)
	}
	return nil
}

// introduce asks the plugin for its description and configures it.
func (p *Plugin) introduce(ctx context.Context) error {
	if err := p.describe(ctx); err != nil {
		return err
	}
	client, info := ordov1.NewPluginClient(p.data), p.Info()
	if p.spec.DataDir != "" {
		if err := os.MkdirAll(p.spec.DataDir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	go p.watch() // from now on: a plugin may be wedged in Configure too
	configuring, cancelConfigure := context.WithTimeout(ctx, p.options.ConfigureTimeout)
	defer cancelConfigure()
	resp, err := client.Configure(configuring, &ordov1.ConfigureRequest{
		Config:     p.spec.settings(info),
		Chain:      p.spec.Chain,
		RunDir:     p.runDir,
		DataDir:    p.spec.DataDir,
		Listen:     p.spec.Listen,
		Peers:      p.spec.Peers,
		Generation: p.spec.Generation,
	})
	if err != nil {
		return fmt.Errorf("configure: %w", p.withLastOutput(err))
	}
	if err := refused(resp.GetDiagnostics()); err != nil {
		return err
	}
	for _, d := range resp.GetDiagnostics() {
		p.warnings = append(p.warnings, d)
		p.log.Warn(d.GetSummary(), "key", d.GetPath(), "detail", d.GetDetail())
	}
	// What a plugin can do may depend on how it is configured: the second answer is the one that holds.
	if info, err = client.Describe(configuring, &ordov1.DescribeRequest{}); err != nil {
		return fmt.Errorf("describe after configure: %w", p.withLastOutput(err))
	}
	p.info.Store(info)
	p.log.Info("started", "version", info.GetVersion(), "pid", p.Pid(), "generation", p.spec.Generation,
		"capabilities", strings.Join(info.GetCapabilities(), ","))
	return nil
}

// makeRunDir makes the folders of the plugin: one that stays for the whole run of the node, so that a plugin that keeps
// nothing durable finds its scratch files again after a restart, and in it one for the sockets of this instance.
func (p *Plugin) makeRunDir() error {
	if p.options.RunDir == "" {
		dir, err := os.MkdirTemp("", "ordo-") // 0700
		if err != nil {
			return fmt.Errorf("run folder: %w", err)
		}
		p.runDir, p.ownDir = dir, true
	} else {
		p.runDir = filepath.Join(p.options.RunDir, sdk.StageName(p.spec.Stage)[:3])
	}
	p.sockets = filepath.Join(p.runDir, "s"+strconv.FormatUint(p.spec.Generation, 10))
	if n := len(p.sockets) + len("/plugin1234567890"); n > maxSocketPath {
		if p.ownDir {
			os.RemoveAll(p.runDir)
		}
		return fmt.Errorf("run folder %s: a socket in it would have a path of %d bytes, the system allows %d: choose a shorter one",
			p.runDir, n, maxSocketPath)
	}
	if err := os.MkdirAll(p.sockets, 0o700); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	return nil
}

// removeRunDir removes what is not needed after this instance.
func (p *Plugin) removeRunDir() {
	if p.ownDir {
		os.RemoveAll(p.runDir)
		return
	}
	os.RemoveAll(p.sockets)
	os.Remove(p.runDir) // if the plugin left nothing in it
}

// abandon ends a process that failed to start and says what is known about why.
func (p *Plugin) abandon(cause error) error {
	if p.process.pid == 0 { // never started
		return cause
	}
	// A process that has just written its last output may not be reaped yet: see whether it ends by itself.
	select {
	case <-p.process.done:
	case <-time.After(300 * time.Millisecond):
	}
	p.process.killGroup()
	<-p.process.done
	if p.own != nil {
		p.own.close()
	}
	p.stop() // what go-plugin still holds of it
	byUs := p.process.killed.Load() && p.process.reason == "signal: killed"
	return explainStart(cause, p.process, !byUs, p.options.StartTimeout)
}

// explainStart puts go-plugin's errors into words for operators.
func explainStart(cause error, proc *process, ended bool, allowed time.Duration) error {
	hello, seen := proc.output.hello()
	var err error
	switch {
	case !seen && ended:
		err = fmt.Errorf("not a plugin, or it cannot start: it ended with %s before it said anything on stdout%s", proc.reason, interpreterHint(proc))
	case !seen && strings.Contains(cause.Error(), "timeout"):
		err = fmt.Errorf("not a plugin: it said nothing on stdout for %s", allowed)
	case !seen:
		err = cause
	case isHello(hello) && strings.Contains(cause.Error(), "core API version"):
		err = fmt.Errorf("its handshake is of version %s of go-plugin's protocol, this node speaks %d: see docs/spec/plugin.md", strings.Split(hello, "|")[0], plugin.CoreProtocolVersion)
	case !isHello(hello):
		err = fmt.Errorf("not a plugin: its first line on stdout is no handshake: %q", cut(hello, 120))
	case strings.Contains(cause.Error(), "incompatible API version"):
		err = fmt.Errorf("it speaks version %s of the plugin protocol, this node speaks %d: use a plugin built for it",
			strings.Split(hello, "|")[1], sdk.ProtocolVersion)
	case ended:
		err = fmt.Errorf("it ended with %s right after the handshake", proc.reason)
	default:
		err = cause
	}
	if words := proc.output.lastOutput(); words != "" {
		err = fmt.Errorf("%w; it wrote:\n  %s", err, words)
	}
	return err
}

// isHello tells whether a line looks like `1|1|unix|/path|grpc`.
func isHello(line string) bool {
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 4 {
		return false
	}
	_, err := strconv.Atoi(parts[0])
	return err == nil
}

// withLastOutput adds what a plugin wrote that ended during a call.
func (p *Plugin) withLastOutput(err error) error {
	if p.process == nil {
		return err
	}
	grace := 300 * time.Millisecond
	if status.Code(err) == codes.Unavailable { // the connection broke: its end is near
		grace = 3 * time.Second
	}
	select {
	case <-p.exited:
	case <-time.After(grace):
		return err
	}
	if words := p.process.output.lastOutput(); words != "" {
		return fmt.Errorf("it ended with %s; it wrote:\n  %s", p.reason, words)
	}
	return fmt.Errorf("it ended with %s", p.reason)
}

// nothing is the plugin that go-plugin dispenses: none, the generated clients are used.
type nothing struct{ plugin.NetRPCUnsupportedPlugin }

func (nothing) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host serves nothing")
}
func (nothing) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("use the generated clients")
}
