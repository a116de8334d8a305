package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/need"
)

// mint makes blocks and checks that each is made: its balance is the number of mints.
func (n *node) mint(t *testing.T, times int) {
	t.Helper()
	account := felt.MustHex("0xabc")
	before, err := n.Balance(within(t, patient), "pre_confirmed", strk(), account)
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		if err := n.Call(within(t, patient), "devnet_mint", map[string]any{"address": account.Hex(), "amount": 1, "unit": "FRI"}, nil); err != nil {
			t.Fatalf("mint %d of %d: %v", i, times, err)
		}
	}
	after, err := n.Balance(within(t, patient), "pre_confirmed", strk(), account)
	if err != nil || after.Int64()-before.Int64() != int64(times) {
		t.Fatalf("balance %s after %d mints on %s: %v", after, times, before, err)
	}
}

// ends waits for the end of the process.
func (n *node) ends(t *testing.T) error {
	t.Helper()
	select {
	case <-n.Done():
		return n.Err()
	case <-time.After(patient):
		n.kill(t)
		t.Fatal("the node does not end")
		return nil
	}
}

// unread is a pipe whose reader never reads, and that is full already.
func unread(t *testing.T) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(reader) })
	filler, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(filler)
	for block := make([]byte, 4096); err == nil; {
		_, err = unix.Write(filler, block)
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	// The node gets it as a shell would hand it over: blocking.
	if err := unix.SetNonblock(int(w.Fd()), false); err != nil {
		t.Fatal(err)
	}
	return w
}

// withoutReader is a pipe whose reader is gone.
func withoutReader(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// freePort is for nodes whose stdout is not read.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// TestTerminal: whatever happens to stdout and stderr, blocks go on at the level trace, and SIGTERM ends the node in order.
func TestTerminal(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *exec.Cmd){
		"stderr is not read": func(t *testing.T, c *exec.Cmd) { c.Stderr = unread(t) },
		"stdout is not read": func(t *testing.T, c *exec.Cmd) { c.Stdout = unread(t) },
		"neither has a reader": func(t *testing.T, c *exec.Cmd) {
			c.Stdout, c.Stderr = withoutReader(t), withoutReader(t)
		},
		"the device is full": func(t *testing.T, c *exec.Cmd) {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				need.Absent(t, err.Error(), "run it on Linux")
			}
			t.Cleanup(func() { full.Close() })
			c.Stdout, c.Stderr = full, full
		},
	} {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			n := launchWith(t, func(c *exec.Cmd) { change(t, c) }, "dev", "--port", port, "--accounts", "2", "--log-level", "trace")
			n.URL = "http://127.0.0.1:" + port
			ctx := within(t, patient)
			for n.Call(ctx, "starknet_chainId", []any{}, nil) != nil {
				select {
				case <-n.Done():
					t.Fatalf("it ended: %v", n.Err())
				case <-ctx.Done():
					t.Fatal("it does not serve")
				case <-time.After(20 * time.Millisecond):
				}
			}
			n.mint(t, 50)
			if err := n.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := n.ends(t); err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// TestHangup: a closed terminal drains the node, also when the signal comes twice; nohup keeps it.
func TestHangup(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	n := start(t, "--accounts", "2")
	n.mint(t, 1)
	for range 2 {
		if err := n.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.ends(t); err != nil || len(n.Out.Lines("SIGHUP")) != 1 {
		t.Errorf("%v, it said\n%s", err, n.Out)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("%s is left behind", left[0].Name())
	}

	nohup, err := exec.LookPath("nohup")
	if err != nil {
		need.Absent(t, err.Error(), "install coreutils")
	}
	kept := served(t, launchWith(t, func(c *exec.Cmd) {
		c.Path, c.Args = nohup, append([]string{"nohup", c.Path}, c.Args[1:]...)
	}, "dev", "--port", "0", "--accounts", "2"))
	if err := kept.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	kept.mint(t, 3)
	if found := kept.Out.Lines("SIGHUP"); len(found) > 0 {
		t.Errorf("with nohup: %v", found)
	}
}

// TestShutdownDeadline: plugins that hang, and a client that does not read, do not keep a node from ending; it says what
// hung, and what was acknowledged is there at the next start.
func TestShutdownDeadline(t *testing.T) {
	for _, hung := range []string{"ordo-storage-badger", "ordo-execution-blockifier", "all"} {
		t.Run(hung, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"--data-dir", dir, "--accounts", "3", "--block-generation-on", "demand",
				"--plugin-health-timeout", "0", "--plugin-call-timeout", "0", "--shutdown-timeout", "5s"}
			n := start(t, args...)
			var hashes []string // acknowledged, and in no block
			for i, a := range accounts(0, 3) {
				hashes = append(hashes, n.submit(t, a.Invoke(0, client.Transfer(strk(), felt.FromUint64(uint64(500+i)), 3))))
			}
			slowReader(t, n)
			for _, p := range n.Children() {
				if p.Name == hung || hung == "all" && strings.HasPrefix(p.Name, "ordo-") {
					if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
						t.Fatal(err)
					}
				}
			}
			plugins := n.Children()
			if err := n.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			err := n.ends(t)
			stage := strings.TrimPrefix(strings.ReplaceAll(hung, "ordo-", ""), "all")
			stage = strings.ReplaceAll(stage, "-", "/")
			if err == nil || !strings.Contains(n.Out.String(), stage) || !strings.Contains(n.Out.String(), "ordo: ") {
				t.Errorf("it ended with %v and named no %s:\n%s", err, stage, n.Out)
			}
			for _, p := range plugins {
				if p.Alive() {
					t.Errorf("%s (pid %d) outlives the node", p.Name, p.PID)
				}
			}
			again := start(t, args...)
			again.call(t, "devnet_createBlock", []any{}, nil)
			for _, hash := range hashes {
				again.accepted(t, hash)
			}
		})
	}
}

