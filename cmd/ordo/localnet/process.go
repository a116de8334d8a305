package localnet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/ordo-sequencer/ordo/node/config"
)

// process is one run of a node. Its output goes to the node's log.
type process struct {
	cmd   *exec.Cmd
	log   string
	from  int64 // where its output begins in the log
	done  chan struct{}
	state *os.ProcessState // valid after done
}

// maxLog is how large a node's log may be at its start; a larger one is kept as the one before.
const maxLog = 64 << 20

// launch starts a node. It is a process group of its own, so that ctrl-C reaches only this process, and the kernel kills it when this process ends.
func launch(binary, dir string, node int, flags []string) (*process, error) {
	folder := folderOf(dir, node)
	p := &process{log: filepath.Join(folder, "log"), done: make(chan struct{})}
	if info, err := os.Stat(p.log); err == nil && info.Size() > maxLog {
		if err := os.Rename(p.log, p.log+".before"); err != nil {
			return nil, err
		}
	}
	out, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if p.from, err = out.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(binary, append([]string{"run", "--config", filepath.Join(folder, "ordo.toml")}, flags...)...)
	p.cmd.Env = environment(os.Environ())
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel tells a child of its parent's end when the thread ends that forked
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its state
			p.state = p.cmd.ProcessState
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("node %d: %w", node, err)
	}
	return p, nil
}

// environment is one without variables that would change the settings of every node.
func environment(all []string) (list []string) {
	var names []string
	for _, o := range config.Options() {
		names = append(names, o.Env(), o.DevnetEnv)
	}
	for _, entry := range all {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.Contains(names, name) {
			list = append(list, entry)
		}
	}
	return list
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// how tells how a process that is over has ended.
func (p *process) how() string {
	<-p.done
	if ws, ok := p.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return "signal: " + ws.Signal().String()
	}
	return fmt.Sprintf("exit status %d", p.state.ExitCode())
}

// tail is the end of what the process has printed.
func (p *process) tail(lines int) string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(p.from, info.Size()-16<<10)
	text, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// signal sends a signal to the node and to every process below it. The node is the first to stop and the last to go on: it is not to see that its
// plugins stand still.
func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return errors.New("it does not run")
	}
	below, err := descendants(p.pid())
	if err != nil {
		return err
	}
	order := append([]int{p.pid()}, below...)
	if s == syscall.SIGCONT {
		slices.Reverse(order)
	}
	for _, pid := range order {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}
