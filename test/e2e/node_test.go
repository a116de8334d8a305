// Package e2e runs bin/ordo as an operator would: real processes, real sockets, unmodified clients.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const (
	chainID = "SN_SEPOLIA"
	patient = 90 * time.Second // for what takes milliseconds on a free machine
)

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

func ordo(t *testing.T) string { return filepath.Join(binaries(t), "ordo") }

// node is a running `ordo`.
type node struct {
	client.Node
	cmd    *exec.Cmd
	out    *transcript
	exited chan error
}

// start runs `ordo dev` on a free port, with any further arguments, and waits until it serves.
func start(t *testing.T, args ...string) *node {
	t.Helper()
	return run(t, append([]string{"dev", "--port", "0"}, args...)...)
}

func run(t *testing.T, args ...string) *node {
	t.Helper()
	return served(t, launch(t, args...))
}

// served waits until a node says where it listens.
func served(t *testing.T, n *node) *node {
	t.Helper()
	args := n.cmd.Args[1:]
	listening := regexp.MustCompile(`listening on (http://\S+)`)
	deadline := time.After(patient)
	for {
		if m := listening.FindStringSubmatch(n.out.String()); m != nil {
			n.URL = m[1]
			return n
		}
		select {
		case err := <-n.exited:
			t.Fatalf("ordo %s ended before it served: %v\n%s", strings.Join(args, " "), err, n.out)
		case <-deadline:
			t.Fatalf("ordo %s does not serve\n%s", strings.Join(args, " "), n.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// launch starts the process; the end of the test stops it, and a failed test shows what it printed.
func launch(t *testing.T, args ...string) *node {
	t.Helper()
	return launchWith(t, func(*exec.Cmd) {}, args...)
}

// launchWith is launch with something else about the process changed.
func launchWith(t *testing.T, change func(*exec.Cmd), args ...string) *node {
	t.Helper()
	n := &node{cmd: exec.Command(ordo(t), args...), out: new(transcript), exited: make(chan error, 1)}
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.cmd.Env = environment()
	change(n.cmd)
	heard(t)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { n.exited <- n.cmd.Wait() }()
	t.Cleanup(func() {
		n.stop(t)
		if t.Failed() {
			_, log, _ := strings.Cut(n.out.String(), "listening on")
			t.Logf("ordo %s printed:\n%s", strings.Join(args, " "), log)
		}
	})
	return n
}

// heard has signals that are ignored here handled for the time of the test: what a process starts inherits that it ignores them, and
// a test that runs in the background of a shell ignores some.
func heard(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			c := make(chan os.Signal, 1)
			signal.Notify(c, sig)
			t.Cleanup(func() { signal.Reset(sig); signal.Ignore(sig) })
		}
	}
}

// environment is ours without what would configure a node.
func environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasPrefix(name, "ORDO_"), name == "HOST", name == "PORT", name == "SEED", name == "CHAIN_ID", name == "ACCOUNTS":
		default:
			env = append(env, entry)
		}
	}
	return env
}

// stop asks the node to end, and fails the test when it does not end well. A second call does nothing.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if n.cmd.ProcessState != nil {
		return
	}
	plugins := n.children()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-n.exited:
		if err != nil {
			t.Errorf("ordo ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("ordo does not end on SIGTERM")
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
	for _, p := range plugins {
		if err := syscall.Kill(p.pid, 0); err == nil && p.alive() {
			t.Errorf("%s (pid %d) outlives the node", p.name, p.pid)
		}
	}
}

// kill ends the core without warning.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-n.exited; !errors.As(err, &exit) {
		t.Fatalf("after a kill: %v", err)
	}
}

type process struct {
	pid  int
	name string
}

func (p process) alive() bool {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "cmdline"))
	return err == nil && strings.Contains(string(name), p.name)
}

// children lists the node's child processes as ps would.
func (n *node) children() []process {
	var list []process
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid ...; the name may hold anything but ends at the last bracket
		rest := raw[bytes.LastIndexByte(raw, ')')+1:]
		fields := strings.Fields(string(rest))
		if len(fields) < 2 || fields[1] != strconv.Itoa(n.cmd.Process.Pid) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		name, _, _ := bytes.Cut(line, []byte{0})
		list = append(list, process{pid, filepath.Base(string(name))})
	}
	return list
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

// lines returns the lines that contain a word.
func (o *transcript) lines(word string) (found []string) {
	scan := bufio.NewScanner(strings.NewReader(o.String()))
	for scan.Scan() {
		if strings.Contains(scan.Text(), word) {
			found = append(found, scan.Text())
		}
	}
	return found
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// accounts are the first predeployed accounts of a seed.
func accounts(seed uint32, n int) []*client.Account {
	list := make([]*client.Account, n)
	for i, a := range genesis.Accounts(seed, n) {
		list[i] = client.NewAccount(a, chainID)
	}
	return list
}

// submit sends a transaction that must be taken.
func (n *node) submit(t *testing.T, tx *client.Tx) string {
	t.Helper()
	hash, err := n.Node.Submit(within(t, patient), tx)
	if err != nil {
		t.Fatalf("submit %s: %v", tx.Type, err)
	}
	if hash != tx.ID() {
		t.Fatalf("the node hashes to %s, the client to %s", hash, tx.ID())
	}
	return hash
}

// accepted waits for a transaction's block to have a root.
func (n *node) accepted(t *testing.T, hash string) client.Status {
	t.Helper()
	s, err := n.Wait(within(t, patient), hash, "ACCEPTED_ON_L2")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if err := n.Call(within(t, patient), method, params, result); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

func (n *node) block(t *testing.T, id any) client.Block {
	t.Helper()
	b, err := n.Block(within(t, patient), id)
	if err != nil {
		t.Fatalf("block %v: %v", id, err)
	}
	return b
}

// rooted waits until the root of the newest decided block is known, and returns that block.
func (n *node) rooted(t *testing.T, number uint64) client.Block {
	t.Helper()
	ctx := within(t, patient)
	for {
		if b, err := n.Block(ctx, "latest"); err == nil && b.Number >= number {
			return b
		}
		select {
		case <-ctx.Done():
			t.Fatalf("block %d never got a root", number)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func strk() felt.Felt { return genesis.STRKAddress() }
