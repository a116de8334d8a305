package badger

import (
	"bufio"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestMain makes this binary the plugin when it is started as one: tests that kill a process need no build.
func TestMain(m *testing.M) {
	if os.Getenv(sdk.Handshake().MagicCookieKey) != "" {
		sdk.Serve(Service())
		return
	}
	os.Exit(m.Run())
}

// process is the plugin in a process of its own.
type process struct {
	cmd        *exec.Cmd
	conn, read *grpc.ClientConn
}

func startProcess(t testing.TB, dataDir, config string) *process {
	t.Helper()
	runDir := shortDir(t)
	h := sdk.Handshake()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), h.MagicCookieKey+"="+h.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+runDir, "ORDO_LOG_LEVEL=warn")
	cmd.Stderr = os.Stderr
	stdout := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	fields := strings.Split(strings.TrimSpace(line), "|")
	if err != nil || len(fields) < 5 || fields[2] != "unix" {
		t.Fatalf("handshake %q: %v", line, err)
	}
	p.conn, p.read = connect(t, fields[3], runDir, dataDir, 1, config)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	if p.conn != nil {
		_, _ = p.conn.Close(), p.read.Close()
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) client() *conformance.Storage {
	return &conformance.Storage{Storage: ordov1.NewStorageClient(p.conn), Read: ordov1.NewStorageReadClient(p.read), Capabilities: Service().Describe().Capabilities}
}

// TestConformanceProcess runs the tests of the contract against a process that is killed where they restart.
func TestConformanceProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for name, test := range conformance.StorageTests() {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			var start func(t *testing.T) *conformance.Storage
			start = func(t *testing.T) *conformance.Storage {
				p := startProcess(t, dir, testConfig)
				s := p.client()
				s.Restart = func(t *testing.T) *conformance.Storage {
					p.kill()
					return start(t)
				}
				return s
			}
			test(t, start(t))
		})
	}
}

// TestKill kills the process at random points of a busy chain. What was answered is there, what is there is right.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	r := rand.New(rand.NewPCG(1, 1))
	dir, c := shortDir(t), newTestChain(81)
	for n := range 400 {
		if n%40 == 25 {
			c.append(bigBlock(c)) // several transactions: the mark must hold too
		} else {
			c.grow()
		}
	}
	answered := 0
	for round := range 8 {
		p := startProcess(t, dir, `{"memtable_mb": 8, "checkpoint_every": 2, "sync_writes": false}`)
		client := ordov1.NewStorageClient(p.conn)
		head, err := client.Head(t.Context(), &ordov1.HeadRequest{})
		if err != nil {
			t.Fatal(err)
		}
		stored := 0
		if !head.Empty {
			stored = int(head.Height) + 1
		}
		if stored < answered || stored > answered+1 {
			t.Fatalf("round %d: %d blocks are stored, %d were answered", round, stored, answered)
		}
		if head.Rooted && (f(head.StateRoot) != c.roots[head.RootHeight] || f(head.BlockHash) != c.hashes[head.RootHeight]) {
			t.Fatalf("round %d: wrong root at %d", round, head.RootHeight)
		}
		answered = stored
		time.AfterFunc(time.Duration(r.IntN(250))*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		for answered < len(c.blocks) {
			if err := send(t.Context(), client, c.blocks[answered]); err != nil {
				break
			}
			answered++
		}
		p.kill()
	}
	o := testOptions()
	s := open(t, filepath.Clean(dir), o)
	now, _, _ := s.snapshot()
	if now.blocks < uint64(answered) || now.blocks > uint64(answered+1) {
		t.Fatalf("%d blocks of %d answered", now.blocks, answered)
	}
	t.Logf("%d blocks over 8 kills", answered)
	c = c.fork(min(len(c.blocks), int(now.blocks)+3), 1)
	commitAll(t, s, c.blocks[now.blocks:]...)
	waitRoots(t, s, c)
	checkBlocks(t, s, c)
	checkState(t, s, c, 0)
}

func send(ctx context.Context, client ordov1.StorageClient, b *block) error {
	stream, err := client.Commit(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(request(b)) // CloseAndRecv has the error
	_, err = stream.CloseAndRecv()
	return err
}
