package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
)

const growthLong = `Measure what does not get slower as things grow, and what does.

State: the same load on chains whose fee token has 1,000 and more holders, each size on a chain of its own; the rounds go
through the sizes in turn, so that what else the machine does weighs on all of them.
Blocks: one block of transfers after the other, of different sizes, through execution, then the commitments of its header.
Pool: the processor time that admission with its rank, and taking and committing a block of 100, cost with many others waiting,
from 1,000 accounts and from as many accounts as wait.`

// GrowthReport is what a run found.
type GrowthReport struct {
	Environment
	State  []StateSize `json:"state,omitempty"`
	Blocks []BlockSize `json:"blocks,omitempty"`
	Pool   []PoolSize  `json:"pool,omitempty"`
}

// StateSize is a state with the load that ran on it.
type StateSize struct {
	Keys       int       `json:"keys"`          // that were added to those of genesis
	FillS      float64   `json:"fill_seconds"`  // 0: it was there, from a run with --keep
	StartS     float64   `json:"start_seconds"` // of a node on it, median
	DiskMB     float64   `json:"disk_mb"`
	Median     float64   `json:"tx_per_second"`
	Rounds     []float64 `json:"rounds"`
	AcceptP99  float64   `json:"accepted_p99_ms"` // of the last round
	StorageMB  float64   `json:"storage_rss_mb"`
	StorageCPU float64   `json:"storage_cpu_ms_per_tx"` // median, as the next
	NodeCPU    float64   `json:"node_cpu_ms_per_tx"`    // of all processes: it tells more than the speed on a machine that does other things
}

// BlockSize is the time of a block.
type BlockSize struct {
	Transactions int       `json:"transactions"`
	Execute      float64   `json:"execute_ms"` // median, from its start to its close
	Seal         float64   `json:"seal_ms"`
	PerTx        float64   `json:"us_per_transaction"` // of both
	Rounds       []float64 `json:"execute_rounds_ms"`
}

// PoolSize is the cost of one transaction's way through the pool.
type PoolSize struct {
	Waiting  int     `json:"waiting"`
	Admit    float64 `json:"admit_us"`     // with its rank
	Take     float64 `json:"take_us"`      // of a block of 100, for each
	AdmitOwn float64 `json:"admit_own_us"` // the same when each of those that wait has an account of its own
	TakeOwn  float64 `json:"take_own_us"`
	MB       float64 `json:"heap_mb"` // of all that wait
}

type growthOptions struct {
	sizes, blocks, pool []int
	rounds              int
	duration            time.Duration
	accounts            int
	native              bool
	dir                 string
	keep                bool
	json                string
	quiet               bool
}

func growthCommand() *cobra.Command {
	o := defaultGrowth()
	cmd := &cobra.Command{
		Use:   "growth",
		Short: "Large states, large blocks, a full pool",
		Long:  growthLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runGrowth(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("growth: %w", err)
			}
			report.Print(cmd.OutOrStdout())
			return writeJSON(o.json, report)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.sizes, "sizes", o.sizes, "keys of the state; 10000000 takes about 4 GB of disk and ten minutes to make; 0: skip")
	f.IntSliceVar(&o.blocks, "blocks", o.blocks, "transactions in a block; 0: skip")
	f.IntSliceVar(&o.pool, "pool", o.pool, "transactions that wait in the pool; 0: skip")
	f.IntVar(&o.rounds, "rounds", o.rounds, "rounds through the sizes")
	f.DurationVar(&o.duration, "duration", o.duration, "of the load on each state, each round")
	f.IntVar(&o.accounts, "accounts", o.accounts, "accounts of that load")
	f.BoolVar(&o.native, "native", false, "Cairo Native for the blocks")
	f.StringVar(&o.dir, "dir", "", "folder for the chains; removed at the end (default: the system's for temporary files)")
	f.BoolVar(&o.keep, "keep", false, "leave the states in --dir, and go on with those that an earlier run left there")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	f.SortFlags = false
	return cmd
}

func defaultGrowth() growthOptions {
	return growthOptions{
		sizes: []int{1_000, 100_000}, blocks: []int{10, 100, 1_000, 10_000}, pool: []int{100, 1_000, 10_000, 100_000},
		rounds: 3, duration: 15 * time.Second, accounts: 200,
	}
}

