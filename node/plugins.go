package node

import (
	"context"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Plugins describes the running plugins for `ordo plugin list`.
func (n *Node) Plugins(ctx context.Context) []rpc.PluginInfo {
	var list []rpc.PluginInfo
	health := make(map[ordov1.Stage]driver.Health)
	for _, h := range n.driver.Health() {
		health[h.Stage] = h
	}
	for _, standing := range n.sup.StageStatuses() {
		info := describe(standing, health[standing.Stage])
		if standing.State == host.Up {
			info.Counters = counters(ctx, standing.Plugin)
		}
		list = append(list, info)
	}
	return list
}

// describe puts together what the host and the node know of a plugin.
func describe(standing host.StageStatus, health driver.Health) rpc.PluginInfo {
	p := standing.Plugin
	info := rpc.PluginInfo{
		Stage: sdk.StageName(p.Spec().Stage), Name: p.Info().GetName(), Version: p.Info().GetVersion(), PID: p.Pid(),
		Generation: p.Generation(), Capabilities: p.Info().GetCapabilities(), APIMinor: p.Info().GetApiMinor(), ConfigSchema: p.Info().GetConfigSchema(),
		State: string(standing.State), Restarts: standing.Restarts, Since: p.Since().Format(time.DateTime),
		Attached: p.Spec().Attach, Problem: standing.Problem,
	}
	if info.Attached == "" {
		info.Path = p.Spec().Path
	}
	if standing.State == host.Away {
		info.PID = 0
	}
	if health.Why != "" {
		info.Problem = health.Why
		switch {
		case standing.State != host.Up:
		case health.Stage != ordov1.Stage_STAGE_ORDERING: // no room: no fault of its answers
			info.State = string(host.Degraded)
		case health.Late:
			info.State = string(host.Late)
		default:
			info.State = string(host.Failing)
		}
	}
	if d := standing.Last; d != nil {
		info.LastExit = d.At.Format(time.DateTime) + " " + d.Why
	}
	// A stage has one method that matters for its speed; the others would only blur the times.
	var busiest uint64
	for _, s := range p.Stats() {
		messages := max(s.Calls, s.Received)
		info.Methods = append(info.Methods, rpc.MethodInfo{Name: s.Method, Calls: messages, Errors: s.Errors, Late: s.Late, Open: s.Open, P50: ms(s.P50), P99: ms(s.P99)})
		info.Calls += messages
		info.Errors += s.Errors
		info.Late += s.Late
		if messages > busiest && s.P50 > 0 {
			busiest, info.Method, info.P50, info.P99 = messages, s.Method, ms(s.P50), ms(s.P99)
		}
	}
	return info
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// supervisorEvents carries the supervisor's news to the node.
type supervisorEvents struct{ driver *driver.Driver }

func (e supervisorEvents) StageDown(stage ordov1.Stage, why *host.Ended) host.Blame {
	switch in := e.driver.StageDown(stage, why, why.Forced); {
	case in.Asked:
		return host.Questions
	case in.Block:
		return host.Block
	}
	return host.Process
}

func (e supervisorEvents) StageUp(stage ordov1.Stage, p *host.Plugin) error {
	return e.driver.StageUp(stage, driver.Instance{Capabilities: p.Info().GetCapabilities(), Generation: p.Generation()})
}
