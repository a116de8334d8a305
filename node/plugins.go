package node

import (
	"context"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/rpc"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// pool hands admitted transactions to the node, with the nonce that validation saw.
type pool struct{ driver *driver.Driver }

func (d pool) Submit(_ context.Context, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	return d.driver.SubmitAt(tx, class, packed(felt.FromUint64(accountNonce)))
}

func (d pool) Deploying(account []byte) bool { return d.driver.Deploying(account) }

// Plugins describes the running plugins for `ordo plugin list`.
func (n *Node) Plugins(context.Context) []rpc.PluginInfo {
	var list []rpc.PluginInfo
	trouble := make(map[ordov1.Stage]string)
	for _, h := range n.driver.Health() {
		trouble[h.Stage] = h.Why
	}
	for _, standing := range n.sup.StageStatuses() {
		p := standing.Plugin
		info := rpc.PluginInfo{
			Stage: host.StageName(p.Spec().Stage), Name: p.Info().GetName(), Version: p.Info().GetVersion(), PID: p.Pid(),
			Generation: p.Generation(), Capabilities: p.Info().GetCapabilities(),
			State: string(standing.State), Restarts: standing.Restarts,
		}
		if standing.State == host.Away {
			info.PID = 0
		}
		if info.Problem = trouble[standing.Stage]; info.Problem != "" && standing.State == host.Up {
			info.State = string(host.Degraded)
		}
		if d := standing.Last; d != nil {
			info.LastExit = d.At.Format(time.DateTime) + " " + d.Why
		}
		// A stage has one method that matters for its speed; the others would only blur the times.
		var busiest uint64
		for _, s := range p.Stats() {
			messages := max(s.Calls, s.Received)
			info.Calls += messages
			if messages > busiest && s.P50 > 0 {
				busiest, info.P50, info.P99 = messages, ms(s.P50), ms(s.P99)
			}
		}
		list = append(list, info)
	}
	return list
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
