package node

import (
	"context"
	"slices"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node/config"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// door hands admitted transactions to the node, with the nonce that validation saw.
type door struct{ node *driver.Driver }

func (d door) Submit(_ context.Context, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	return d.node.SubmitAt(tx, class, packed(felt.FromUint64(accountNonce)))
}

func (d door) Deploying(account []byte) bool { return d.node.Deploying(account) }

// Plugins describes the running plugins for `ordo plugin list`.
func (m *Node) Plugins(context.Context) []rpc.PluginInfo {
	var list []rpc.PluginInfo
	trouble := make(map[ordov1.Stage]string)
	for _, h := range m.node.Health() {
		trouble[h.Stage] = h.Why
	}
	for _, standing := range m.sup.Standings() {
		p := standing.Plugin
		info := rpc.PluginInfo{
			Stage: host.StageName(p.Spec().Stage), Name: p.Info().GetName(), Version: p.Info().GetVersion(), PID: p.Pid(),
			Generation: p.Generation(), Capabilities: p.Info().GetCapabilities(),
			State: string(standing.State), Restarts: standing.Restarts,
		}
		if standing.State == host.Away {
			info.PID = 0
		}
		if info.Trouble = trouble[standing.Stage]; info.Trouble != "" && standing.State == host.Up {
			info.State = string(host.Degraded)
		}
		if d := standing.Last; d != nil {
			info.LastDeath = d.At.Format(time.DateTime) + " " + d.Why
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

// extension is what the JSON-RPC server has beside the specification: the devnet_* methods of a development node, and answers
// about transactions that come later than their admission; nil when the configuration wants neither.
func (m *Node) extension() rpc.Extension {
	c, chain := m.config, m.node.Chain()
	answers := devnet.AtOnce(chain)
	switch {
	case c.Consensus.Plugin == "solo" && c.BlockGeneration.Mode == "transaction":
		answers = devnet.WhenAccepted(chain)
	// An ordering policy that waits for the last to come runs nothing before the block is sealed.
	case c.AnswerWhen == config.AnswerRun && slices.Contains(m.set.Plugin(ordov1.Stage_STAGE_ORDERING).Info().GetCapabilities(), "arrival"):
		answers = devnet.WhenRun(chain)
	case !c.Devnet:
		return nil
	}
	if !c.Devnet {
		return answers
	}
	return devnet.New(m.devnet(), answers)
}

// devnet is what the devnet methods work on.
func (m *Node) devnet() devnet.Options {
	c, g := m.config, m.Genesis
	balance := c.InitialBalance.String()
	o := devnet.Options{
		ChainID: felt.MustShortString(c.ChainID), Chain: m.node.Chain(), Gateway: m.ingress,
		Config: devnet.Config{
			Seed: c.Seed, TotalAccounts: uint8(c.Accounts), AccountClassHash: g.Class, InitialBalance: balance,
			L1GasPriceWei: c.Gas.L1Wei, L1GasPriceFri: c.Gas.L1Fri, DataGasPriceWei: c.Gas.L1DataWei, DataGasPriceFri: c.Gas.L1DataFri,
			L2GasPriceWei: c.Gas.L2Wei, L2GasPriceFri: c.Gas.L2Fri, ChainID: c.ChainID, StateArchive: c.StateArchive,
			Server: devnet.Listener{Host: c.Host, Port: m.port()}, BlockGeneration: c.BlockGeneration.Mode,
		},
		Forbidden: c.Forbidden,
		STRK:      g.STRK.Address, ETH: g.ETH.Address,
		Faucet: genesis.Faucet{Account: g.Chargeable},
		CreateBlock: func(ctx context.Context) (felt.Felt, error) {
			_, hash, err := m.node.CreateBlock(ctx)
			if err != nil {
				return felt.Felt{}, err
			}
			return felt.FromBytes(hash)
		},
		Clock: m.node,
	}
	if c.StartTime != 0 {
		o.Config.StartTime = &c.StartTime
	}
	if c.BlockGeneration.Mode == "interval" {
		o.Config.BlockGeneration = c.BlockGeneration.Interval.Seconds()
	}
	for _, a := range g.Accounts {
		o.Accounts = append(o.Accounts, devnet.Account{
			InitialBalance: balance, Address: a.Address, PublicKey: a.PublicKey, PrivateKey: a.PrivateKey,
		})
	}
	return o
}
