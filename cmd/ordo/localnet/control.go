package localnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
)

// Request is what a control command asks of the localnet that runs in a folder: one a connection, one line of JSON.
type Request struct {
	Command string          `json:"command"`
	Node    int             `json:"node,omitempty"`
	Groups  string          `json:"groups,omitempty"` // of partition
	Delay   string          `json:"delay,omitempty"`
	Jitter  time.Duration   `json:"jitter,omitempty"`
	Rate    int64           `json:"rate,omitempty"`
	Follow  Source          `json:"follow,omitempty"`
	Message *faults.Message `json:"message,omitempty"` // of fault; nil ends all rules
}

// Answer is what comes back: one line of JSON.
type Answer struct {
	Error  string  `json:"error,omitempty"`
	Node   *int    `json:"node,omitempty"` // that the action was done to, or that is new
	State  State   `json:"state,omitempty"`
	URL    string  `json:"url,omitempty"`
	Faults string  `json:"faults,omitempty"`
	Status *Status `json:"status,omitempty"`
}

// Bounds of the control socket.
const (
	maxRequest  = 1 << 16
	maxAnswer   = 4 << 20
	requestTime = 5 * time.Second
	actionTime  = 5 * time.Minute
)

// control serves the socket in the folder of the localnet.
type control struct {
	net      *Localnet
	stop     func() // ends the localnet
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// socketPath is the socket by a path that is short enough for any folder: the folder is open until close is called.
func socketPath(dir string) (path string, closing func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), controlFile), func() { f.Close() }, nil
}

// serveControl takes the socket. The caller holds the lock of the folder: a socket that is there is of a process that has ended.
func serveControl(n *Localnet, stop func()) (*control, error) {
	if err := os.Remove(filepath.Join(n.dir, controlFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	path, closing, err := socketPath(n.dir)
	if err != nil {
		return nil, err
	}
	defer closing()
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its path is not that of the file any more
	c := &control{net: n, stop: stop, listener: l}
	if err := os.Chmod(filepath.Join(n.dir, controlFile), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work.Go(c.accept)
	return c, nil
}

func (c *control) close() {
	c.cancel()
	_ = c.listener.Close()
	_ = os.Remove(filepath.Join(c.net.dir, controlFile))
	c.work.Wait()
}

func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.work.Go(func() {
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(requestTime))
			line, err := bufio.NewReaderSize(io.LimitReader(conn, maxRequest), 4096).ReadBytes('\n')
			var r Request
			if err == nil {
				err = json.Unmarshal(line, &r)
			}
			a := Answer{}
			if err != nil {
				a.Error = "the request is not a line of JSON"
			} else {
				a = c.answer(r)
			}
			_ = conn.SetWriteDeadline(time.Now().Add(requestTime))
			_ = json.NewEncoder(conn).Encode(a)
		})
	}
}

// answer carries a request out.
func (c *control) answer(r Request) Answer {
	ctx, cancel := context.WithTimeoutCause(c.ctx, actionTime, fmt.Errorf("not done within %s", actionTime))
	defer cancel()
	n := c.net
	if r.Command == "status" {
		s := n.Status(ctx)
		return Answer{Status: &s}
	}
	n.actions.Lock()
	defer n.actions.Unlock()
	if c.ctx.Err() != nil {
		return Answer{Error: "the localnet ends"}
	}
	node, err := r.Node, error(nil)
	switch r.Command {
	case "kill":
		err = n.Kill(node)
	case "pause":
		err = n.Pause(node)
	case "resume":
		err = n.Resume(node)
	case "restart":
		err = n.Restart(ctx, node)
	case "twin":
		node, err = n.Add(ctx, Member{Kind: Twin, Of: node})
	case "add":
		node, err = n.Add(ctx, Member{Kind: Follower, Follow: r.Follow})
	case "partition":
		return c.faults(func(p faults.Plan) (faults.Plan, error) { return p.Partition(r.Groups) })
	case "heal":
		return c.faults(func(p faults.Plan) (faults.Plan, error) { return p.Heal(), nil })
	case "delay":
		return c.faults(func(p faults.Plan) (faults.Plan, error) { return p.Delayed(r.Delay, r.Jitter, r.Rate) })
	case "fault":
		err := n.Fault(r.Message)
		n.mu.Lock()
		defer n.mu.Unlock()
		a := Answer{Faults: n.faultText()}
		if err != nil {
			a.Error = err.Error()
		}
		return a
	case "stop":
		c.stop()
		return Answer{}
	default:
		return Answer{Error: fmt.Sprintf("there is no command %q", r.Command)}
	}
	if err != nil {
		return Answer{Error: err.Error()}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return Answer{Node: &node, State: n.nodes[node].state, URL: n.layout.URL(node)}
}

func (c *control) faults(next func(faults.Plan) (faults.Plan, error)) Answer {
	err := c.net.Change(next)
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	a := Answer{Faults: c.net.faultText()}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// Ask sends a request to the localnet that runs in a folder.
func Ask(ctx context.Context, dir string, r Request) (Answer, error) {
	a := Answer{}
	if _, err := readLayout(dir); err != nil {
		return a, fmt.Errorf("localnet: %w: make one with ordo localnet, or name its folder with --dir", err)
	}
	path, closing, err := socketPath(dir)
	if err != nil {
		return a, err
	}
	defer closing()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return a, fmt.Errorf("localnet: no localnet runs in %s: start it with ordo localnet --dir %s", dir, dir)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return a, fmt.Errorf("localnet: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxAnswer)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		return a, fmt.Errorf("localnet: it ended before it answered: %w", err)
	}
	if a.Error != "" {
		return a, errors.New("localnet: " + a.Error)
	}
	return a, nil
}