// TestSecondSignal: it ends the core at once, and the plugins with it, when the first one takes too long.
func TestSecondSignal(t *testing.T) {
	n := start(t, "--accounts", "2", "--plugin-health-timeout", "0", "--shutdown-timeout", "10m")
	plugins := n.Children()
	for _, p := range plugins {
		if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	// SIGHUP begins the end and is not the first of two: one SIGTERM behind it changes nothing, the next one does. Two that
	// are pending at once are one, so they are sent until the process has ended.
	deadline := time.Now().Add(patient)
	for ended, s := false, syscall.SIGHUP; !ended; {
		_ = n.Cmd.Process.Signal(s)
		select {
		case <-n.Done():
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		if len(n.Out.Lines("SIGHUP")) > 0 {
			s = syscall.SIGTERM
		}
		if !ended && time.Now().After(deadline) {
			_ = n.Cmd.Process.Kill()
			t.Fatal("it does not end")
		}
	}
	if status, ok := n.Cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %s", n.Cmd.ProcessState)
	}
	for deadline = time.Now().Add(patient); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		for _, p := range plugins {
			if p.Alive() {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d plugins outlive the core", left)
		}
	}
}

// TestMixedFolders: the journal of one chain beside the storage of another is refused in words, although both have the same
// chain id and genesis and storage has more blocks.
func TestMixedFolders(t *testing.T) {
	short, long := t.TempDir(), t.TempDir()
	for dir, mints := range map[string]int{short: 2, long: 6} {
		n := start(t, "--accounts", "2", "--data-dir", dir)
		// Within one second the same mints make the same blocks, and one chain would be the beginning of the other.
		other := map[string]any{"address": "0xdef", "amount": mints, "unit": "FRI"}
		if err := n.Call(within(t, patient), "devnet_mint", other, nil); err != nil {
			t.Fatal(err)
		}
		n.mint(t, mints)
		n.rooted(t, uint64(mints)+1)
		n.stop(t)
	}
	if err := os.RemoveAll(filepath.Join(short, "storage")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(short, "storage"), os.DirFS(filepath.Join(long, "storage"))); err != nil {
		t.Fatal(err)
	}
	n := launch(t, "dev", "--port", "0", "--accounts", "2", "--data-dir", short)
	if err := n.ends(t); err == nil || !strings.Contains(n.Out.String(), "of two chains") || !strings.Contains(n.Out.String(), "move the folder journal away") {
		t.Errorf("%v, it said\n%s", err, n.Out)
	}
}

// TestOddPaths: a path that is not UTF-8 is named, with what to do, wherever it comes from.
func TestOddPaths(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "odd\xff")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Skip(err) // a file system that takes no such name
	}
	for what, change := range map[string]func(*exec.Cmd){
		"--data-dir":         func(c *exec.Cmd) { c.Args = append(c.Args, "--data-dir", odd) },
		"ORDO_DATA_DIR":      func(c *exec.Cmd) { c.Env = append(c.Env, "ORDO_DATA_DIR="+odd) },
		"TMPDIR":             func(c *exec.Cmd) { c.Env = append(c.Env, "TMPDIR="+odd) },
		"data folder":        func(c *exec.Cmd) { c.Dir, c.Args = odd, append(c.Args, "--data-dir", "here") },
		"config: --ordering": func(c *exec.Cmd) { c.Args = append(c.Args, "--ordering", odd+"/plugin") },
	} {
		n := launchWith(t, change, "dev", "--port", "0", "--accounts", "2")
		if err := n.ends(t); err == nil || !strings.Contains(n.Out.String(), `odd\xff`) || !strings.Contains(n.Out.String(), "UTF-8") || !strings.Contains(n.Out.String(), what) {
			t.Errorf("%s: %v, it said\n%s", what, err, n.Out)
		}
	}
}

// TestInherited: what the shell that starts a node has open is open in no plugin; what the kernel is to end first when
// memory runs out is told to it.
func TestInherited(t *testing.T) {
	secret, err := os.Create(filepath.Join(t.TempDir(), "of the shell"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	n := served(t, launchWith(t, func(c *exec.Cmd) { c.ExtraFiles = []*os.File{secret} }, "dev", "--port", "0", "--accounts", "2"))
	adjust := func(pid int) int {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil {
			t.Fatal(err)
		}
		score, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
		return score
	}
	own, plugins := adjust(n.Cmd.Process.Pid), 0
	for _, p := range n.Children() {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID))
		for _, link := range links {
			if to, _ := os.Readlink(link); to == secret.Name() {
				t.Errorf("%s has %s open as %s", p.Name, to, filepath.Base(link))
			}
		}
		if score := adjust(p.PID); score <= own && own < 1000 {
			t.Errorf("%s: oom_score_adj %d, the core has %d", p.Name, score, own)
		}
		plugins++
	}
	if plugins < 4 {
		t.Errorf("%d plugins", plugins)
	}
}

// slowReader is a client that asks for much and reads nothing.
func slowReader(t *testing.T, n *node) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	one := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"starknet_getClassAt","params":["latest","%s"]}`, strk().Hex())
	body := "[" + strings.Repeat(one+",", 99) + one + "]"
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
}
