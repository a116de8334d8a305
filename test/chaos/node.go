package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// core is the name of the core among the targets; the others are stages.
const core = "core"

var stages = []string{"ordering", "execution", "storage", "consensus"}

// node is `ordo dev` over all instances of its core: one data folder, one port.
type node struct {
	client.Node
	bin  string
	tmp  string // its TMPDIR: nothing may be left in it
	args []string
	log  *os.File // what all instances printed

	mu    sync.Mutex
	life  *life
	lives int
	seen  map[int]process // every process that was ever seen under a core
}

// life is one core process.
type life struct {
	number  int
	cmd     *exec.Cmd
	started time.Time
	asked   bool          // the test ended it
	done    chan struct{} // closed when it is reaped
	err     error         // valid after done
}

func (l *life) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// process is one entry of /proc. The time of the start tells it from a later one with the same number.
type process struct {
	pid, parent, group int
	start, state       string
	stage              string // of a plugin
}

func newNode(bin, dir string, flags ...string) (*node, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	n := &node{bin: bin, tmp: filepath.Join(dir, "tmp"), seen: map[int]process{}}
	if err := os.MkdirAll(n.tmp, 0o700); err != nil {
		return nil, err
	}
	if n.log, err = os.Create(filepath.Join(dir, "node.log")); err != nil {
		return nil, err
	}
	n.URL = "http://" + address.String()
	n.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 20 * time.Second}
	n.args = append([]string{"dev", "--port", strconv.Itoa(address.Port)}, flags...)
	return n, nil
}

// environment is ours without what would configure a node.
func (n *node) environment() []string {
	env := []string{"TMPDIR=" + n.tmp, "GOTRACEBACK=all"}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasPrefix(name, "ORDO_"), name == "TMPDIR", name == "GOTRACEBACK",
			name == "HOST", name == "PORT", name == "SEED", name == "CHAIN_ID", name == "ACCOUNTS":
		default:
			env = append(env, entry)
		}
	}
	return env
}

// launch begins the next instance. It does not wait until the node serves.
func (n *node) launch() (*life, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lives++
	l := &life{number: n.lives, cmd: exec.Command(filepath.Join(n.bin, "ordo"), n.args...), started: time.Now(), done: make(chan struct{})}
	l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = n.environment(), n.log, n.log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed campaign leaves no node behind
	n.note("instance %d begins", l.number)
	started := make(chan error)
	go l.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	n.life = l
	return l, nil
}

// run waits on the thread that forked: the kernel tells a child of its parent's end when that thread ends.
func (l *life) run(started chan<- error) {
	runtime.LockOSThread()
	err := l.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	l.err = l.cmd.Wait()
	close(l.done)
}

func (n *node) current() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// note writes a line of ours between those of the node.
func (n *node) note(format string, args ...any) {
	fmt.Fprintf(n.log, "--- %s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// find returns the processes of the targets that are there now.
func (n *node) find(targets []string) (found []process) {
	l := n.current()
	if l.ended() {
		return nil
	}
	all := processes()
	for _, p := range all {
		if p.pid == l.cmd.Process.Pid {
			p.stage = core
		} else if p.parent != l.cmd.Process.Pid {
			continue
		}
		for _, target := range targets {
			if p.stage == target && p.state != "Z" {
				found = append(found, p)
			}
		}
	}
	return found
}

// look remembers the processes of the node, to find orphans later: its plugins and whatever runs in their groups.
func (n *node) look() {
	l := n.current()
	all := processes()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range all {
		_, ours := n.seen[p.group]
		if p.parent == l.cmd.Process.Pid || ours {
			n.seen[p.pid] = p
		}
	}
}

// orphans lists processes that should have ended with their core.
func (n *node) orphans() (left []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	living := processes()
	for _, p := range n.seen {
		now, ok := living[p.pid]
		if !ok || now.start != p.start || now.state == "Z" {
			delete(n.seen, p.pid)
			continue
		}
		if n.life.ended() || now.parent != n.life.cmd.Process.Pid && living[now.group].parent != n.life.cmd.Process.Pid {
			left = append(left, fmt.Sprintf("%s (pid %d, state %s)", p.stage, p.pid, now.state))
		}
	}
	return left
}

// processes reads /proc as ps would.
func processes() map[int]process {
	all := map[int]process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp ... 22: starttime; the name may hold anything but ends at the last bracket
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) < 20 {
			continue
		}
		p := process{pid: pid, state: fields[0], start: fields[19]}
		p.parent, _ = strconv.Atoi(fields[1])
		p.group, _ = strconv.Atoi(fields[2])
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		name, _, _ := bytes.Cut(line, []byte{0})
		if stage, ok := strings.CutPrefix(filepath.Base(string(name)), "ordo-"); ok {
			p.stage, _, _ = strings.Cut(stage, "-")
		}
		all[pid] = p
	}
	return all
}

