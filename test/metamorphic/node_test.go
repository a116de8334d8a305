package metamorphic

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

const patient = 5 * time.Minute // for what takes seconds on a free machine

// binaries is the folder that make build fills.
func binaries(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ORDO_E2E_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ordo")); err != nil {
		t.Skipf("no %s: run make build first", filepath.Join(dir, "ordo"))
	}
	return dir
}

// node is a running `ordo`.
type node struct {
	client.Node
	cmd     *exec.Cmd
	out     *transcript
	exited  chan error
	plugins []string // as children says, when it served
}

// run starts a node with a configuration and waits until it serves.
func run(t *testing.T, bin, settings string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ordo.toml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &node{cmd: exec.Command(filepath.Join(bin, "ordo"), "run", "--config", file), out: new(transcript), exited: make(chan error, 1)}
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "ORDO_") {
			n.cmd.Env = append(n.cmd.Env, entry)
		}
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { n.exited <- n.cmd.Wait() }()
	t.Cleanup(func() {
		n.stop(t)
		if t.Failed() {
			t.Logf("%s\nprinted:\n%s", settings, n.out)
		}
	})
	listening := regexp.MustCompile(`listening on (http://\S+)`)
	deadline := time.After(patient)
	for {
		if m := listening.FindStringSubmatch(n.out.String()); m != nil {
			n.URL, n.plugins = m[1], n.children()
			return n
		}
		select {
		case err := <-n.exited:
			t.Fatalf("the node ended before it served: %v\n%s", err, n.out)
		case <-deadline:
			t.Fatalf("the node does not serve\n%s", n.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the node, and fails the test when one of its processes ended before or when it does not end well.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if n.cmd.ProcessState != nil {
		return
	}
	if now := n.children(); n.plugins != nil && !slices.Equal(now, n.plugins) {
		t.Errorf("the processes of the node were %v and are %v: one has ended", n.plugins, now)
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-n.exited:
		if err != nil {
			t.Errorf("the node ended with %v", err)
		}
	case <-time.After(patient):
		t.Error("the node does not end on SIGTERM")
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

// children are the node's child processes: number and name of each. Those that it starts for a while, such as compilers, are
// not plugins that serve; they are told apart by their arguments.
func (n *node) children() (list []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid ...; the name may hold anything but ends at the last bracket
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) < 2 || fields[1] != fmt.Sprint(n.cmd.Process.Pid) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		name, _, _ := bytes.Cut(line, []byte{0})
		list = append(list, filepath.Base(filepath.Dir(path))+" "+filepath.Base(string(name)))
	}
	slices.Sort(list)
	return list
}

// within gives a call time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	return ctx
}

func (n *node) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if err := n.Call(within(t), method, params, result); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// transcript keeps what a process prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
