package conformance

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Base is what docs/spec/plugin.md asks of every plugin.
var Base = map[string]func(*testing.T, Subject){
	"handshake/one line":                   handshakeLine,
	"handshake/highest common version":     handshakeVersion,
	"handshake/none without the cookie":    handshakeCookie,
	"handshake/socket in the given folder": handshakeFolder,
	"handshake/odd authority":              handshakeAuthority,
	"describe/says who it is":              describe,
	"describe/same answer twice":           describeTwice,
	"configure/unknown key":                configureUnknownKey,
	"configure/not an object":              configureGarbage,
	"configure/absent is empty":            configureAbsent,
	"health/serving":                       healthServing,
	"wire/8 MiB message":                   bigMessage,
	"wire/unknown method":                  unknownMethod,
	"stdout/silent after the handshake":    stdoutSilent,
	"logs/six digits":                      logLines,
	"drain/answers in time":                drainInTime,
	"drain/before configure":               drainUnconfigured,
	"end/shutdown":                         endShutdown,
	"end/interrupt is ignored":             endInterrupt,
	"end/host is gone":                     endOrphan,
}

// RunBase runs Base over a subject.
func RunBase(t *testing.T, s Subject) { run(t, "plugin", Base, s) }

var helloForm = regexp.MustCompile(`^1\|1\|unix\|/[^|]+\|grpc(\|.*)?$`)

func handshakeLine(t *testing.T, s Subject) {
	if line := s.launch(t, nil).firstLine(t); !helloForm.MatchString(line) {
		t.Fatalf("first line %q, want 1|1|unix|/path|grpc|", line)
	}
}

func handshakeVersion(t *testing.T, s Subject) {
	// go-plugin writes the versions in the order of a map.
	for _, offer := range []string{"9,1,4", "1,9", "9,1"} {
		if line := s.launch(t, map[string]string{"PLUGIN_PROTOCOL_VERSIONS": offer}).firstLine(t); !helloForm.MatchString(line) {
			t.Fatalf("offered %s: first line %q, want version 1", offer, line)
		}
	}
}

func handshakeCookie(t *testing.T, s Subject) {
	for _, cookie := range []string{"", "another host's"} {
		l := s.launch(t, map[string]string{sdk.Handshake().MagicCookieKey: cookie})
		if code := l.end(t); code <= 0 {
			t.Errorf("exit code %d without the cookie, want an error", code)
		}
		if !strings.Contains(l.words(), "ordo") {
			t.Errorf("stderr does not tell that ordo starts it: %q", l.words())
		}
	}
}

