package localnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
)

const long = `Run a network of whole nodes on this machine: a validator each with its four plugins, its own data and its own JSON-RPC.

Node K serves its JSON-RPC at port P+K, its peers at P+100+K, and an engine's at P+200+K (P is --base-port). Nodes reach each other
through proxies at 127.0.K.1, which partition and delay set. The folder keeps the network: the same command starts it again. On a
terminal a table shows how the nodes stand, elsewhere lines do; --json writes an object a line. SIGTERM and ctrl-C let all nodes
drain, a second one kills them; no node outlives this command.

The commands below do to the running network in --dir what networks meet.`

// options are those of ordo localnet itself.
type options struct {
	dir, consensus, chainID string
	execution               string
	validators, basePort    int
	set                     []string
	json, record            bool
	every                   time.Duration
}

// NewCommand is the command. serve prepares the process for a long run.
func NewCommand(out, errs io.Writer, serve func()) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "localnet --validators N --consensus NAME|PATH",
		Short: "Run a network of whole nodes on this machine",
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			serve()
			return o.run(cmd, out, errs)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.validators, "validators", 4, "number of validators of a new network")
	f.StringVar(&o.consensus, "consensus", "comet", "its consensus plugin: a shipped name, or a path")
	f.IntVar(&o.basePort, "base-port", 5050, "port of node 0; 0 takes free ones")
	f.StringVar(&o.chainID, "chain-id", "TESTNET", "chain id of a new network: MAINNET, TESTNET, or a name of your own")
	f.StringVar(&o.execution, "execution", config.ExecutionEager, "execution of a new network: eager: blocks run before one is decided; lazy: an order is decided, then it runs")
	f.StringArrayVar(&o.set, "set", nil, "KEY=VALUE: a setting of every node of a new network, with its key in ordo.toml; may be repeated")
	f.BoolVar(&o.record, "record", false, "record what goes between each node and its hosted protocol (node-K/record); ordo localnet replay plays it again")
	f.DurationVar(&o.every, "every", 0, "time between two tables or lines (1s on a terminal and with --json, otherwise 10s)")
	f.SortFlags = false
	cmd.PersistentFlags().StringVar(&o.dir, "dir", "localnet", "folder of the network")
	cmd.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON: one object a line")
	cmd.AddCommand(o.controls(out)...)
	cmd.AddCommand(o.replayCommand(out))
	return cmd
}

// run starts the network of the folder, a new one if there is none, and watches it until it is to end.
func (o *options) run(cmd *cobra.Command, out, errs io.Writer) (err error) {
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("localnet: %w", err)
	}
	held, err := lock(dir)
	if err != nil {
		return fmt.Errorf("localnet: %w", err)
	}
	defer held.Close()
	l, err := o.layout(ctx, cmd, dir)
	if err != nil {
		return fmt.Errorf("localnet: %w", err)
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	screen := o.screen(out, errs)
	n := newLocalnet(dir, binary, l, screen.event)
	if n.record = o.record; o.record && !l.hosted() {
		return fmt.Errorf("localnet --record: %s is an engine, which acts by its own clock and network: a replay of its events would not be the same; record a hosted protocol", l.Consensus)
	}
	if err := n.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return fmt.Errorf("localnet: %w", err)
	}
	c, err := serveControl(n, stop)
	if err == nil {
		screen.ready(dir, l)
		n.watch(ctx, screen)
		c.close()
	}
	if err = errors.Join(err, n.Close()); err != nil {
		return fmt.Errorf("localnet: %w", err)
	}
	return nil
}

// layout reads the network of the folder, or makes it.
func (o *options) layout(ctx context.Context, cmd *cobra.Command, dir string) (*Layout, error) {
	l, err := readLayout(dir)
	if err == nil {
		given := cmd.Flags().Changed
		for flag, is := range map[string]bool{
			"validators": o.validators == len(l.validators()), "base-port": o.basePort == l.BasePort || o.basePort == 0,
			"consensus": o.consensus == l.Consensus || pathOf(o.consensus) == l.Consensus, "set": slices.Equal(o.set, l.Set), "chain-id": false,
			"execution": o.execution == cmp.Or(l.Execution, config.ExecutionEager),
		} {
			if given(flag) && !is {
				return nil, fmt.Errorf("%s holds a network that was made with another --%s: start it without the flag, edit its files, or remove it with ordo localnet clean", dir, flag)
			}
		}
		return l, nil
	}
	if !errors.Is(err, errNone) {
		return nil, err
	}
	if o.validators < 1 || o.validators > faults.MaxNodes/2 {
		return nil, fmt.Errorf("--validators %d: choose 1 to %d", o.validators, faults.MaxNodes/2)
	}
	if o.basePort < 0 || o.basePort+portsNeeded > 65536 {
		return nil, fmt.Errorf("--base-port %d: choose 1 to %d, or 0", o.basePort, 65536-portsNeeded)
	}
	c := config.Default()
	if err := set(&c, append([]string{"chain.id=" + o.chainID, "chain.execution=" + o.execution}, o.set...)); err != nil {
		return nil, err
	}
	installed, err := node.Installed()
	if err != nil {
		return nil, err
	}
	l = newLayout(c.ChainID, time.Now())
	l.BasePort, l.Set = o.basePort, o.set
	if c.Lazy() {
		l.Execution = c.ExecutionMode
	}
	if l.Consensus, l.Takes, err = consensus(ctx, installed, o.consensus, o.validators); err != nil {
		return nil, err
	}
	if l.BasePort == 0 {
		if l.BasePort, err = chooseBasePort(l, o.validators); err != nil {
			return nil, err
		}
	}
	return l, create(dir, l, o.validators)
}

func pathOf(plugin string) string {
	path, err := filepath.Abs(plugin)
	if err != nil {
		return plugin
	}
	return path
}

// accounts are those that every node of the network funds.
func (l *Layout) accounts(dir string) []genesis.Account {
	c, err := l.Config(dir, 0)
	if err != nil {
		return nil
	}
	return genesis.Accounts(c.Seed, c.Accounts)
}