// plugin is a line of ordo_plugins.
type plugin struct {
	Stage      string `json:"stage"`
	PID        int    `json:"pid"`
	Generation uint64 `json:"generation"`
	State      string `json:"state"`
	Restarts   uint64 `json:"restarts"`
}

// serving says whether the node answers and all its plugins are at work.
func (n *node) serving(ctx context.Context) ([]plugin, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var list []plugin
	if err := n.Call(ctx, "ordo_plugins", nil, &list); err != nil {
		return nil, err
	}
	var height uint64
	if err := n.Call(ctx, "starknet_blockNumber", []any{}, &height); err != nil {
		return nil, err
	}
	if len(list) != len(stages) {
		return list, fmt.Errorf("%d plugins", len(list))
	}
	for _, p := range list {
		if p.State != "" && p.State != "up" {
			return list, fmt.Errorf("%s is %s", p.Stage, p.State)
		}
	}
	return list, nil
}

// stop asks the node to end and says how that went.
func (n *node) stop() error {
	l := n.current()
	n.look()
	if l.ended() {
		return fmt.Errorf("the node had ended before it was asked to: %v", l.err)
	}
	l.asked = true
	n.note("SIGTERM")
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.done:
		return l.err
	case <-time.After(40 * time.Second):
		n.dump()
		return errors.New("the node does not end on SIGTERM")
	}
}

// dump ends a node that hangs, and has it print where.
func (n *node) dump() {
	l := n.current()
	if l.ended() {
		return
	}
	l.asked = true
	n.note("SIGQUIT, for the goroutines")
	_ = l.cmd.Process.Signal(syscall.SIGCONT)
	_ = l.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-l.done:
	case <-time.After(10 * time.Second):
		_ = l.cmd.Process.Kill()
		<-l.done
	}
}

// end makes sure that nothing runs on.
func (n *node) end() {
	if l := n.current(); l != nil && !l.ended() {
		l.asked = true
		_ = l.cmd.Process.Kill()
		<-l.done
	}
	n.log.Close()
}

// lastWords is the end of what the node printed.
func (n *node) lastWords(lines int) string {
	raw, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// why is what the last instance said about its end.
func (n *node) why() string {
	raw, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		switch {
		case strings.HasPrefix(line, "--- ") && strings.HasSuffix(line, "begins\n"):
			found = nil
		case strings.HasPrefix(line, "ordo: "), strings.Contains(line, "fault="), strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
			found = append(found, line)
		}
	}
	if found == nil {
		return n.lastWords(12)
	}
	return strings.Join(found, "")
}

// alarms are the lines that no process may ever print, whatever is done to it.
func (n *node) alarms() (found []string) {
	raw, err := os.ReadFile(n.log.Name())
	if err != nil {
		return []string{err.Error()}
	}
	for line := range strings.Lines(string(raw)) {
		for _, alarm := range []string{"the node stops: fault=", "panic: ", "panicked at", "fatal error: ", "DATA RACE"} {
			if strings.Contains(line, alarm) && !strings.HasPrefix(line, "--- ") {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// leftovers are what a node that was stopped in peace has left in its temp folder. A run folder without a lock may be of
// a node that begins this moment, so it is removed when it is old: here it never is.
func (n *node) leftovers() (names []string) {
	left, _ := os.ReadDir(n.tmp)
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "ordo-run-") {
			if _, err := os.Stat(filepath.Join(n.tmp, f.Name(), "lock")); err != nil {
				continue
			}
		}
		names = append(names, f.Name())
	}
	return names
}
