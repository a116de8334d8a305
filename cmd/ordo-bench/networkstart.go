package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// network is an `ordo localnet` of our own.
type network struct {
	nodes []client.Node
	pids  []int // of the nodes

	cmd    *exec.Cmd
	errors *tail
	done   chan struct{}
	err    error
}

// startNetwork runs `ordo localnet` of the binary beside this one in a folder, and waits until all nodes serve.
func startNetwork(ctx context.Context, dir, engine string, validators int, set []string) (*network, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"localnet", "--json", "--every", "1h", "--dir", filepath.Join(dir, "net"), "--base-port", "0", "--validators", strconv.Itoa(validators), "--consensus", engine}
	for _, one := range set {
		args = append(args, "--set", one)
	}
	n := &network{cmd: exec.Command(filepath.Join(filepath.Dir(self), "ordo"), args...), errors: &tail{}, done: make(chan struct{})}
	n.cmd.Stderr = n.errors
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ctrl-C is for us: we stop it in order
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		n.read(out, ready)
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	select {
	case <-ready:
		return n, nil
	case <-n.done:
		return nil, fmt.Errorf("ordo localnet ended before it was ready: %w: %s", errors.Join(n.err), n.errors)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), n.stop())
	case <-time.After(readyTimeout):
		return nil, errors.Join(fmt.Errorf("ordo localnet is not ready after %v: %s", readyTimeout, n.errors), n.stop())
	}
}

// read takes the lines of the network until it ends. The first status after the line that all is ready tells the processes.
func (n *network) read(out io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var line struct {
			Event string          `json:"event"`
			URLs  []string        `json:"urls"`
			Nodes json.RawMessage `json:"nodes"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Event == "ready":
			for _, url := range line.URLs {
				n.nodes = append(n.nodes, client.Node{URL: url, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}})
			}
		case line.Event == "status" && len(n.nodes) > 0 && len(n.pids) == 0:
			var nodes []struct {
				PID int `json:"pid"`
			}
			if json.Unmarshal(line.Nodes, &nodes) != nil {
				continue
			}
			for _, one := range nodes {
				n.pids = append(n.pids, one.PID)
			}
			close(ready)
		}
	}
	_, _ = io.Copy(io.Discard, out)
}

// stop ends the network in order, and with force when that takes too long: no node outlives it.
func (n *network) stop() error {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(90 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.done
		return errors.New("ordo localnet did not stop and was killed")
	}
	if n.err != nil {
		return fmt.Errorf("ordo localnet: %w: %s", n.err, n.errors)
	}
	return nil
}
