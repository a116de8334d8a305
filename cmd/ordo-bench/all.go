package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
)

const allLong = `Run the whole set, one after the other, and write what each found as JSON into a folder: docs/benchmarks/page makes the page
of plots of it. A part that fails is told and does not hold up the rest. Each waits up to 10 s for the machine to become quiet, so
that the share of processors that it reports as busy is not the part before it.`

// peerAccounts is how many accounts a comparison with another node uses on both: starknet-devnet has so many of its own.
const peerAccounts = 10

type allOptions struct {
	out    string
	quick  bool
	native bool
	sizes  []int
	peers  []string
	only   []string
	quiet  bool
}

func allCommand() *cobra.Command {
	var o allOptions
	cmd := &cobra.Command{
		Use:   "all --out FOLDER",
		Short: "Everything, for the page of plots",
		Long:  allLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.out == "" {
				return errors.New("all: --out FOLDER is missing: docs/benchmarks/raw is where the page looks")
			}
			return runAll(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "folder for the results")
	f.BoolVar(&o.quick, "quick", false, "small sizes and short times: to see whether it runs, not to publish")
	f.BoolVar(&o.native, "native", false, "Cairo Native for the blocks of growth")
	f.IntSliceVar(&o.sizes, "sizes", []int{1_000, 100_000}, "keys of the state; the page of a release has 10000000 too")
	f.StringArrayVar(&o.peers, "peer", nil, "address of another node to load beside, repeatable")
	f.StringSliceVar(&o.only, "only", nil, "parts to run, such as load,hop; none: all")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bars")
	f.SortFlags = false
	return cmd
}

// part is one measurement of the page; its name is that of its file.
type part struct {
	name string
	run  func(ctx context.Context) (any, error)
}

func runAll(cmd *cobra.Command, o allOptions) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var failed []error
	for _, p := range o.parts() {
		if len(o.only) > 0 && !contains(o.only, p.name) {
			continue
		}
		quiet(cmd.Context())
		begun := time.Now()
		report, err := p.run(cmd.Context())
		if cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
		if err == nil {
			err = writeJSON(filepath.Join(o.out, p.name+".json"), report)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
			fmt.Fprintf(cmd.OutOrStdout(), "%-14s FAILED after %.0f s: %v\n", p.name, time.Since(begun).Seconds(), err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%-14s %.0f s\n", p.name, time.Since(begun).Seconds())
	}
	return errors.Join(failed...)
}

// contains: load names also load-open.
func contains(list []string, name string) bool {
	for _, s := range list {
		if s == name || strings.HasPrefix(name, s+"-") {
			return true
		}
	}
	return false
}

// execReport is an exec run with where it ran.
type execReport struct {
	Environment
	Runs []*Report `json:"runs"`
}

// commitReport is a commit run with where it ran.
type commitReport struct {
	Environment
	Run *Commit `json:"run"`
}

func (o allOptions) parts() []part {
	long, short, rounds := 60*time.Second, 30*time.Second, 7
	if o.quick {
		long, short, rounds = 8*time.Second, 5*time.Second, 1
	}
	baseline := defaultLoad()
	baseline.quiet, baseline.Duration, baseline.Batch, baseline.Connections = o.quiet, long, 20, 8
	return []part{
		{"exec", func(ctx context.Context) (any, error) {
			report := &execReport{Environment: environment()}
			for _, native := range []bool{false, true} {
				for n := range min(2, runtime.NumCPU()) {
					r, err := measure(ctx, options{workers: n + 1, transactions: 1000, rounds: rounds, native: native, quiet: o.quiet})
					if err != nil {
						return nil, err
					}
					report.Runs = append(report.Runs, r)
				}
			}
			return report, nil
		}},
		{"commit", func(ctx context.Context) (any, error) {
			run := commitOptions{leaves: 1 << 20, transfers: 1000, cores: 1, rounds: rounds, quiet: o.quiet}
			if o.quick {
				run.leaves = 1 << 14
			}
			report := &commitReport{Environment: environment()}
			var err error
			report.Run, err = measureCommit(ctx, run)
			return report, err
		}},
		{"hop", func(ctx context.Context) (any, error) {
			each := 3 * time.Second
			if o.quick {
				each = 300 * time.Millisecond
			}
			return runHop(ctx, hopOptions{batches: []int{1, 10, 100, 1000}, each: each, quiet: o.quiet})
		}},
		{"start", func(ctx context.Context) (any, error) {
			n := 7
			if o.quick {
				n = 2
			}
			return runStart(ctx, startOptions{rounds: n, quiet: o.quiet})
		}},
		{"load-closed", func(ctx context.Context) (any, error) {
			report, err := runLoad(ctx, baseline)
			beside := func(note string, change func(*loadOptions)) {
				if err != nil {
					return
				}
				run := baseline
				run.Duration = short
				change(&run)
				var other *LoadReport
				if other, err = runLoad(ctx, run); err == nil {
					other.Runs[0].Note = note
					report.Runs = append(report.Runs, other.Runs...)
				}
			}
			beside("one transaction a request", func(run *loadOptions) { run.Batch, run.Connections = 1, 64 })
			beside("Cairo VM", func(run *loadOptions) { run.nodeArgs = []string{"--native=off"} })
			// A peer and this node get the same number of accounts of the same class: ordo's own, then starknet-devnet's.
			for _, class := range []genesis.AccountClass{genesis.Native, genesis.OpenZeppelin} {
				if len(o.peers) == 0 {
					break
				}
				same := func(run *loadOptions) { run.Accounts, run.AccountClass = peerAccounts, string(class) }
				note := fmt.Sprintf("%d accounts of the class %s", peerAccounts, class)
				beside(note, same)
				for _, peer := range o.peers {
					beside(note, func(run *loadOptions) { same(run); run.urls = []string{peer} })
				}
			}
			return report, err
		}},
		{"load-open", func(ctx context.Context) (any, error) {
			// Half of what the machine does now: on a shared one that may be another speed than some minutes ago.
			before := baseline
			before.Duration = short
			all, err := runLoad(ctx, before)
			if err != nil {
				return nil, err
			}
			quiet(ctx)
			run := baseline
			run.Model, run.Rate, run.Poll = load.Open, all.Runs[0].Speed/2, 2*time.Millisecond
			report, err := runLoad(ctx, run)
			if err == nil {
				report.Runs[0].Note = fmt.Sprintf("half of %.0f tx/s", all.Runs[0].Speed)
			}
			return report, err
		}},
		{"load-kinds", func(ctx context.Context) (any, error) {
			all := &LoadReport{Environment: environment()}
			for _, kind := range []string{load.Transfers, load.Swaps, load.Deploys, load.Mixed} {
				run := baseline
				run.Kind, run.Duration, run.Accounts = kind, short, 100
				report, err := runLoad(ctx, run)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", kind, err)
				}
				all.Runs = append(all.Runs, report.Runs...)
			}
			return all, nil
		}},
		{"growth", func(ctx context.Context) (any, error) {
			run := defaultGrowth()
			run.quiet, run.sizes, run.native = o.quiet, o.sizes, o.native
			if o.quick {
				run.rounds, run.duration, run.blocks, run.accounts = 1, 4*time.Second, []int{10, 100, 1000}, 50
			}
			return runGrowth(ctx, run)
		}},
		{"network", func(ctx context.Context) (any, error) {
			run := defaultNetwork()
			run.quiet = o.quiet
			if o.quick {
				run.validators, run.heights, run.rounds, run.blocks, run.accounts, run.duration = []int{1, 4}, 50, 1, 10, 100, 4*time.Second
			}
			report, err := runNetwork(ctx, run)
			if report != nil { // what was not measured is in it
				return report, nil
			}
			return nil, err
		}},
	}
}
