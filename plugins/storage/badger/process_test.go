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
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// asPlugin is the argument that makes this binary the plugin.
const asPlugin = "serve-as-plugin"

// TestMain makes this binary the plugin when it is started as one: tests that kill a process need no build.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asPlugin {
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

func startProcess(t testing.TB, runDir, dataDir string, generation uint64, config string) *process {
	t.Helper()
	h := sdk.Handshake()
	cmd := exec.Command(os.Args[0], asPlugin)
	cmd.Env = append(os.Environ(), h.MagicCookieKey+"="+h.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+runDir, "ORDO_PLUGIN_LOG=warn")
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
	p.conn, p.read = connect(t, fields[3], runDir, dataDir, generation, config)
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

// TestKill kills the process at random points of a busy chain. What was answered is there, what is there is right.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	r := rand.New(rand.NewPCG(1, 1))
	dir, c := shortDir(t), newTestChain(81)
	for n := range 200 {
		if n%20 == 12 {
			c.append(bigBlock(c)) // several transactions: the mark must hold too
		} else {
			c.grow()
		}
	}
	answered := 0
	for round := range 8 {
		p := startProcess(t, shortDir(t), dir, 1, `{"memtable_mb": 8, "checkpoint_every": 2, "sync_writes": false}`)
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
		if head.Accepted && (f(head.StateRoot) != c.roots[head.AcceptedHeight] || f(head.BlockHash) != c.hashes[head.AcceptedHeight]) {
			t.Fatalf("round %d: wrong root at %d", round, head.AcceptedHeight)
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

// TestUnborn opens a store in which a killed process left logs that have a name and nothing else.
func TestUnborn(t *testing.T) {
	dir, c := t.TempDir(), newTestChain(82)
	for range 5 {
		c.grow()
	}
	s, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	commitAll(t, s, c.blocks...)
	waitRoots(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00091.mem", "00092.mem", "000093.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, testOptions())
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
