// Package nodetest starts nodes for tests: real processes of bin/ordo, which a test stops, kills and asks. It is for tests and for the
// programs of test alone.
package nodetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// Process is a running `ordo` and the client of its JSON-RPC, which has an address once it serves.
type Process struct {
	client.Node
	Cmd  *exec.Cmd
	Out  *Output // what it prints on both streams, unless Cmd had its own
	done chan struct{}
	err  error // valid after done
}

// Start runs a command that is an ordo, or becomes one. Where Cmd has no environment or no streams of its own it gets Environment and
// Out. The kernel kills the node when the process of the test ends.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Out: new(Output), done: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = Environment()
	}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.Out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel tells a child of its parent's end when the thread ends that forked
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Run is Start for a test: the end of the test stops the node, and a test that failed shows what it printed.
func Run(t testing.TB, cmd *exec.Cmd, stopLimit time.Duration) *Process {
	t.Helper()
	hearSignals(t)
	p, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(stopLimit); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text := p.Out.String()
			t.Logf("%s printed:\n%s", strings.Join(cmd.Args, " "), text[max(0, len(text)-20_000):])
		}
	})
	return p
}

// hearSignals has signals that are ignored here handled for the time of the test: what a process starts inherits that it ignores them,
// and a test that runs in the background of a shell ignores some.
func hearSignals(t testing.TB) {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			c := make(chan os.Signal, 1)
			signal.Notify(c, sig)
			t.Cleanup(func() { signal.Reset(sig); signal.Ignore(sig) })
		}
	}
}

// Environment is ours without what would configure a node.
func Environment() []string {
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

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// Serving waits until the node says where it listens.
func (p *Process) Serving(ctx context.Context) error {
	m, ok := p.Out.Await(ctx, listening, p.done)
	switch {
	case ok:
		p.URL = m[1]
		return nil
	case p.Ended():
		return fmt.Errorf("the node ended before it served: %w\n%s", p.err, p.Out)
	default:
		return fmt.Errorf("the node does not serve: %w\n%s", ctx.Err(), p.Out)
	}
}

// Serve is Serving for a test.
func (p *Process) Serve(t testing.TB, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := p.Serving(ctx); err != nil {
		t.Fatal(err)
	}
}

// Done is closed when the node has ended; Err says how.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the node has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err waits for the end of the node and returns how that was: nil, or an *exec.ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// PID is the number of the core's process.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Stop asks the node to end and tells when it does not end well, or when a process below it outlives it. A node that hangs prints its
// goroutines before it is killed. For one that has ended before it does nothing.
func (p *Process) Stop(limit time.Duration) error {
	if p.Ended() {
		return nil
	}
	children := p.Children()
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("the node ended with %w", p.err)
		}
		for _, c := range children {
			if c.Alive() {
				return fmt.Errorf("%s (pid %d) outlives the node", c.Name, c.PID)
			}
		}
		return nil
	case <-time.After(limit):
	}
	p.Dump(limit)
	return fmt.Errorf("the node does not end within %s of SIGTERM", limit)
}

// Dump ends a node that hangs, and has it print where.
func (p *Process) Dump(limit time.Duration) {
	_ = p.Cmd.Process.Signal(syscall.SIGCONT)
	_ = p.Cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(limit):
		_ = p.Cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends the core without warning, and waits for its end.
func (p *Process) Kill() error {
	if err := p.Cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}
