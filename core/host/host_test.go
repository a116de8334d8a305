package host_test

import (
	"bufio"
	"bytes"
	"context"
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
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// logBook collects what the host logs.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBook) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Trace})
}

// eventually waits for text in the log.
func (l *logBook) eventually(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(l.String(), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log never says %q:\n%s", want, cutText(l.String()))
		}
	}
}

func cutText(s string) string {
	if len(s) > 4000 {
		return s[:4000] + "..."
	}
	return s
}

func spec(t *testing.T, role string) host.Spec {
	return host.Spec{Stage: ordov1.Stage_STAGE_ORDERING, Path: os.Args[0], Env: []string{roleEnv + "=" + role}, DataDir: t.TempDir()}
}

func start(t *testing.T, o host.Options, s host.Spec) *host.Plugin {
	t.Helper()
	p, err := host.Start(context.Background(), o, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func score(p *host.Plugin, command string) (uint64, error) {
	resp, err := ordov1.NewOrderingClient(p.Conn()).Score(context.Background(),
		&ordov1.ScoreRequest{Transactions: []*ordov1.TransactionView{{Sender: []byte(command)}}})
	if err != nil {
		return 0, err
	}
	return resp.GetHi()[0], nil
}

func TestStartConfigureDrainStop(t *testing.T) {
	book := &logBook{}
	s := spec(t, "good")
	s.Config, s.Generation = []byte(`{"greeting":"hello"}`), 4
	p := start(t, host.Options{Logger: book.logger()}, s)
	if p.Name() != "ordering/good" || p.Info().GetVersion() != "1.2.3" || !slices.Equal(p.Info().GetCapabilities(), []string{sdk.CapArrival}) || p.Generation() != 4 {
		t.Fatalf("info: %v", p.Info())
	}
	if w := p.Warnings(); len(w) != 1 || w[0].GetPath() != "greeting" {
		t.Fatalf("warnings: %v", w)
	}
	if !alive(p.Pid()) {
		t.Fatal("no process")
	}
	if _, err := score(p, "print"); err != nil {
		t.Fatal(err)
	}
	book.eventually(t, "printed by the policy")
	if _, err := score(p, "interrupt"); err != nil {
		t.Fatalf("an interrupt ends the plugin: %v", err)
	}
	if err := p.Healthy(context.Background()); err != nil {
		t.Fatal(err)
	}
	stats := p.Stats()
	if len(stats) != 1 {
		t.Fatalf("stats: %+v", stats)
	}
	scores := stats[0]
	if scores.Method != "Score" || scores.Calls != 2 || scores.Sent != 2 || scores.Received != 2 || scores.Errors != 0 || scores.Open != 0 ||
		scores.P50 == 0 || scores.P99 < 50*time.Millisecond || scores.P50 > scores.P99 {
		t.Fatalf("stats: %+v", stats)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(s.DataDir, "drained")); string(text) != "yes" {
		t.Fatal("stopped without Drain")
	}
	if alive(p.Pid()) || p.ExitReason() != "exit status 0" {
		t.Fatalf("still there, or a bad end: %q", p.ExitReason())
	}
	_, err := score(p, "")
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "ordering/good: the plugin has ended: exit status 0") {
		t.Fatalf("call after the end: %v", err)
	}
}

// TestRefusals: whatever is started, the error says what it is and nothing stays behind.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.txt")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("\x00\x01\x02"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		spec func(*host.Spec)
		want string
	}{
		{"no path", func(s *host.Spec) { s.Path = "" }, "no path given"},
		{"missing", func(s *host.Spec) { s.Path = dir + "/none" }, "no such file: check the path"},
		{"not in PATH", func(s *host.Spec) { s.Path = "ordo-no-such-plugin" }, "not found in PATH"},
		{"folder", func(s *host.Spec) { s.Path = dir }, "is a folder"},
		{"not executable", func(s *host.Spec) { s.Path = plain }, "is not executable"},
		{"not a plugin", func(s *host.Spec) { s.Path = "/bin/echo"; s.Args = []string{"hi"} }, `its first line on stdout is no handshake: "hi"`},
		{"ends at once", func(s *host.Spec) { s.Path = "/bin/true" }, "it ended with exit status 0 before it said anything"},
		{"exits", role("exits"), "exit status 127 before it said anything on stdout; it wrote:\n  error while loading shared libraries"},
		{"panics", role("panics"), "panic: no database"},
		{"silent", role("silent"), "it said nothing on stdout"},
		{"babbles", role("babbles"), `no handshake: "Hello! I am a friendly program."`},
		{"endless line", role("endless line"), "no handshake"},
		{"wrong version", role("version"), "it speaks version 7 of the plugin protocol, this node speaks 1"},
		{"tcp", role("tcp"), "only unix sockets"},
		{"net/rpc", role("netrpc"), `unsupported plugin protocol "netrpc"`},
		{"nobody listens", role("nobody listens"), "describe"},
		{"deaf", role("deaf"), "no answer on its socket"},
		{"another host's plugin", role("foreign"), "not one of ordo"},
		{"wrong stage", role("consensus"), "it is a plugin of stage consensus (mute), not ordering"},
		{"bad configuration", func(s *host.Spec) { s.Config = []byte(`{"greeting":"rude"}`) },
			"configuration refused: greeting: too rude (be polite)"},
		{"unknown key", func(s *host.Spec) { s.Config = []byte(`{"greting":"x"}`) },
			`configuration refused: greting: unknown key (did you mean "greeting"?)`},
		{"unknown socket", func(s *host.Spec) { s.Listen = map[string]string{"read": dir + "/s"} }, `no socket of role "read"`},
		{"checksum", func(s *host.Spec) { s.Checksums = map[string]string{plain: "00"} },
			"expected sha256 00, found 982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := t.TempDir()
			s := spec(t, "good")
			c.spec(&s)
			// The wedged ones take the whole time, so it is short; a slow machine must still let the others speak.
			timeout := 20 * time.Second
			if c.name == "silent" || c.name == "deaf" {
				timeout = 3 * time.Second
			}
			p, err := host.Start(context.Background(), host.Options{RunDir: run, StartTimeout: timeout}, s)
			if err == nil {
				p.Kill()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant\n%s", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), "ordering plugin") {
				t.Errorf("error does not say whose it is: %v", err)
			}
			if left, _ := os.ReadDir(run); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func role(name string) func(*host.Spec) {
	return func(s *host.Spec) { s.Env = []string{roleEnv + "=" + name} }
}

// TestOutputOfAPluginIsBounded: lines that take go-plugin's own reader down or stop it are logged, and the plugin goes on.
func TestOutputOfAPluginIsBounded(t *testing.T) {
	for noise, logged := range map[string][]string{
		"malformed": {"1", "x"},
		"long":      {"after the long line", "after the long line on stdout"},
		"flood":     {"lines were dropped"},
	} {
		t.Run(noise, func(t *testing.T) {
			book := &logBook{}
			s := spec(t, "good")
			s.Config = []byte(`{"noise":"` + noise + `"}`)
			p := start(t, host.Options{Logger: book.logger()}, s)
			for _, want := range logged {
				book.eventually(t, want)
			}
			if _, err := score(p, ""); err != nil {
				t.Fatal(err)
			}
			if err := p.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestExitOfAPluginIsReportedWithItsOutput(t *testing.T) {
	p := start(t, host.Options{}, spec(t, "good"))
	_, err := score(p, "die")
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("call when the process ends: %v", err)
	}
	select {
	case <-p.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("the end was not noticed")
	}
	if p.ExitReason() != "exit status 3" {
		t.Fatalf("reason %q", p.ExitReason())
	}
	if err := p.Healthy(context.Background()); err == nil {
		t.Fatal("healthy after its end")
	}
	if err := p.Stop(context.Background()); err == nil {
		t.Fatal("drained after its end")
	}
}

func TestWedged(t *testing.T) {
	s := spec(t, "good")
	if err := os.WriteFile(filepath.Join(s.DataDir, "stuck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, host.Options{ExitTimeout: 300 * time.Millisecond}, s)
	go score(p, "hang")
	child, err := score(p, "child")
	if err != nil || !alive(int(child)) {
		t.Fatalf("no child: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil {
		t.Fatal("a plugin with a call that never ends was drained")
	}
	if alive(p.Pid()) || alive(int(child)) {
		t.Fatal("the plugin or its child is still there")
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	t.Setenv("ORDO_TEST_SECRET", "key")
	t.Setenv("ORDO_TEST_SHARED", "fine")
	p := start(t, host.Options{PassEnv: []string{"ORDO_TEST_SHARED"}}, spec(t, "good"))
	for name, want := range map[string]uint64{"ORDO_TEST_SECRET": 0, "ORDO_TEST_SHARED": 1, "PATH": 1} {
		if got, err := score(p, "env "+name); err != nil || got != want {
			t.Errorf("%s: seen %d, want %d (%v)", name, got, want, err)
		}
	}
}

func TestBigMessage(t *testing.T) {
	p := start(t, host.Options{}, spec(t, "good"))
	resp, err := ordov1.NewOrderingClient(p.Conn()).Score(context.Background(), &ordov1.ScoreRequest{
		Transactions: []*ordov1.TransactionView{{Sender: []byte("size"), Hash: make([]byte, 24<<20)}}})
	if err != nil || resp.GetHi()[0] != 24<<20 {
		t.Fatalf("%v %v", resp.GetHi(), err)
	}
}

func TestStartIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := host.Start(ctx, host.Options{}, spec(t, "silent"))
	if err == nil || !strings.Contains(err.Error(), "start given up: context deadline exceeded") {
		t.Fatal(err)
	}
}

func TestRunFolderTooDeep(t *testing.T) {
	_, err := host.Start(context.Background(), host.Options{RunDir: filepath.Join(t.TempDir(), strings.Repeat("d", 100))}, spec(t, "good"))
	if err == nil || !strings.Contains(err.Error(), "choose a shorter one") {
		t.Fatal(err)
	}
}

func TestInProcess(t *testing.T) {
	service := sdk.ScoreBy("tip", func(t sdk.Tx) uint64 { return t.Tip })
	p, err := host.InProcess(context.Background(), host.Options{}, host.Spec{Stage: ordov1.Stage_STAGE_ORDERING}, service)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := ordov1.NewOrderingClient(p.Conn()).Score(context.Background(),
		&ordov1.ScoreRequest{Transactions: []*ordov1.TransactionView{{Tip: 7}, {Tip: 9}}})
	if err != nil || len(resp.GetHi()) != 2 || resp.GetHi()[1] != 9 || p.Pid() != 0 {
		t.Fatalf("%v %v", resp, err)
	}
	if err := p.Healthy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := score(p, ""); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	if _, err := host.InProcess(context.Background(), host.Options{}, host.Spec{Stage: ordov1.Stage_STAGE_STORAGE}, service); err == nil {
		t.Fatal("an ordering plugin was taken for storage")
	}
	_, err = host.InProcess(context.Background(), host.Options{},
		host.Spec{Stage: ordov1.Stage_STAGE_ORDERING, Config: []byte(`{"a":1}`)}, service)
	if err == nil || !strings.Contains(err.Error(), "takes no configuration") {
		t.Fatal(err)
	}
}

// TestHostKilled: when the host is killed, its plugins end too, one that is stopped too, and their children.
func TestHostKilled(t *testing.T) {
	if how := os.Getenv("ORDO_TEST_HOST"); how != "" {
		p, err := host.Start(context.Background(), host.Options{}, spec(t, "good"))
		if err != nil {
			t.Fatal(err)
		}
		child, err := score(p, "child")
		if err != nil {
			t.Fatal(err)
		}
		if how == "stopped" {
			_ = syscall.Kill(p.Pid(), syscall.SIGSTOP)
		}
		os.Stdout.WriteString("pid " + itoa(p.Pid()) + "\npid " + itoa(int(child)) + "\n")
		select {}
	}
	for _, how := range []string{"running", "stopped"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestHostKilled$", "-test.v")
			cmd.Env = append(os.Environ(), "ORDO_TEST_HOST="+how, "TMPDIR="+t.TempDir()) // a killed process cleans nothing up
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(out)
			plugin, child := readPid(t, in), readPid(t, in)
			if !alive(plugin) || !alive(child) {
				t.Fatal("no plugin, or no child")
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			for deadline := time.Now().Add(10 * time.Second); alive(plugin) || alive(child); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("after the end of the host the plugin runs: %v, its child: %v", alive(plugin), alive(child))
				}
			}
		})
	}
}
