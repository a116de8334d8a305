package host_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// The test binary is also every plugin of the tests: ORDO_TEST_PLUGIN tells which.
const roleEnv = "ORDO_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
		return
	}
	os.Exit(m.Run())
}

func play(role string) {
	hello := func() { fmt.Println("1|1|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/none|grpc") }
	switch role {
	case "good":
		serveGood(sdk.Description{Name: "good", Version: "1.2.3", Capabilities: []string{sdk.CapArrival},
			ConfigSchema: `{"type":"object","properties":{"greeting":{"type":"string"},"noise":{"type":"string"}}}`})
	case "consensus":
		sdk.Serve(sdk.ServeProtocol(sdk.Description{Name: "mute"}, nil, func() sdk.Protocol { return mute{} }))
	case "storage":
		sdk.Serve(sdk.Storage(sdk.Description{Name: "store"}, &store{}))
	case "execution":
		sdk.Serve(sdk.Execution(sdk.Description{Name: "machine"}, &machine{}))
	case "exits":
		fmt.Fprintln(os.Stderr, "error while loading shared libraries: libfoo.so")
		os.Exit(127)
	case "panics":
		panic("no database")
	case "silent":
		time.Sleep(time.Minute)
	case "babbles":
		fmt.Println("Hello! I am a friendly program.")
		time.Sleep(time.Minute)
	case "endless line": // never a newline
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	case "version":
		fmt.Println("1|7|unix|/nowhere|grpc")
		time.Sleep(time.Minute)
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc")
		time.Sleep(time.Minute)
	case "netrpc":
		fmt.Println("1|1|unix|/nowhere|netrpc")
		time.Sleep(time.Minute)
	case "nobody listens":
		hello()
		time.Sleep(time.Minute)
	case "deaf": // accepts, and never says a word of HTTP/2
		path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "deaf")
		l, err := net.Listen("unix", path)
		if err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + path + "|grpc")
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	case "foreign": // a gRPC server that knows nothing of ordo
		path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "foreign")
		l, err := net.Listen("unix", path)
		if err != nil {
			panic(err)
		}
		fmt.Println("1|1|unix|" + path + "|grpc")
		_ = grpc.NewServer().Serve(l)
	case "stranger": // asks a plugin of another user
		conn, err := sdk.Dial(os.Getenv("SOCKET"))
		if err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		fmt.Println(resp.GetStatus(), err)
	default:
		if misdeed, ok := strings.CutPrefix(role, "raw "); ok {
			raw(misdeed)
			return
		}
		panic("no such role: " + role)
	}
}

// scorer is a plugin whose Score does what the test asks for: transactions with a sender that is a command.
type scorer struct {
	ordov1.UnimplementedOrderingServer
	setup *sdk.Setup
}

func serveGood(d sdk.Description) { sdk.Serve(sdk.Ordering(d, &scorer{})) }

func (s *scorer) Configure(_ context.Context, setup *sdk.Setup) error {
	s.setup = setup
	var c struct{ Greeting, Noise string }
	if err := setup.Decode(&c); err != nil {
		return err
	}
	if c.Greeting == "rude" {
		return &sdk.Problem{Path: "greeting", Summary: "too rude", Detail: "be polite"}
	}
	if c.Greeting != "" {
		setup.Warn(sdk.Problem{Path: "greeting", Summary: "is not needed"})
	}
	switch c.Noise {
	case "malformed":
		// Each of these three takes go-plugin's own log reader down.
		io.WriteString(stderr(), "{\"@message\":1}\n{\"@message\":\"x\",\"@level\":{}}\n{\"@message\":\"x\",\"@timestamp\":[]}\n")
	case "long":
		io.WriteString(stderr(), strings.Repeat("y", 300<<10)+"\nafter the long line\n")
		rawStdout().WriteString(strings.Repeat("z", 300<<10) + "\nafter the long line on stdout\n")
	case "bomb": // as fast as the pipe takes it
		go func() {
			block := []byte(strings.Repeat("{\"@message\":\"boom\",\"@level\":\"error\"}\n", 1000))
			for {
				if _, err := stderr().Write(block); err != nil {
					return
				}
			}
		}()
	case "100 MB":
		rawStdout().WriteString(strings.Repeat("z", 100<<20) + "\nafter 100 MB\n")
	case "prints":
		go func() {
			for {
				fmt.Println("printed and printed")
			}
		}()
	case "odd":
		io.WriteString(stderr(), strings.Join([]string{
			`{"@message":"number","n":1e999}`, `{"@message":"not a number","n":NaN}`, `{"@message":"deep","n":` + strings.Repeat("[", 20000) + `}`,
			`{"@message":"level","@level":{"a":[]}}`, `{"@message":null}`, "{\"@message\":\"\x1b[2Jclear\\n2026-01-01 [ERROR] forged\"}", "\x00\xff\xfe", `{"@message":"odd end"}`,
		}, "\n")+"\n")
	case "hang":
		time.Sleep(time.Hour)
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // the signal may meet another thread first: this one must not answer before it stands still
	case "flood":
		go func() {
			out := bufio.NewWriter(rawStdout())
			for {
				if _, err := out.WriteString("flood flood flood flood\n"); err != nil {
					return
				}
			}
		}()
	}
	return nil
}

