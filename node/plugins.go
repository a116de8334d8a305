package node

import (
	"context"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
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
	health := make(map[ordov1.Stage]driver.Health)
	for _, h := range n.driver.Health() {
		health[h.Stage] = h
	}
	for _, standing := range n.sup.StageStatuses() {
		list = append(list, describe(standing, health[standing.Stage]))
	}
	return list
}

// describe puts together what the host and the node know of a plugin.
func describe(standing host.StageStatus, health driver.Health) rpc.PluginInfo {
	p := standing.Plugin
	info := rpc.PluginInfo{
		Stage: host.StageName(p.Spec().Stage), Name: p.Info().GetName(), Version: p.Info().GetVersion(), PID: p.Pid(),
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

// devnet is what the devnet methods answer from.
func (n *Node) devnet() *rpc.Devnet {
	c, g := n.config, n.Genesis
	balance := c.InitialBalance.String()
	d := &rpc.Devnet{
		Config: rpc.DevnetConfig{
			Seed: c.Seed, TotalAccounts: uint8(c.Accounts), AccountClassHash: g.Class, InitialBalance: balance,
			L1GasPriceWei: c.Gas.L1Wei, L1GasPriceFri: c.Gas.L1Fri, DataGasPriceWei: c.Gas.L1DataWei, DataGasPriceFri: c.Gas.L1DataFri,
			L2GasPriceWei: c.Gas.L2Wei, L2GasPriceFri: c.Gas.L2Fri, ChainID: c.ChainID, StateArchive: c.StateArchive,
			Server: rpc.DevnetServer{Host: c.Host, Port: n.port()}, BlockGeneration: c.BlockGeneration.Mode,
		},
		Hidden: !c.Devnet, Forbidden: c.Forbidden,
		STRK: g.STRK.Address, ETH: g.ETH.Address,
		Faucet: genesis.Faucet{Account: g.Chargeable},
		CreateBlock: func(ctx context.Context) ([]byte, error) {
			_, hash, err := n.driver.CreateBlock(ctx)
			return hash, err
		},
		Clock:   n.driver,
		Instant: c.Consensus.Plugin == solo && c.BlockGeneration.Mode == "transaction",
	}
	if c.StartTime != 0 {
		d.Config.StartTime = &c.StartTime
	}
	if c.BlockGeneration.Mode == "interval" {
		d.Config.BlockGeneration = c.BlockGeneration.Interval.Seconds()
	}
	for _, a := range g.Accounts {
		d.Accounts = append(d.Accounts, rpc.DevnetAccount{
			InitialBalance: balance, Address: a.Address, PublicKey: a.PublicKey, PrivateKey: a.PrivateKey,
		})
	}
	return d
}