func runGrowth(ctx context.Context, o growthOptions) (*GrowthReport, error) {
	if o.rounds < 1 || o.duration < time.Second || o.accounts < 1 {
		return nil, errors.New("--rounds and --accounts must be at least 1, --duration at least 1s")
	}
	for _, list := range [][]int{o.sizes, o.blocks, o.pool} {
		if len(list) > 1 && slices.Min(list) < 1 || len(list) == 1 && list[0] < 0 {
			return nil, errors.New("--sizes, --blocks and --pool must be above 0, or 0 alone to skip")
		}
	}
	if o.keep && o.dir == "" {
		return nil, errors.New("--keep needs --dir: where the states are to stay")
	}
	report := &GrowthReport{Environment: environment()}
	bar := newBar(-1, o.quiet, "growth")
	defer bar.Finish()
	for _, part := range []struct {
		sizes []int
		run   func(context.Context, growthOptions, *progressbar.ProgressBar) error
	}{{o.pool, report.measurePool}, {o.blocks, report.measureBlocks}, {o.sizes, report.measureState}} {
		if len(part.sizes) == 0 || part.sizes[0] == 0 {
			continue
		}
		if err := part.run(ctx, o, bar); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// measureState fills a chain for each size, then loads them in turn.
func (r *GrowthReport) measureState(ctx context.Context, o growthOptions, bar *progressbar.ProgressBar) error {
	dir := o.dir
	if !o.keep {
		made, remove, err := scratch(o.dir)
		if err != nil {
			return err
		}
		defer remove()
		dir = made
	}
	run := defaultLoad()
	run.Accounts, run.Duration, run.quiet = o.accounts, o.duration, true
	chain := func(keys int) string { return filepath.Join(dir, fmt.Sprintf("state-%d", keys)) }
	for _, keys := range o.sizes {
		s := StateSize{Keys: keys}
		if _, err := os.Stat(filepath.Join(chain(keys), filledMark)); err != nil {
			begun := time.Now()
			if err := makeState(ctx, run, chain(keys), keys, o.quiet); err != nil {
				return fmt.Errorf("state of %d keys: %w", keys, err)
			}
			s.FillS = time.Since(begun).Seconds()
		}
		r.State = append(r.State, s)
	}
	starts, storage, all := make([][]float64, len(o.sizes)), make([][]float64, len(o.sizes)), make([][]float64, len(o.sizes))
	for round := range o.rounds {
		for i, keys := range o.sizes {
			bar.Describe(fmt.Sprintf("state of %d keys: load, round %d of %d", keys, round+1, o.rounds))
			s := &r.State[i]
			begun := time.Now()
			one := func(url string, pid int) error {
				starts[i] = append(starts[i], time.Since(begun).Seconds())
				report, err := runOn(ctx, run, url, pid)
				if err != nil {
					return err
				}
				s.Rounds, s.AcceptP99 = append(s.Rounds, report.Speed), report.Accept.P99
				sum := 0.0
				for _, p := range report.Processes {
					each := p.CPU * 1000 / float64(max(1, report.Accepted))
					if sum += each; p.Name == "ordo-storage-badger" {
						s.StorageMB, storage[i] = max(s.StorageMB, p.PeakRSS), append(storage[i], each)
					}
				}
				all[i] = append(all[i], sum)
				return nil
			}
			if err := run.onOwnNode(ctx, chain(keys), one); err != nil {
				return fmt.Errorf("state of %d keys: %w", keys, err)
			}
			s.DiskMB = float64(diskUse(filepath.Join(chain(keys), "storage"))) / (1 << 20)
		}
	}
	for i := range r.State {
		s := &r.State[i]
		s.Median, s.StartS, s.NodeCPU = median(slices.Clone(s.Rounds)), median(starts[i]), median(all[i])
		if len(storage[i]) > 0 {
			s.StorageCPU = median(storage[i])
		}
	}
	return nil
}

// runOn is one run of the load on a node; an unbalanced book is an error.
func runOn(ctx context.Context, o loadOptions, url string, pid int) (*load.Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return load.Run(ctx, o.Options, url, pid)
}

func diskUse(dir string) (n int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Print writes a report for people.
func (r *GrowthReport) Print(out io.Writer) {
	for _, s := range r.State {
		fmt.Fprintf(out, "state of %9d more keys: %6.0f tx/s, %.3f ms of the processor each, accepted p99 %6.0f ms, storage %.3f ms each and %.0f MB, disk %.0f MB, made in %.0f s, started in %.2f s\n",
			s.Keys, s.Median, s.NodeCPU, s.AcceptP99, s.StorageCPU, s.StorageMB, s.DiskMB, s.FillS, s.StartS)
	}
	for _, b := range r.Blocks {
		fmt.Fprintf(out, "block of %6d: execution %9.1f ms, commitments %8.1f ms: %6.0f us for each transaction\n", b.Transactions, b.Execute, b.Seal, b.PerTx)
	}
	for _, p := range r.Pool {
		fmt.Fprintf(out, "pool of %7d waiting: admission %6.2f us, taking and committing %6.2f us; each from its own account %6.2f and %6.2f us; %.0f MB\n",
			p.Waiting, p.Admit, p.Take, p.AdmitOwn, p.TakeOwn, p.MB)
	}
}
