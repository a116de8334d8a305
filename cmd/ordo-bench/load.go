package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/node/config"
)

const loadLong = `Send signed transactions to a Starknet node and follow each into an accepted block.

Without --url an ` + "`ordo dev`" + ` of its own is started, with its chain on disk, and what each of its processes used is told. With
--url any node is loaded, through the JSON-RPC only; repeated, one after the other, so that nodes can be compared.

The closed model keeps --depth transactions of every account on their way. The open model sends --rate transactions a second
whatever the node does, and counts the time of each from the moment when it was due: a node that stalls cannot hide it.

Transactions are signed before the run. Accounts that the node does not have are derived from its first one, funded and
deployed. At the end the books are checked: nonces, and what the transactions must have done.`

type loadOptions struct {
	load.Options
	urls      []string
	fund      float64
	blockTime int
	nodeArgs  []string
	dir       string
	profile   string
	json      string
	quiet     bool
	alone     bool // no runs without the subscribers
}

// LoadReport is what runs of `ordo bench load` found.
type LoadReport struct {
	Environment
	Runs []*load.Report `json:"runs"`
}

func loadCommand() *cobra.Command {
	o := defaultLoad()
	seconds := 0
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Transactions to a node, followed until they are accepted",
		Long:  loadLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seconds > 0 {
				o.Duration = time.Duration(seconds) * time.Second
			}
			report, err := runLoad(cmd.Context(), o)
			if report != nil { // also when its books do not balance
				for _, r := range report.Runs {
					r.Print(cmd.OutOrStdout())
				}
				err = errors.Join(writeJSON(o.json, report), err)
			}
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.urls, "url", nil, "address of a node, repeatable; none: start one")
	f.StringVar(&o.Kind, "kind", o.Kind, "transfers, swaps, deploys or mixed (of ten: seven transfers, two swaps, a deployment)")
	f.StringVar(&o.Model, "model", o.Model, "closed or open")
	f.Float64Var(&o.Rate, "rate", 0, "transactions a second in the open model")
	f.IntVar(&o.Depth, "depth", o.Depth, "transactions of an account that are on their way at the same time in the closed model")
	f.IntVar(&o.Accounts, "accounts", o.Accounts, "senders")
	f.StringVar(&o.AccountsFile, "accounts-file", "", `funded accounts, a JSON list of {"address", "private_key"}; none: those that devnet_getPredeployedAccounts tells`)
	f.Float64Var(&o.fund, "fund", o.fund, "STRK for each account that has to be made")
	f.IntVar(&o.Transactions, "transactions", 0, "transactions to send; 0: as many as the time allows")
	f.DurationVar(&o.Duration, "duration", o.Duration, "longest time to send for")
	f.IntVar(&seconds, "seconds", 0, "--duration in seconds")
	f.IntVar(&o.Batch, "batch", o.Batch, "transactions in one request, at most")
	f.IntVar(&o.Connections, "connections", 0, "connections; 0: one per account, at most 64")
	f.IntVar(&o.Presign, "presign", 0, "transactions to sign before the run; 0: what the rate needs, or 2,500 a second")
	f.DurationVar(&o.Poll, "poll", o.Poll, "between two looks at the chain: times until PRE_CONFIRMED are no finer")
	f.IntVar(&o.Subscribers, "subscribers", 0, "WebSockets with a subscription each, of all kinds, which check that they miss and double nothing; a run without them comes before and after")
	f.StringVar(&o.Token, "token", o.Token, "what transfers move: strk, erc20 (declares and deploys one of new Sierra), or an address")
	f.IntVar(&o.Recipients, "recipients", o.Recipients, "recipients of each account; more of them make the state grow")
	f.IntVar(&o.Markets, "markets", o.Markets, "markets that swaps are spread over")
	f.StringVar(&o.AccountClass, "account-class", "", "class of the accounts, openzeppelin or native; another node's accounts are made of it (default: native, or that of another node's own accounts)")
	f.IntVar(&o.blockTime, "block-time", o.blockTime, "seconds between blocks of a node of our own")
	f.StringArrayVar(&o.nodeArgs, "node-arg", nil, "another argument for a node of our own, repeatable, such as --node-arg=--workers=1")
	f.StringVar(&o.dir, "dir", "", "folder for the chain of a node of our own; removed at the end (default: the system's for temporary files)")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of the core of a node of our own to this file, for go tool pprof")
	f.BoolVar(&o.alone, "subscribers-only", false, "with --subscribers: no runs without them")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	_ = f.MarkHidden("seconds")
	f.SortFlags = false
	return cmd
}

