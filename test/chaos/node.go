package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/nodetest"
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

	mu      sync.Mutex
	newest  *instance
	started int             // instances
	seen    map[int]process // every process that was ever seen under a core
}

// instance is one core process.
type instance struct {
	*nodetest.Process
	number int
	asked  bool // the test ended it
}

// process is a process of this machine.
type process struct {
	nodetest.Proc
	stage string // of a plugin
}

// processes are all of this machine.
func processes() map[int]process {
	all := map[int]process{}
	for pid, p := range nodetest.Processes() {
		stage := ""
		if rest, ok := strings.CutPrefix(p.Name, "ordo-"); ok {
			stage, _, _ = strings.Cut(rest, "-")
		}
		all[pid] = process{p, stage}
	}
	return all
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

// environment is that of a node whose temp folder can be looked through.
func (n *node) environment() []string {
	return append(nodetest.Environment(), "TMPDIR="+n.tmp, "GOTRACEBACK=all")
}

// launch begins the next instance. It does not wait until the node serves.
func (n *node) launch() (*instance, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started++
	n.note("instance %d begins", n.started)
	cmd := exec.Command(filepath.Join(n.bin, "ordo"), n.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.environment(), n.log, n.log
	p, err := nodetest.Start(cmd)
	if err != nil {
		return nil, err
	}
	n.newest = &instance{Process: p, number: n.started}
	return n.newest, nil
}

func (n *node) current() *instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newest
}

// note writes a line of ours between those of the node.
func (n *node) note(format string, args ...any) {
	fmt.Fprintf(n.log, "--- %s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// find returns the processes of the targets that are there now.
func (n *node) find(targets []string) (found []process) {
	i := n.current()
	if i.Ended() {
		return nil
	}
	return find(processes(), i.PID(), targets)
}

// find returns the targets among the processes: the core with this number and its plugins.
func find(all map[int]process, pid int, targets []string) (found []process) {
	for _, p := range all {
		if p.PID == pid {
			p.stage = core
		} else if p.Parent != pid {
			continue
		}
		if slices.Contains(targets, p.stage) && p.State != "Z" {
			found = append(found, p)
		}
	}
	return found
}

// look remembers the processes of the node, to find orphans later: its plugins and whatever runs in their groups.
func (n *node) look() {
	i := n.current()
	all := processes()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range all {
		_, ours := n.seen[p.Group]
		if p.Parent == i.PID() || ours {
			n.seen[p.PID] = p
		}
	}
}

// orphans lists processes that should have ended with their core.
func (n *node) orphans() (left []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	living := processes()
	for _, p := range n.seen {
		now, ok := living[p.PID]
		if !ok || !now.Same(p.Proc) || now.State == "Z" {
			delete(n.seen, p.PID)
			continue
		}
		if n.newest.Ended() || now.Parent != n.newest.PID() && living[now.Group].Parent != n.newest.PID() {
			left = append(left, fmt.Sprintf("%s (pid %d, state %s)", p.stage, p.PID, now.State))
		}
	}
	return left
}

// plugin is a line of ordo_plugins.
type plugin struct {
	Stage      string `json:"stage"`
	PID        int    `json:"pid"`
	Generation uint64 `json:"generation"`
	State      string `json:"state"`
	Restarts   uint64 `json:"restarts"`
}

// serving says whether a node answers and all its plugins are at work.
func serving(ctx context.Context, n client.Node) ([]plugin, error) {
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
	i := n.current()
	n.look()
	if i.Ended() {
		return fmt.Errorf("the node had ended before it was asked to: %v", i.Err())
	}
	i.asked = true
	n.note("SIGTERM")
	return i.Stop(40 * time.Second)
}

// dump ends a node that hangs, and has it print where.
func (n *node) dump() {
	i := n.current()
	if i.Ended() {
		return
	}
	i.asked = true
	n.note("SIGQUIT, for the goroutines")
	i.Dump(10 * time.Second)
}

// end makes sure that nothing runs on.
func (n *node) end() {
	if i := n.current(); i != nil && !i.Ended() {
		i.asked = true
		_ = i.Kill()
	}
	n.log.Close()
}

// lastOutput is the end of what the node printed.
func (n *node) lastOutput(lines int) string {
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
		return n.lastOutput(12)
	}
	return strings.Join(found, "")
}

// alarms are the lines of a log that no process may ever print, whatever is done to it.
func alarms(log string) (found []string) {
	raw, err := os.ReadFile(log)
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
