package node

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Banner prints what a developer needs to begin: tokens, deployers, accounts, chain id and address. Keys are for nodes of
// development only: the output of others is kept.
func Banner(out io.Writer, c config.Config, m *Node) {
	g := m.Genesis
	var b strings.Builder
	if c.Quiet {
		fmt.Fprintf(&b, "ordo listening on %s\n", m.URL)
		_, _ = io.WriteString(out, b.String())
		return
	}
	token := func(name string, address, class felt.Felt) {
		fmt.Fprintf(&b, "%s\n  Address:    %s\n  Class hash: %s\n", name, address.PaddedHex(), class.PaddedHex())
	}
	fmt.Fprintln(&b, "\nFee tokens")
	token("ETH", g.ETH.Address, g.ETH.ClassHash)
	token("STRK", g.STRK.Address, g.STRK.ClassHash)
	fmt.Fprintln(&b, "\nUniversal deployer")
	token("UDC", g.UDC.Address, g.UDC.ClassHash)
	token("Legacy UDC", g.LegacyUDC.Address, g.LegacyUDC.ClassHash)
	for i, a := range g.Accounts {
		fmt.Fprintf(&b, "\n| Account address |  %s\n", a.Address.PaddedHex())
		if c.Devnet {
			fmt.Fprintf(&b, "| Private key     |  %s\n", a.PrivateKey.Hex())
		}
		fmt.Fprintf(&b, "| Public key      |  %s\n", a.PublicKey.Hex())
		if i == 19 && len(g.Accounts) > 21 {
			fmt.Fprintf(&b, "\n... and %d more, which devnet_getPredeployedAccounts lists where it is served\n", len(g.Accounts)-20)
			break
		}
	}
	fmt.Fprintf(&b, "\nClass of the accounts:   %s (%s)\n", g.Class.PaddedHex(), c.AccountClass)
	fmt.Fprintf(&b, "Balance of each account: %s WEI and FRI\n", c.InitialBalance)
	fmt.Fprintf(&b, "Seed of the accounts:    %d\n", c.Seed)
	if c.Devnet {
		fmt.Fprintln(&b, "Keys:                    they follow from the seed, which is no secret: for development only")
	}
	fmt.Fprintf(&b, "Chain id:                %s (%s)\n", c.ChainID, felt.MustShortString(c.ChainID))
	if c.Lazy() {
		fmt.Fprintln(&b, "Execution:               lazy: consensus decides an order of transactions, which runs then")
	}
	if c.DataDir != "" {
		fmt.Fprintf(&b, "Chain is kept in:        %s\n", c.DataDir)
	} else {
		fmt.Fprintln(&b, "Chain is kept in:        nothing that outlives this run (--data-dir FOLDER keeps it)")
	}
	stages := make([]string, 0, 4)
	for _, p := range m.Plugins(context.Background()) {
		stages = append(stages, fmt.Sprintf("%s/%s", p.Stage, p.Name))
	}
	fmt.Fprintf(&b, "Stages:                  %s\n", strings.Join(stages, "  "))
	fmt.Fprintf(&b, "\nordo listening on %s\n", m.URL)
	_, _ = io.WriteString(out, b.String())
}