func handshakeFolder(t *testing.T, s Subject) {
	l := s.launch(t, nil)
	socket := l.handshake(t)
	if !strings.HasPrefix(socket, l.dir+"/") {
		t.Fatalf("socket %s is outside of PLUGIN_UNIX_SOCKET_DIR %s", socket, l.dir)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode()&os.ModeSocket == 0 {
		t.Fatalf("no socket at %s: %v", socket, err)
	}
}

// handshakeAuthority: go-plugin dials with an authority of its own.
func handshakeAuthority(t *testing.T, s Subject) {
	conn, err := sdk.Dial(s.launch(t, nil).handshake(t), grpc.WithAuthority("unused"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ordov1.NewPluginClient(conn).Describe(within(t), &ordov1.DescribeRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

func describe(t *testing.T, s Subject) {
	d, err := s.Start(t).plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if d.GetName() == "" || d.GetVersion() == "" || d.GetStage() == ordov1.Stage_STAGE_UNSPECIFIED {
		t.Errorf("incomplete: %v", d)
	}
	seen := map[string]bool{}
	for _, c := range d.GetCapabilities() {
		if c == "" || seen[c] {
			t.Errorf("capability %q is empty or repeated", c)
		}
		seen[c] = true
	}
	if d.GetConfigSchema() != "" {
		var schema map[string]any
		if err := json.Unmarshal([]byte(d.GetConfigSchema()), &schema); err != nil || schema["type"] != "object" {
			t.Errorf("config schema is not the JSON Schema of an object: %v\n%s", err, d.GetConfigSchema())
		}
	}
}

func describeTwice(t *testing.T, s Subject) {
	i := s.Start(t)
	first, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(first, second) {
		t.Fatalf("%v, then %v", first, second)
	}
}

func configureUnknownKey(t *testing.T, s Subject) {
	refusedConfig(t, s, `{"no_plugin_has_this_key":1}`)
}

func configureGarbage(t *testing.T, s Subject) {
	for _, config := range []string{`{`, `[]`, `"x"`, "\x00"} {
		refusedConfig(t, s, config)
	}
}

func configureAbsent(t *testing.T, s Subject) {
	if s.Config != nil {
		t.Skip("the subject needs a configuration")
	}
	req := s.configuration(t)
	req.Config = nil
	resp, err := s.Start(t).plugin().Configure(within(t), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resp.GetDiagnostics() {
		if d.GetSeverity() == ordov1.Diagnostic_ERROR {
			t.Errorf("no configuration: %s: %s", d.GetPath(), d.GetSummary())
		}
	}
}

// refusedConfig wants an ERROR diagnostic with a text, or at least a refusal of the call.
func refusedConfig(t *testing.T, s Subject, config string) {
	t.Helper()
	i := s.Start(t)
	req := s.configuration(t)
	req.Config = []byte(config)
	resp, err := i.plugin().Configure(within(t), req)
	if err != nil {
		t.Fatalf("config %q: a gRPC error instead of a diagnostic: %v", config, err)
	}
	for _, d := range resp.GetDiagnostics() {
		if d.GetSeverity() == ordov1.Diagnostic_ERROR && d.GetSummary() != "" {
			return
		}
	}
	t.Errorf("config %q was accepted: %v", config, resp.GetDiagnostics())
}

func healthServing(t *testing.T, s Subject) {
	resp, err := grpc_health_v1.NewHealthClient(s.Start(t).Conn).Check(within(t),
		&grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	if err != nil || resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("health of service \"plugin\": %v %v", resp.GetStatus(), err)
	}
}

// bigMessage: gRPC's default limit of 4 MiB would fail the first big block.
func bigMessage(t *testing.T, s Subject) {
	req := s.configuration(t)
	req.Peers = map[string]string{"nobody": strings.Repeat("x", 8<<20)}
	if _, err := s.Start(t).plugin().Configure(within(t), req); err != nil {
		t.Fatal(err)
	}
}

func unknownMethod(t *testing.T, s Subject) {
	i := s.Configured(t)
	err := i.Conn.Invoke(within(t), "/ordo.v1.Plugin/OfALaterMinor", &emptypb.Empty{}, &emptypb.Empty{})
	if status.Code(err) != codes.Unimplemented {
		t.Fatalf("a method of a later minor: %v, want Unimplemented", err)
	}
}

func stdoutSilent(t *testing.T, s Subject) {
	l := s.launch(t, nil)
	parts := strings.Split(l.firstLine(t), "|")
	if len(parts) < 5 {
		t.Fatal("no handshake")
	}
	more := make(chan string, 1)
	go func() {
		line, _ := l.stdout.ReadString('\n')
		more <- line
	}()
	conn, err := sdk.Dial(parts[3])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ordov1.NewPluginClient(conn).Configure(within(t), s.configuration(t), grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-more:
		if line != "" { // else it closed stdout, which is fine
			t.Fatalf("on stdout after the handshake: %q", line)
		}
	case <-time.After(100 * time.Millisecond):
	}
}

var sixDigits = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$`)

// logLines: go-plugin's hosts parse these lines, and demote or choke on others.
func logLines(t *testing.T, s Subject) {
	i := s.Configured(t)
	if i.process == nil {
		t.Skip("needs a process")
	}
	if _, err := i.plugin().Drain(within(t), &ordov1.DrainRequest{DeadlineMs: 10000}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(i.process.words(), "\n") {
		if !strings.HasPrefix(line, "{") {
			continue // plain text is fine
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("looks like JSON and is not: %q", line)
			continue
		}
		for _, key := range []string{"@message", "@level", "@timestamp"} {
			if _, isText := entry[key].(string); !isText {
				t.Errorf("%s is not a string in %q", key, line)
			}
		}
		if at, _ := entry["@timestamp"].(string); !sixDigits.MatchString(at) {
			t.Errorf("@timestamp %q has not exactly six digits", at)
		}
	}
}

func drainInTime(t *testing.T, s Subject) {
	i := s.Configured(t)
	begin := time.Now()
	if _, err := i.plugin().Drain(within(t), &ordov1.DrainRequest{DeadlineMs: 10000}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Fatalf("an idle plugin took %s to drain", took)
	}
	if _, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{}); err != nil {
		t.Fatalf("gone before Shutdown: %v", err)
	}
}

func drainUnconfigured(t *testing.T, s Subject) {
	if _, err := s.Start(t).plugin().Drain(within(t), &ordov1.DrainRequest{DeadlineMs: 10000}); err != nil {
		t.Fatal(err)
	}
}

func endShutdown(t *testing.T, s Subject) {
	i := s.Configured(t)
	if i.process == nil {
		t.Skip("needs a process")
	}
	// The answer may be cut off by the end that it asks for.
	_ = i.Conn.Invoke(within(t), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	if code := i.process.end(t); code != 0 {
		t.Fatalf("exit code %d after Shutdown", code)
	}
}

func endInterrupt(t *testing.T, s Subject) {
	i := s.Configured(t)
	if i.process == nil {
		t.Skip("needs a process")
	}
	for range 3 {
		if err := syscall.Kill(-i.process.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := i.plugin().Describe(within(t), &ordov1.DescribeRequest{}); err != nil {
		t.Fatalf("ctrl-C in the terminal of the node ends the plugin: %v", err)
	}
}

// endOrphan closes the pipe that only the host holds.
func endOrphan(t *testing.T, s Subject) {
	i := s.Configured(t)
	if i.process == nil {
		t.Skip("needs a process")
	}
	i.process.stdin.Close()
	i.process.end(t)
}
