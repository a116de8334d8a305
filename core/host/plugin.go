package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Plugin is one running plugin, started and configured. Its methods may be called at the same time.
type Plugin struct {
	spec    Spec
	options Options
	log     hclog.Logger
	info    atomic.Pointer[ordov1.DescribeResponse]

	control *grpc.ClientConn // health, Describe, Configure, Drain
	data    *grpc.ClientConn // the stage
	meter   *meter
	process *process    // nil in process, and when attached
	tls     *tls.Config // nil: none
	own     *reaper     // nil: the set's
	runDir  string      // scratch, the same for every instance within a run of the node
	ownDir  bool        // we made it, so we remove it
	sockets string      // of this instance

	warnings []*ordov1.Diagnostic
	since    time.Time

	// stop asks nicely for the end: go-plugin's shutdown. It may hang while the process runs, so it runs beside a timer.
	stop     func()
	stopOnce sync.Once
	exited   chan struct{}
	reason   string // valid after exited

	unresponsive atomic.Int64           // for how long the health checks have failed, in ns; 0: they do not
	killReason   atomic.Pointer[string] // why we killed it
}

// Conn is the connection for the stage's calls. It is closed when the plugin ends; calls then say so with Unavailable.
func (p *Plugin) Conn() *grpc.ClientConn { return p.data }

// Info is what the plugin said about itself.
func (p *Plugin) Info() *ordov1.DescribeResponse { return p.info.Load() }

// Spec is what the plugin was started from.
func (p *Plugin) Spec() Spec { return p.spec }

// Name is how messages name the plugin: "ordering/fifo".
func (p *Plugin) Name() string { return sdk.StageName(p.spec.Stage) + "/" + p.Info().GetName() }

// Pid is the plugin's process; 0 when it runs in this one, or is attached.
func (p *Plugin) Pid() int {
	if p.process == nil {
		return 0
	}
	return p.process.pid
}

// Generation tells which start of its stage this is. Nothing of an older generation may be used.
func (p *Plugin) Generation() uint64 { return p.spec.Generation }

// Warnings are what Configure had to say besides yes.
func (p *Plugin) Warnings() []*ordov1.Diagnostic { return p.warnings }

// Stats returns what each method has served.
func (p *Plugin) Stats() []MethodStats { return p.meter.snapshot() }

// Since is when the plugin was started or attached.
func (p *Plugin) Since() time.Time { return p.since }

// Exited is closed when the plugin has ended, for whatever reason.
func (p *Plugin) Exited() <-chan struct{} { return p.exited }

// ExitReason tells why the plugin ended: "exit status 2", "signal: killed". Empty while it runs.
func (p *Plugin) ExitReason() string {
	select {
	case <-p.exited:
		return p.reason
	default:
		return ""
	}
}

// Healthy asks the plugin's health service. Give ctx a deadline: a wedged plugin does not answer.
func (p *Plugin) Healthy(ctx context.Context) error {
	resp, err := grpc_health_v1.NewHealthClient(p.control).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	if err != nil {
		return fmt.Errorf("%s: health: %w", p.Name(), p.meter.explain(err))
	}
	if s := resp.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s: health: the plugin says %s", p.Name(), s)
	}
	return nil
}

// Counters asks the plugin what it has counted, by name. Give ctx a deadline: a wedged plugin does not answer.
func (p *Plugin) Counters(ctx context.Context) (map[string]uint64, error) {
	resp, err := ordov1.NewPluginClient(p.control).Describe(ctx, &ordov1.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: describe: %w", p.Name(), p.meter.explain(err))
	}
	return resp.GetCounters(), nil
}

// Drain lets the plugin finish and flush. It goes on running, and refuses calls; Stop ends it. Without a deadline in ctx
// the plugin gets ten seconds.
func (p *Plugin) Drain(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	// The plugin is to give up a little before we do, so that its own account of what is left arrives.
	left := time.Until(deadline)
	left -= min(left/10, 200*time.Millisecond)
	_, err := ordov1.NewPluginClient(p.control).Drain(ctx, &ordov1.DrainRequest{DeadlineMs: uint32(max(left.Milliseconds(), 1))})
	if err != nil {
		return fmt.Errorf("%s: drain: %w", p.Name(), p.meter.explain(err))
	}
	return nil
}

// Stop drains the plugin until the deadline of ctx, then ends it, with force if need be. It returns when the process is
// gone; the error tells what went wrong on the way.
func (p *Plugin) Stop(ctx context.Context) error {
	if p.spec.Attach != "" { // its owner drains it
		p.Kill()
		return nil
	}
	err := p.Drain(ctx)
	select {
	case <-p.exited:
		return err
	default:
	}
	grace := p.options.ExitTimeout
	if err != nil {
		p.log.Warn("not drained", "error", err)
		if deadline, ok := ctx.Deadline(); ok { // it had its time
			grace = max(min(grace, time.Until(deadline)), lastGrace)
		}
	}
	p.shutdown(grace)
	return err
}

// lastGrace is how long a plugin that has not drained in its time may take to end by itself.
const lastGrace = 200 * time.Millisecond

// Kill ends the plugin and its children now, without Drain, and returns when they are gone. An attached plugin is left.
func (p *Plugin) Kill() { p.shutdown(0) }

// KillFor is Kill for a reason, which ExitReason then tells. The first reason holds.
func (p *Plugin) KillFor(why string) {
	if p.ExitReason() == "" {
		p.killReason.CompareAndSwap(nil, &why)
	}
	p.Kill()
}

// shutdown asks for the end and enforces it after the grace time. go-plugin's own Kill has no deadline and ends one
// process only, so the timer and the kill of the group are ours.
func (p *Plugin) shutdown(grace time.Duration) {
	p.stopOnce.Do(func() {
		if grace > 0 || p.process == nil {
			go p.stop()
		}
	})
	if p.process == nil {
		<-p.exited
		return
	}
	if grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.exited:
			return
		case <-timer.C:
			p.log.Warn("still running after shutdown, killing its process group", "pid", p.Pid())
		}
	}
	p.process.killGroup()
	<-p.exited
}

// ended is called once, when the process is gone.
func (p *Plugin) ended(reason string) {
	p.reason = reason
	if why := p.killReason.Load(); why != nil {
		p.reason = *why
	}
	p.removeRunDir()
	if p.own != nil {
		p.own.close()
	}
	close(p.exited)
	p.data.Close()
	p.control.Close()
	p.stop() // whatever the end was: go-plugin's own goroutines go now
}

// goneText is what callers are told when the plugin has ended under them.
func (p *Plugin) goneText() string {
	return fmt.Sprintf("%s: the plugin has ended: %s", p.Name(), p.reason)
}

// refused turns the diagnostics of Configure into one error, or nil if none is an ERROR.
func refused(diagnostics []*ordov1.Diagnostic) error {
	var lines []string
	for _, d := range diagnostics {
		if d.GetSeverity() != ordov1.Diagnostic_ERROR {
			continue
		}
		text := d.GetSummary()
		if d.GetPath() != "" {
			text = d.GetPath() + ": " + text
		}
		if d.GetDetail() != "" {
			text += " (" + d.GetDetail() + ")"
		}
		lines = append(lines, text)
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("configuration refused: %s", strings.Join(lines, "; "))
}
