package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// network is an `ordo localnet` whose nodes are struck.
type network struct {
	bin, dir string
	process  *nodetest.Process
	log      *os.File
	members  []*member
}

// member is a node of a network.
type member struct {
	client.Node
	number int

	mu     sync.Mutex
	starts int  // again
	busy   int  // restarts that are due or at work
	served bool // it has served since its newest start
	stops  int  // it has ended by itself so often
}

var ready = regexp.MustCompile(`localnet is ready`)

// newNetwork makes a network and starts it.
func newNetwork(ctx context.Context, o options, dir string, settings ...string) (*network, error) {
	n := &network{bin: filepath.Join(o.bin, "ordo"), dir: filepath.Join(dir, "net")}
	var err error
	if n.log, err = os.Create(filepath.Join(dir, "chaos.log")); err != nil {
		return nil, err
	}
	args := []string{"localnet", "--dir", n.dir, "--validators", strconv.Itoa(o.localnet), "--consensus", o.consensus, "--base-port", strconv.Itoa(o.basePort), "--chain-id", "TESTNET", "--every", "10m"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	if n.process, err = nodetest.Start(exec.Command(n.bin, args...)); err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, 2*upLimit)
	defer cancel()
	if _, ok := n.process.Out.Await(starting, ready, n.process.Done()); !ok {
		n.end()
		return nil, fmt.Errorf("the localnet does not start:\n%s", n.process.Out)
	}
	var status struct {
		Nodes []struct {
			URL string `json:"url"`
		} `json:"nodes"`
	}
	out, err := n.command(starting, "status", "--json")
	if err == nil {
		err = json.Unmarshal(out, &status)
	}
	if err != nil {
		n.end()
		return nil, err
	}
	for k, one := range status.Nodes {
		m := &member{number: k, served: true}
		m.URL = one.URL
		m.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 20 * time.Second}
		n.members = append(n.members, m)
	}
	return n, nil
}

// command does something to the network.
func (n *network) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.bin, append([]string{"localnet", "--dir", n.dir}, args...)...)
	cmd.Env = nodetest.Environment()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("ordo localnet %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, err
}

func (n *network) note(format string, args ...any) {
	if n == nil { // it did not start
		return
	}
	fmt.Fprintf(n.log, "--- %s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// core is the process of a node's core; 0: there is none.
func (n *network) core(all map[int]process, m *member) int {
	config := filepath.Join(n.folder(m), "ordo.toml")
	for pid, p := range all {
		if p.Parent != n.process.PID() || p.State == "Z" {
			continue
		}
		if line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil && bytes.Contains(line, []byte(config+"\x00")) {
			return pid
		}
	}
	return 0
}

func (n *network) folder(m *member) string {
	return filepath.Join(n.dir, "node-"+strconv.Itoa(m.number))
}

// restart starts a node again after a while.
func (n *network) restart(ctx context.Context, m *member, after time.Duration) {
	m.mu.Lock()
	m.busy++
	m.starts++
	m.served = false
	m.mu.Unlock()
	go func() {
		defer func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.busy--
		}()
		if !sleep(ctx, after) {
			return
		}
		starting, cancel := context.WithTimeout(ctx, upLimit)
		defer cancel()
		// An error is that of the end before, or of one more strike while it starts: whether it serves is looked at anyway.
		if _, err := n.command(starting, "restart", strconv.Itoa(m.number)); err != nil {
			n.note("node %d: %v", m.number, err)
		}
	}()
}

// standing is what a node is at.
func (m *member) standing() (busy, served bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.busy > 0, m.served
}

// restarts is how often nodes were started again.
func (n *network) restarts() (all int) {
	for _, m := range n.members {
		m.mu.Lock()
		all += m.starts
		m.mu.Unlock()
	}
	return all
}

// tail is the end of what a node has printed.
func (n *network) tail(m *member, lines int) string {
	raw, err := os.ReadFile(filepath.Join(n.folder(m), "log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// stop ends the network in order.
func (n *network) stop() error { return n.process.Stop(2 * upLimit) }

// end makes sure that nothing runs on.
func (n *network) end() {
	if !n.process.Ended() {
		_ = n.process.Kill()
	}
	n.log.Close()
}
