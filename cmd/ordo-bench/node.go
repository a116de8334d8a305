package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// devNode is an `ordo dev` of our own.
type devNode struct {
	URL   string
	Begun time.Time // of the process
	Data  string

	cmd    *exec.Cmd
	errors *tail
	ready  chan string
	done   chan struct{}
	err    error
}

// readyTimeout is for the start; a store of many millions of keys takes its time.
const readyTimeout = 5 * time.Minute

// startNode runs `ordo dev` of the binary beside this one, with its chain, and what has to survive a crash, in dir, and waits until it
// is ready.
func startNode(ctx context.Context, dir, profile string, args ...string) (*devNode, error) {
	n, err := launch(dir, profile, nil, append([]string{"--port", "0"}, args...)...)
	if err != nil {
		return nil, err
	}
	select {
	case n.URL = <-n.ready:
		return n, nil
	case <-n.done:
		return nil, fmt.Errorf("ordo dev ended before it was ready: %w: %s", n.end(), n.errors)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), n.stop())
	case <-time.After(readyTimeout):
		return nil, errors.Join(fmt.Errorf("ordo dev is not ready after %v: %s", readyTimeout, n.errors), n.stop())
	}
}

// launch starts the process; profile is a file for a CPU profile of the core, or empty.
func launch(dir, profile string, env []string, args ...string) (*devNode, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &devNode{Data: dir, errors: &tail{}, done: make(chan struct{}), ready: make(chan string, 1)}
	binary, command := filepath.Join(filepath.Dir(self), "ordo"), []string{"dev", "--data-dir", dir}
	if profile != "" {
		binary, command = self, append(command, "--cpuprofile", profile)
	}
	n.cmd = exec.Command(binary, append(command, args...)...)
	n.cmd.Env = append(os.Environ(), env...)
	n.cmd.Stderr = n.errors
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ctrl-C is for us: we stop it in order
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.Begun = time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "ordo listening on "); ok {
				n.ready <- at
			}
		}
		_, _ = io.Copy(io.Discard, out)
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	return n, nil
}

// end is why the process ended.
func (n *devNode) end() error {
	if n.err != nil {
		return n.err
	}
	return errors.New("exit status 0")
}

func (n *devNode) pid() int { return n.cmd.Process.Pid }

// stop ends the node in order, and with force when that takes too long.
func (n *devNode) stop() error {
	_ = n.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-n.done:
	case <-time.After(40 * time.Second):
		_ = syscall.Kill(-n.pid(), syscall.SIGKILL)
		<-n.done
		return errors.New("ordo dev did not stop and was killed")
	}
	if n.err != nil {
		return fmt.Errorf("ordo dev: %w: %s", n.err, n.errors)
	}
	return nil
}

// tail keeps the end of what a process says.
type tail struct {
	mu  sync.Mutex
	all []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all = append(t.all, p...); len(t.all) > 64<<10 {
		t.all = t.all[len(t.all)-(32<<10):]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.all))
}

// scratch is a folder for one run, below dir, or below the system's one for such things.
func scratch(dir string) (string, func(), error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, err
		}
	}
	made, err := os.MkdirTemp(dir, "ordo-bench-")
	if err != nil {
		return "", nil, err
	}
	return filepath.Clean(made), func() { os.RemoveAll(made) }, nil
}
