package conformance

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// patience is how long a plugin may take for anything; interpreters start slowly on a busy machine.
const patience = 60 * time.Second

// Subject is a plugin under test.
type Subject struct {
	path    string
	args    []string
	service func() *sdk.Service
	// Config is what Configure is called with by the tests of a stage; nil is {}.
	Config []byte

	answers *answers
}

// Process tests an executable.
func Process(path string, args ...string) Subject {
	return Subject{path: path, args: args, answers: &answers{}}
}

// InProcess tests a service of the Go SDK; make is called for each instance.
func InProcess(make func() *sdk.Service) Subject { return Subject{service: make, answers: &answers{}} }

// Instance is one run of a subject.
type Instance struct {
	Conn    *grpc.ClientConn
	process *process // nil in process
}

// Start begins an instance, not yet configured, that ends with the test.
func (s Subject) Start(t *testing.T) *Instance {
	t.Helper()
	s.answers.giveUp(t)
	if s.service != nil {
		return s.serve(t)
	}
	l := s.launch(t, nil)
	socket := l.handshake(t)
	conn, err := sdk.Dial(socket, s.answers.options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Instance{Conn: conn, process: l}
}

// Configured begins an instance and configures it.
func (s Subject) Configured(t *testing.T) *Instance {
	t.Helper()
	i := s.Start(t)
	resp, err := i.plugin().Configure(within(t), s.configuration(t))
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	for _, d := range resp.GetDiagnostics() {
		if d.GetSeverity() == ordov1.Diagnostic_ERROR {
			t.Fatalf("configure: %s: %s (%s)", d.GetPath(), d.GetSummary(), d.GetDetail())
		}
	}
	return i
}

func (s Subject) configuration(t *testing.T) *ordov1.ConfigureRequest {
	config := s.Config
	if config == nil {
		config = []byte("{}")
	}
	return &ordov1.ConfigureRequest{
		Config:     config,
		Chain:      &ordov1.Chain{ChainId: "SN_SEPOLIA", StarknetVersion: "0.14.4"},
		RunDir:     t.TempDir(),
		DataDir:    t.TempDir(),
		Generation: 1,
	}
}

func (i *Instance) plugin() ordov1.PluginClient { return ordov1.NewPluginClient(i.Conn) }

func (s Subject) serve(t *testing.T) *Instance {
	running := s.service().Run(hclog.NewNullLogger())
	server := grpc.NewServer(running.ServerOptions()...)
	checks := health.NewServer()
	checks.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, checks)
	running.Register(server)
	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	conn, err := sdk.Dial("in-process", append(s.answers.options(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		running.Close()
	})
	return &Instance{Conn: conn}
}

// process is one process.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *bufio.Reader
	dir    string
	ended  chan struct{}
	after  chan string // what comes on stdout after the handshake, once it is closed; nil: not read

	mu     sync.Mutex
	stderr bytes.Buffer
}

func (l *process) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stderr.Write(p)
}

func (l *process) words() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stderr.String()
}

// launch starts the process with the environment of a host, changed by env: KEY=VALUE sets, KEY unsets.
func (s Subject) launch(t *testing.T, env map[string]string) *process {
	t.Helper()
	if s.path == "" {
		t.Skip("needs a process")
	}
	dir, err := os.MkdirTemp("", "ordo-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(s.path)
	if err != nil {
		t.Fatal(err)
	}
	h := sdk.Handshake()
	vars := map[string]string{
		h.MagicCookieKey:           h.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS": "1",
		"PLUGIN_MIN_PORT":          "10000",
		"PLUGIN_MAX_PORT":          "25000",
		"PLUGIN_UNIX_SOCKET_DIR":   dir,
		"ORDO_PLUGIN_WATCH_STDIN":  "1",
	}
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "LANG"} {
		if value, ok := os.LookupEnv(key); ok {
			vars[key] = value
		}
	}
	for key, value := range env {
		vars[key] = value
	}
	l := &process{dir: dir, ended: make(chan struct{})}
	l.cmd = exec.Command(path, s.args...)
	for key, value := range vars {
		if value != "" {
			l.cmd.Env = append(l.cmd.Env, key+"="+value)
		}
	}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.cmd.WaitDelay = time.Second
	l.cmd.Stderr = l
	in, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Stdin, l.cmd.Stdout, l.stdin, l.stdout = in, stdout, stdin, bufio.NewReader(out)
	err = l.cmd.Start()
	in.Close()
	stdout.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = l.cmd.Wait()
		close(l.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-l.ended:
			if t.Failed() {
				t.Logf("%s ended by itself: %s", s.path, l.cmd.ProcessState)
			}
		default:
		}
		_ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
		<-l.ended
		stdin.Close()
		if l.after != nil {
			time.AfterFunc(time.Second, func() { out.Close() }) // a child of the process may hold the pipe
			if text := <-l.after; text != "" {
				t.Errorf("on stdout after the handshake: %q", text)
			}
		}
		out.Close()
		os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", s.path, l.words())
		}
	})
	return l
}

// handshake reads the line and returns the socket that it names.
func (l *process) handshake(t *testing.T) string {
	t.Helper()
	line := l.firstLine(t)
	parts := strings.Split(line, "|")
	if len(parts) < 5 {
		t.Fatalf("the first line on stdout is no handshake: %q", line)
	}
	l.after = make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(l.stdout, 1000))
		_, _ = io.Copy(io.Discard, l.stdout)
		l.after <- string(text)
	}()
	return parts[3]
}

func (l *process) firstLine(t *testing.T) string {
	t.Helper()
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := l.stdout.ReadString('\n')
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatalf("no line on stdout: %v; stderr:\n%s", r.err, l.words())
		}
		return strings.TrimRight(r.line, "\r\n")
	case <-time.After(patience):
		t.Fatal("no line on stdout")
	}
	return ""
}

// end waits for the process and returns its exit code; -1 when a signal ended it.
func (l *process) end(t *testing.T) int {
	t.Helper()
	select {
	case <-l.ended:
		return l.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
	return 0
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// run executes a map of tests in the order of their names, so that reports read alike. A test that fails says which sentence of
// the specification it holds the plugin to.
func run(t *testing.T, page string, tests map[string]func(*testing.T, Subject), s Subject) {
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(page+"/"+name, func(t *testing.T) {
			quote(t, page, name)
			tests[name](t, s)
		})
	}
}

// quote tells, when the test has failed, what it is about.
func quote(t *testing.T, page, name string) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("docs/spec/%s.md: %s", page, Rules[page][name])
		}
	})
}
