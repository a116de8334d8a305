package localnet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"
)

// State is where a node stands.
type State string

// The states. Dead nodes are Stopped, Killed or Failed.
const (
	Starting State = "starting" // it runs, and does not serve yet
	Up       State = "up"
	Paused   State = "paused"
	Stopping State = "stopping" // it drains
	Stopped  State = "stopped"
	Killed   State = "killed"
	Failed   State = "failed" // it has ended by itself
)

// Times that a node gets.
const (
	startLimit = 3 * time.Minute
	stopLimit  = 45 * time.Second // longer than a node's own (supervision.shutdown_timeout)
)

// running is a node of a localnet that runs. The lock of the localnet protects it.
type running struct {
	state    State
	why      string
	process  *process // nil before the first start
	restarts int
	usage    usage
}

// begin starts a node that does not run.
func (n *Localnet) begin(k int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.nodes[k]
	if r.process != nil && !r.process.ended() {
		return fmt.Errorf("node %d runs", k)
	}
	for _, address := range n.layout.Ports(k) {
		if !free(address) {
			return fmt.Errorf("node %d: another program listens at %s: end it", k, address)
		}
	}
	p, err := launch(n.binary, n.dir, k, n.layout.flags(n.dir, k, n.record))
	if err != nil {
		return err
	}
	if r.process != nil {
		r.restarts++
	}
	r.process = p
	n.move(k, Starting, "")
	n.work.Go(func() { n.attend(k, p) })
	return nil
}

// attend takes note of the end of a process.
func (n *Localnet) attend(k int, p *process) {
	<-p.done
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.nodes[k]
	if r.process != p {
		return
	}
	switch r.state {
	case Stopping:
		n.move(k, Stopped, "")
	case Killed:
	default:
		n.move(k, Failed, p.how()+"; its last lines:\n"+p.tail(12))
	}
}

// move enters a state and tells of it. The lock is held.
func (n *Localnet) move(k int, to State, why string) {
	r := n.nodes[k]
	r.state, r.why = to, why
	n.tell(Event{Time: time.Now(), Node: k, State: to, Why: why})
}

// serve waits until a node answers.
func (n *Localnet) serve(ctx context.Context, k int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("no answer within %s of its start", startLimit))
	defer cancel()
	n.mu.Lock()
	p, url := n.nodes[k].process, n.layout.URL(k)
	n.mu.Unlock()
	for {
		if alive(ctx, url) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if r := n.nodes[k]; r.process == p && r.state == Starting {
				n.move(k, Up, "")
			}
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("node %d has ended (%s); the end of %s:\n%s", k, p.how(), p.log, p.tail(20))
		case <-ctx.Done():
			return fmt.Errorf("node %d: %w; the end of %s:\n%s", k, context.Cause(ctx), p.log, p.tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// alive asks a node whether it serves.
func alive(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/is_alive", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// take is a node's process, if it runs.
func (n *Localnet) take(k int) (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k < 0 || k >= len(n.nodes) {
		return nil, fmt.Errorf("there is no node %d: they are 0 to %d", k, len(n.nodes)-1)
	}
	r := n.nodes[k]
	if r.process == nil || r.process.ended() {
		return nil, fmt.Errorf("node %d is %s: ordo localnet restart %d starts it", k, r.state, k)
	}
	return r.process, nil
}

// enter is move for a process that may have ended meanwhile.
func (n *Localnet) enter(k int, p *process, to State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[k].process == p && !p.ended() {
		n.move(k, to, "")
	}
}

// Kill ends a node and its plugins without warning.
func (n *Localnet) Kill(k int) error {
	p, err := n.take(k)
	if err != nil {
		return err
	}
	n.enter(k, p, Killed)
	if err := p.signal(syscall.SIGKILL); err != nil && !p.ended() {
		return err
	}
	<-p.done
	return nil
}

// Pause stops all processes of a node where they stand.
func (n *Localnet) Pause(k int) error {
	p, err := n.take(k)
	if err != nil {
		return err
	}
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	n.enter(k, p, Paused)
	return nil
}

// Resume lets a paused node go on.
func (n *Localnet) Resume(k int) error {
	p, err := n.take(k)
	if err != nil {
		return err
	}
	n.mu.Lock()
	paused := n.nodes[k].state == Paused
	n.mu.Unlock()
	if !paused {
		return fmt.Errorf("node %d is not paused", k)
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	n.enter(k, p, Up)
	return nil
}

// stop ends a node in order: it drains. One that does not end in time is killed, which is an error.
func (n *Localnet) stop(k int, p *process) error {
	n.mu.Lock()
	paused := n.nodes[k].state == Paused
	n.mu.Unlock()
	n.enter(k, p, Stopping)
	if paused {
		_ = p.signal(syscall.SIGCONT)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
		if code := p.state.ExitCode(); code != 0 {
			return fmt.Errorf("node %d ended with %s; the end of %s:\n%s", k, p.how(), p.log, p.tail(12))
		}
		return nil
	case <-limit.C:
		_ = p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("node %d did not end within %s and was killed", k, stopLimit)
	}
}

// Restart ends a node in order, if it runs, and starts it again.
func (n *Localnet) Restart(ctx context.Context, k int) error {
	n.mu.Lock()
	if k < 0 || k >= len(n.nodes) {
		n.mu.Unlock()
		return fmt.Errorf("there is no node %d: they are 0 to %d", k, len(n.nodes)-1)
	}
	p := n.nodes[k].process
	n.mu.Unlock()
	var stopped error
	if p != nil && !p.ended() {
		stopped = n.stop(k, p)
	}
	if err := n.begin(k); err != nil {
		return errors.Join(stopped, err)
	}
	return errors.Join(stopped, n.serve(ctx, k))
}
