package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// pipeGrace is how long output is read after the process has ended: a child of it may still hold the pipe.
const pipeGrace = 500 * time.Millisecond

// process is one plugin process. It implements go-plugin's runner.Runner, so that go-plugin sees the handshake line and
// nothing else of what the plugin writes.
type process struct {
	cmd   *exec.Cmd
	stage ordov1.Stage
	log   hclog.Logger
	guard *reaper

	mu      sync.Mutex // guards the start against an abort
	aborted bool
	pid     int

	stdin  *os.File       // our end: closed only by our own end
	hello  *io.PipeReader // the handshake line, then nothing until the process ends
	output *output

	killed atomic.Bool   // by us
	done   chan struct{} // closed when the process is reaped and its output is read
	reason string        // why it ended; valid after done
}

func newProcess(cmd *exec.Cmd, stage ordov1.Stage, log hclog.Logger, guard *reaper) *process {
	// A group of its own: ctrl-C in the terminal goes to the node, which drains; the kill reaches the plugin's children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return &process{cmd: cmd, stage: stage, log: log, guard: guard, output: newOutput(log), done: make(chan struct{})}
}

// Start launches the process and begins to read what it writes.
func (p *process) Start(context.Context) error {
	var ends [3][2]*os.File // stdin, stdout, stderr: read end, write end
	closeAll := func() {
		for _, pair := range ends {
			for _, f := range pair {
				if f != nil {
					f.Close()
				}
			}
		}
	}
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll()
			return fmt.Errorf("pipes of the plugin: %w", err)
		}
		ends[i] = [2]*os.File{r, w}
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = ends[0][0], ends[1][1], ends[2][1]
	p.stdin = ends[0][1]
	hello, helloWriter := io.Pipe()
	p.hello = hello
	p.output.read(ends[1][0], ends[2][0], helloWriter)

	if err := p.launch(); err != nil {
		closeAll()
		return err
	}
	ends[0][0].Close()
	ends[1][1].Close()
	ends[2][1].Close()
	return nil
}

func (p *process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aborted {
		return errors.New("start given up")
	}
	started := make(chan error)
	go p.run(started)
	return <-started
}

// abort ends the process, or keeps it from being started.
func (p *process) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
	p.killGroup()
}

// run starts the process and waits for its end on one thread: the kernel sends Pdeathsig when the thread that forked
// ends, so this one has to last as long as the process.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- explainExec(p.cmd.Path, err)
		return
	}
	p.pid = p.cmd.Process.Pid
	p.guard.tell("+", p.pid)
	if err := preferAsVictim(p.pid, p.stage); err != nil {
		p.log.Debug("the kernel cannot be told to end this plugin before the node when memory runs out", "error", err)
	}
	started <- nil

	// Seen but not reaped: the group's number is still ours, so the kill can only hit what the plugin left behind.
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	p.guard.tell("-", p.pid)
	err := p.cmd.Wait()
	p.output.finish(pipeGrace, p.hello)
	p.reason = exitReason(p.cmd.ProcessState, err)
	p.stdin.Close()
	close(p.done)
}

func exitReason(state *os.ProcessState, err error) string {
	if state == nil {
		return fmt.Sprint(err)
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("signal: %s", ws.Signal())
	}
	return fmt.Sprintf("exit status %d", state.ExitCode())
}

// killGroup ends the process and its children now. Safe at any time: after the end it does nothing.
func (p *process) killGroup() {
	select {
	case <-p.done:
	default:
		if p.pid > 0 {
			p.killed.Store(true)
			_ = unix.Kill(-p.pid, unix.SIGKILL)
		}
	}
}

// The rest of runner.Runner.

func (p *process) Stdout() io.ReadCloser { return p.hello }
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }
func (p *process) Name() string          { return p.cmd.Path }
func (p *process) ID() string {
	if p.pid == 0 {
		return ""
	}
	return strconv.Itoa(p.pid)
}
func (p *process) Diagnose(context.Context) string { return "" }
func (p *process) Kill(context.Context) error      { p.killGroup(); return nil }

func (p *process) Wait(context.Context) error {
	<-p.done
	if p.reason != "exit status 0" {
		return errors.New(p.reason)
	}
	return nil
}

// PluginToHost refuses what is not a unix socket: tcp would be open to every user of the machine.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("the plugin listens on %s %s: only unix sockets are used; honour PLUGIN_UNIX_SOCKET_DIR",
			network, address)
	}
	return network, address, nil
}

func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
