package node

import (
	"context"
	"slices"

	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// extension is what the JSON-RPC server has beside the specification: the devnet_* methods of a development node, and answers
// about transactions that come later than their admission; nil when the configuration wants neither.
func (n *Node) extension() rpc.Extension {
	c, chain := n.config, n.driver.Chain()
	answers := devnet.AtOnce(chain)
	switch {
	case c.Consensus.Plugin == solo && c.BlockGeneration.Mode == "transaction":
		answers = devnet.WhenAccepted(chain)
	// An ordering policy that waits for the last to come runs nothing before consensus seals the attempt.
	case c.AnswerWhen == config.AnswerRun && slices.Contains(n.set.Plugin(ordov1.Stage_STAGE_ORDERING).Info().GetCapabilities(), sdk.CapArrival):
		answers = devnet.WhenRun(chain)
	case !c.Devnet:
		return nil
	}
	if !c.Devnet {
		return answers
	}
	return devnet.New(n.devnet(), answers)
}

// devnet is what the devnet methods work on.
func (n *Node) devnet() devnet.Options {
	c, g := n.config, n.Genesis
	balance := c.InitialBalance.String()
	o := devnet.Options{
		ChainID: felt.MustShortString(c.ChainID), Chain: n.driver.Chain(), Gateway: n.gateway,
		Config: devnet.Config{
			Seed: c.Seed, TotalAccounts: uint8(c.Accounts), AccountClassHash: g.Class, InitialBalance: balance,
			L1GasPriceWei: c.Gas.L1Wei, L1GasPriceFri: c.Gas.L1Fri, DataGasPriceWei: c.Gas.L1DataWei, DataGasPriceFri: c.Gas.L1DataFri,
			L2GasPriceWei: c.Gas.L2Wei, L2GasPriceFri: c.Gas.L2Fri, ChainID: c.ChainID, StateArchive: c.StateArchive,
			Server: devnet.Listener{Host: c.Host, Port: n.port()}, BlockGeneration: c.BlockGeneration.Mode,
		},
		Forbidden: c.Forbidden,
		STRK:      g.STRK.Address, ETH: g.ETH.Address,
		Faucet: genesis.Faucet{Account: g.Chargeable},
		CreateBlock: func(ctx context.Context) (felt.Felt, error) {
			_, hash, err := n.driver.CreateBlock(ctx)
			if err != nil {
				return felt.Felt{}, err
			}
			return felt.FromBytes(hash)
		},
		Clock: n.driver,
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