func (s *scorer) Score(_ context.Context, req *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	resp := &ordov1.ScoreResponse{Generation: 1}
	for _, t := range req.GetTransactions() {
		var hi uint64
		switch command := string(t.GetSender()); {
		case command == "die":
			os.Exit(3)
		case command == "hang":
			time.Sleep(time.Hour)
		case command == "slow":
			if err := os.WriteFile(filepath.Join(s.setup.DataDir, "slow"), nil, 0o600); err != nil {
				return nil, err
			}
			time.Sleep(300 * time.Millisecond)
		case command == "child": // a grandchild of the host, that outlives its parent unless the group is killed
			c := exec.Command("sleep", "600")
			c.Stdout, c.Stderr = stderr(), stderr()
			if err := c.Start(); err != nil {
				return nil, err
			}
			hi = uint64(c.Process.Pid)
		case command == "leave": // ends, and a child keeps its pipes and its group
			c := exec.Command("sleep", "600")
			c.Stdin, c.Stdout, c.Stderr = os.NewFile(0, "stdin"), rawStdout(), stderr()
			if err := c.Start(); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(s.setup.DataDir, "child"), []byte(itoa(c.Process.Pid)), 0o600); err != nil {
				return nil, err
			}
			os.Exit(4)
		case command == "deaf": // to every signal that can be ignored
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
		case command == "print":
			fmt.Println("printed by the policy")
		case strings.HasPrefix(command, "env "):
			if _, ok := os.LookupEnv(strings.TrimPrefix(command, "env ")); ok {
				hi = 1
			}
		case command == "interrupt":
			_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			time.Sleep(50 * time.Millisecond)
		case command == "size":
			hi = uint64(len(t.GetHash()))
		}
		resp.Hi = append(resp.Hi, hi)
	}
	return resp, nil
}

func (s *scorer) Drain(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(s.setup.DataDir, "drained"), []byte("yes"), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.setup.DataDir, "stuck")); err == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// store answers reads with the generation of its process as the height.
type store struct {
	ordov1.UnimplementedStorageServer
	ordov1.UnimplementedStorageReadServer
	setup *sdk.Setup
}

// Configure counts the instances of this run in its scratch folder.
func (s *store) Configure(_ context.Context, setup *sdk.Setup) error {
	s.setup = setup
	lives := filepath.Join(setup.RunDir, "lives")
	before, _ := os.ReadFile(lives)
	if len(before)+1 != int(setup.Generation) {
		return fmt.Errorf("generation %d, and %d instances have written to the run folder", setup.Generation, len(before))
	}
	return os.WriteFile(lives, append(before, 'x'), 0o600)
}

func (s *store) State(context.Context, *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	return &ordov1.StateResponse{Height: s.setup.Generation}, nil
}

func (s *store) Drain(context.Context) error {
	return os.WriteFile(filepath.Join(s.setup.DataDir, "drained"), []byte(time.Now().Format(time.RFC3339Nano)), 0o600)
}

// machine reads from storage when it is configured, and passes on what it read as its tip.
type machine struct {
	ordov1.UnimplementedExecutionServer
	setup   *sdk.Setup
	storage ordov1.StorageReadClient
}

func (m *machine) Configure(ctx context.Context, setup *sdk.Setup) error {
	m.setup = setup
	conn, err := setup.Dial("storage.read")
	if err != nil {
		return err
	}
	m.storage = ordov1.NewStorageReadClient(conn)
	_, err = m.storage.State(ctx, &ordov1.StateRequest{})
	return err
}

func (m *machine) Apply(ctx context.Context, _ *ordov1.ApplyRequest) (*ordov1.ApplyResponse, error) {
	resp, err := m.storage.State(ctx, &ordov1.StateRequest{}, grpc.WaitForReady(true))
	return &ordov1.ApplyResponse{Tip: resp.GetHeight()}, err
}

// View takes as long as it is told, and may end the process then. What came is counted in a file.
func (m *machine) View(_ context.Context, req *ordov1.ViewRequest) (*ordov1.ViewResponse, error) {
	if came, err := os.OpenFile(filepath.Join(m.setup.DataDir, "views"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintf(came, "%s\n", req.GetCall().GetCalldata())
		came.Close()
	}
	time.Sleep(time.Duration(req.GetTimeoutMs()) * time.Millisecond)
	if bytes.HasPrefix(req.GetCall().GetCalldata(), []byte("crash")) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV) // unlike a kill, what a process does to itself
		time.Sleep(time.Minute)
	}
	return &ordov1.ViewResponse{Result: &ordov1.ViewResponse_Call{Call: req.GetCall().GetCalldata()}}, nil
}

func (m *machine) Validate(_ context.Context, req *ordov1.ValidateRequest) (*ordov1.ValidateResponse, error) {
	for _, item := range req.Items {
		if bytes.HasPrefix(item.Transaction.GetCalldata(), []byte("crash")) {
			os.Exit(3)
		}
	}
	return &ordov1.ValidateResponse{Verdicts: make([]*ordov1.ValidateResponse_Verdict, len(req.Items))}, nil
}

func (m *machine) Drain(context.Context) error {
	return os.WriteFile(filepath.Join(m.setup.DataDir, "drained"), []byte(time.Now().Format(time.RFC3339Nano)), 0o600)
}

type mute struct{}

func (mute) Step(*ordov1.ConsensusEvent) []*ordov1.Action { return nil }

// stderr and rawStdout are the descriptors that the process was born with; go-plugin replaces the variables.
func stderr() *os.File    { return os.NewFile(2, "stderr") }
func rawStdout() *os.File { return os.NewFile(1, "stdout") }

func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func itoa(n int) string { return strconv.Itoa(n) }

func readPid(t *testing.T, in *bufio.Reader) int {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "pid "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		if err != nil {
			break
		}
	}
	t.Fatal("the host said no pid")
	return 0
}
