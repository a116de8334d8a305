package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// node is an `ordo dev` with default settings. Once it serves its stderr is not read any more, as by a terminal that is stopped
// or a collector that hangs: logs must not hold it up.
type node struct {
	*nodetest.Process
	stderr *os.File
	file   string // with what it wrote, when it is read
}

// startLimit is for the start, on a machine that has other work too.
const startLimit = 3 * time.Minute

// stopLimit is for the end: decided blocks reach storage, plugins are drained.
const stopLimit = 90 * time.Second

func startNode(ctx context.Context, o options, data string, group *cgroup) (*node, error) {
	args := append([]string{filepath.Join(o.bin, "ordo"), "dev", "--port", "0", "--log-level", "info", "--data-dir", data}, o.nodeArgs...)
	if group != nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args = append([]string{self, enterRole, group.dir}, args...)
	}
	n := new(node)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	n.stderr = read
	if o.readLog {
		read.Close()
		write.Close()
		n.file = data + ".log"
		if write, err = os.Create(n.file); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = write
	n.Process, err = nodetest.Start(cmd)
	write.Close() // the node has its own
	if err != nil {
		return nil, err
	}
	n.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := n.Serving(ctx); err != nil {
		n.kill()
		return nil, fmt.Errorf("%w: %s", err, n.said())
	}
	return n, nil
}

// stop ends it in order, with its stderr still unread.
func (n *node) stop() error {
	if n.Ended() {
		return fmt.Errorf("it had ended before it was asked to: %v", n.Err())
	}
	return n.Stop(stopLimit)
}

func (n *node) kill() {
	if !n.Ended() {
		_ = n.Kill()
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
	cmd.Env = nodetest.Environment()
	var errs strings.Builder // and how far it is
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = errors.Join(err, errors.New(clip(errs.String()+string(out), 1500)))
	}
	return strings.TrimSpace(string(out)), err
}

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
