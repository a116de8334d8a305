package host

import (
	"context"
	"fmt"
	"time"
)

// Unresponsive tells for how long the plugin has not answered the host's health checks; zero when it answers. A process that
// is stopped, or held by a debugger, is silent. Options.HealthTimeout kills it for that.
func (p *Plugin) Unresponsive() time.Duration { return time.Duration(p.unresponsive.Load()) }

// watch checks the plugin's health until it ends. Time is counted in ticks that were seen, not read from a clock: when
// this process itself was stopped for a while, the plugin's answer is not late.
func (p *Plugin) watch() {
	const looks = 4 // in an interval
	interval, limit := p.options.HealthInterval, p.options.HealthTimeout
	tick := interval / looks
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var (
		answer  chan error         // nil: nothing is asked
		cancel  context.CancelFunc = func() {}
		failing error              // the last answer, when it was none
		silence time.Duration
		said    bool
		rest    = looks // ticks until the next check
	)
	defer func() { cancel() }()
	for {
		select {
		case <-p.exited:
			return
		case failing = <-answer:
			cancel()
			answer, rest = nil, looks
			if failing == nil {
				if said {
					p.log.Info("answers again", "after", silence.Round(time.Millisecond))
				}
				silence, said = 0, false
				p.unresponsive.Store(0)
			}
			continue
		case <-ticker.C:
		}
		if answer != nil || failing != nil {
			silence += tick
		}
		if silence >= interval {
			p.unresponsive.Store(int64(silence))
			if !said && p.ExitReason() == "" {
				said = true
				if failing == nil {
					p.log.Warn("does not answer its health check", "for", silence.Round(time.Millisecond))
				} else {
					p.log.Warn("does not answer its health check", "error", failing)
				}
			}
		}
		if limit > 0 && silence >= limit {
			why := fmt.Sprintf("no answer to the health checks for %s: killed by the node", silence.Round(time.Millisecond))
			if failing != nil {
				why += fmt.Sprintf(" (%v)", failing)
			}
			p.KillFor(why)
			return
		}
		if rest--; answer == nil && rest <= 0 {
			answer, cancel = p.ask(max(limit, looks*interval))
		}
	}
}

// ask begins one health check.
func (p *Plugin) ask(timeout time.Duration) (chan error, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	answer := make(chan error, 1)
	go func() { answer <- p.Healthy(ctx) }()
	return answer, cancel
}