func defaultLoad() loadOptions {
	return loadOptions{
		Options: load.Options{
			Kind: load.Transfers, Model: load.Closed, Depth: 16, Accounts: 200, Duration: 30 * time.Second, Batch: 1,
			Poll: 5 * time.Millisecond, Token: "strk", Recipients: 1, Markets: 8,
		},
		fund: 25, blockTime: 1,
	}
}

// runLoad loads each node in turn. What the runs before a failed one found comes with the error.
func runLoad(ctx context.Context, o loadOptions) (*LoadReport, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	report := &LoadReport{Environment: environment()}
	one := func(url string, pid int) error {
		return o.each(func(options load.Options) error { return loadOnce(ctx, options, url, pid, report) })
	}
	if len(o.urls) == 0 {
		err := o.onOwnNode(ctx, "", one)
		return report, err
	}
	for _, url := range o.urls {
		if err := one(url, 0); err != nil {
			return report, err
		}
	}
	return report, nil
}

// each calls run once, and with subscribers between two calls without them, so that the figures can be compared.
func (o *loadOptions) each(run func(load.Options) error) error {
	without := o.Options
	without.Subscribers = 0
	list := []load.Options{o.Options}
	if o.Subscribers > 0 && !o.alone {
		list = []load.Options{without, o.Options, without}
	}
	for _, options := range list {
		if err := run(options); err != nil {
			return err
		}
	}
	return nil
}

func loadOnce(ctx context.Context, o load.Options, url string, pid int, report *LoadReport) error {
	r, err := load.Run(ctx, o, url, pid)
	if r != nil {
		report.Runs = append(report.Runs, r)
		if err == nil && r.Lost > 0 {
			err = fmt.Errorf("%d of %d submitted transactions are in no accepted block", r.Lost, r.Submitted)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// complete fills in what follows from the rest, and checks all.
func (o *loadOptions) complete() error {
	installed, err := node.Installed()
	if err != nil {
		return err
	}
	wei, _ := new(big.Float).Mul(big.NewFloat(o.fund), big.NewFloat(1e18)).Int(nil)
	o.Fund, o.Contracts, o.Progress = wei, installed.Contracts, progressOutput(o.quiet)
	return o.Check()
}

// onOwnNode runs something on a node that is started for it; data names a chain to go on from.
func (o *loadOptions) onOwnNode(ctx context.Context, data string, work func(url string, pid int) error) error {
	if data == "" {
		dir, remove, err := scratch(o.dir)
		if err != nil {
			return err
		}
		defer remove()
		data = dir
	}
	class := o.AccountClass
	if class == "" {
		class = string(genesis.Native)
	}
	node, err := startNode(ctx, data, o.profile, append([]string{
		"--accounts", strconv.Itoa(min(o.Accounts, genesis.MaxAccounts)), "--account-class", class,
		// The answer is the promise, as it is of ordo run: a sender that waits for each run measures its own patience.
		"--answer-when", config.AnswerAdmitted, "--block-generation-on", strconv.Itoa(o.blockTime), "--initial-balance", "1" + strings.Repeat("0", 25),
	}, o.nodeArgs...)...)
	if err != nil {
		return err
	}
	return errors.Join(work(node.URL, node.pid()), node.stop())
}

// writeJSON writes a report to a file; an empty name is none.
func writeJSON(file string, report any) error {
	if file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}
