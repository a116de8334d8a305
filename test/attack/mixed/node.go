package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// node is an `ordo dev` with default settings. Once it serves its stderr is not read any more, as by a terminal that is stopped
// or a collector that hangs: logs must not hold it up.
type node struct {
	client.Node
	pid    int
	done   chan struct{} // closed when it is reaped
	err    error         // valid after done
	stderr *os.File
	file   string // with what it wrote, when it is read
	cmd    *exec.Cmd
}

// startLimit is for the start, on a machine that has other work too.
const startLimit = 3 * time.Minute

// stopLimit is for the end: decided blocks reach storage, plugins are drained.
const stopLimit = 90 * time.Second

var listening = regexp.MustCompile(`listening on (http://\S+)`)

func startNode(ctx context.Context, o options, data string, group *cgroup) (*node, error) {
	args := append([]string{filepath.Join(o.bin, "ordo"), "dev", "--port", "0", "--log-level", "info", "--data-dir", data}, o.nodeArgs...)
	if group != nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args = append([]string{self, enterRole, group.dir}, args...)
	}
	n := &node{done: make(chan struct{}), cmd: exec.Command(args[0], args[1:]...)}
	n.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	n.cmd.Env = environment()
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed campaign leaves no node behind
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	n.stderr, n.cmd.Stderr = read, write
	if o.readLog {
		read.Close()
		write.Close()
		n.file = data + ".log"
		if write, err = os.Create(n.file); err != nil {
			return nil, err
		}
		n.stderr, n.cmd.Stderr = write, write
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started, ready := make(chan error), make(chan string, 1)
	go func() {
		runtime.LockOSThread() // the kernel tells a child of its parent's end when the thread ends that forked
		err := n.cmd.Start()
		write.Close()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
		_, _ = io.Copy(io.Discard, out)
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	n.pid = n.cmd.Process.Pid
	select {
	case n.URL = <-ready:
		return n, nil
	case <-n.done:
		err = fmt.Errorf("the node ended before it served: %v: %s", n.err, n.said())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startLimit):
		err = fmt.Errorf("the node does not serve after %v", startLimit)
	}
	n.kill()
	return nil, err
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

func (n *node) ended() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// stop ends it in order, with its stderr still unread.
func (n *node) stop() error {
	if n.ended() {
		return fmt.Errorf("it had ended before it was asked to: %v", n.err)
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
		return n.err
	case <-time.After(stopLimit):
		n.kill()
		return fmt.Errorf("it did not end within %v of SIGTERM", stopLimit)
	}
}

func (n *node) kill() {
	if !n.ended() {
		_ = n.cmd.Process.Kill()
		<-n.done
	}
}

// said is what waits in its stderr: the pipe keeps 64 KiB. Only for a node that has ended.
func (n *node) said() string {
	if n.file != "" {
		raw, _ := os.ReadFile(n.file)
		return string(raw)
	}
	_ = n.stderr.SetReadDeadline(time.Now().Add(2 * time.Second)) // a process of its own may have the other end still
	raw, _ := io.ReadAll(io.LimitReader(n.stderr, 1<<20))
	return string(raw)
}

// plugin is a line of ordo_plugins.
type plugin struct {
	Stage      string `json:"stage"`
	Name       string `json:"name"`
	Generation uint64 `json:"generation"`
	State      string `json:"state"`
	Restarts   uint64 `json:"restarts"`
	LastExit   string `json:"last_exit"`
}

func (n *node) plugins(ctx context.Context) (list []plugin, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = n.Call(ctx, "ordo_plugins", []any{}, &list)
	return list, err
}

// ordo runs a command of the binary on the chain that is left.
func ordo(ctx context.Context, o options, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "ordo"), args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(clip(string(out), 1500)))
	}
	return strings.TrimSpace(string(out)), err
}

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
