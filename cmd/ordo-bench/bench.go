package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/node"
)

const long = `Run the same block of ERC-20 transfers through the execution plugin, over gRPC as the core does, and through the bare
crate in a process without plugin or gRPC: once with the plugin's functions for hashes and signatures, so that the ratio is
what the boundary costs, and once as the crates are published. All use the same workers on the same state; the order
alternates and the rounds are compared with each other, after one that does not count: what else the machine does then weighs
on all. The processes stay warm from round to round, and remember signatures as a node does from admission to block.

Measured is the time from the start of the block to its close. Transactions are signed, and classes loaded, before; with
--native also compiled, which takes half a minute the first time.`

// Report is what a run found.
type Report struct {
	Transactions int     `json:"transactions"`
	Workers      int     `json:"workers"`
	Processors   int     `json:"processors"`
	Engine       string  `json:"engine"` // native, or vm
	Plugin       Side    `json:"plugin"`
	Bare         Side    `json:"bare"`
	Published    Side    `json:"published"`
	Ratio        float64 `json:"ratio"` // plugin / bare: the median over pairs of rounds
	// Gain is plugin / published, likewise.
	Gain float64 `json:"published_ratio"`
	// Work is bare / plugin in processor time, over all rounds: it holds on a busy machine, too.
	Work float64 `json:"work_ratio"`
}

// Side is one of the two.
type Side struct {
	Median float64 `json:"tx_per_second"`
	Rounds []round `json:"rounds"`
}

type round struct {
	Transactions int     `json:"transactions"`
	Seconds      float64 `json:"seconds"`
	Processor    float64 `json:"processor_seconds"` // of all threads of the process
	DiffLength   int     `json:"state_diff_length"`
	NativeCalls  uint64  `json:"native_calls"`
	VMCalls      uint64  `json:"vm_calls"`
}

func (r round) speed() float64 { return float64(r.Transactions) / r.Seconds }

type options struct {
	json         string
	workers      int
	transactions int
	rounds       int
	native       bool
	quiet        bool
}

// execCommand is `ordo-bench exec`.
func execCommand() *cobra.Command {
	var o options
	run := &cobra.Command{
		Use:   "exec",
		Short: "Execution through the plugin against the bare crate",
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.transactions < 1 || o.rounds < 1 || o.workers < 1 {
				return fmt.Errorf("--transactions, --rounds and --workers must be at least 1")
			}
			report, err := measure(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("%w", err)
			}
			return report.print(cmd.OutOrStdout(), o.json)
		},
	}
	f := run.Flags()
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.IntVar(&o.workers, "workers", runtime.NumCPU(), "threads of each executor")
	f.IntVar(&o.transactions, "transactions", 1000, "transfers in the block")
	f.IntVar(&o.rounds, "rounds", 7, "rounds that count, of each side")
	f.BoolVar(&o.native, "native", false, "Cairo Native on both sides; without it the virtual machine")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	return run
}

func measure(ctx context.Context, o options) (*Report, error) {
	installed, err := node.Installed()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(installed.Plugins, "ordo-execution-blockifier")
	bar := progressbar.NewOptions(o.transactions+3*(o.rounds+1), progressbar.OptionSetWriter(progressOutput(o.quiet)),
		progressbar.OptionSetDescription("signing"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false))
	defer bar.Finish()
	w, err := newWorkload(installed, o.transactions, func() { _ = bar.Add(1) })
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ordo-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "block")
	if err := w.write(file); err != nil {
		return nil, err
	}
	plugin, err := startPlugin(ctx, path, o, w)
	if err != nil {
		return nil, err
	}
	defer plugin.plugin.Kill()
	crate, err := startBare(ctx, path, file, o)
	if err != nil {
		return nil, err
	}
	defer crate.close()
	published, err := startBare(ctx, path, file, o, "--published")
	if err != nil {
		return nil, err
	}
	defer published.close()

	report := &Report{Transactions: o.transactions, Workers: o.workers, Processors: runtime.NumCPU(), Engine: "vm"}
	if o.native {
		report.Engine = "native"
	}
	one := func(side *Side, name string, counts bool, run func() (round, error)) error {
		bar.Describe(name)
		r, err := run()
		if err != nil {
			return err
		}
		if r.Transactions != o.transactions {
			return fmt.Errorf("%s: %d of %d transactions are in the block", name, r.Transactions, o.transactions)
		}
		if other := [2]uint64{r.NativeCalls, r.VMCalls}; o.native && other[1] > 0 || !o.native && other[0] > 0 {
			return fmt.Errorf("%s: %d calls ran natively and %d on the virtual machine", name, other[0], other[1])
		}
		if counts {
			side.Rounds = append(side.Rounds, r)
		}
		return bar.Add(1)
	}
	for i := range o.rounds + 1 {
		all := []func() error{
			func() error {
				return one(&report.Plugin, "plugin", i > 0, func() (round, error) { return plugin.run(ctx, w) })
			},
			func() error {
				return one(&report.Bare, "bare crate", i > 0, crate.run)
			},
			func() error {
				return one(&report.Published, "published crates", i > 0, published.run)
			},
		}
		if i%2 == 1 {
			slices.Reverse(all)
		}
		for _, run := range all {
			if err := run(); err != nil {
				return nil, err
			}
		}
	}
	if p, b, c := report.Plugin.Rounds[0].DiffLength, report.Bare.Rounds[0].DiffLength, report.Published.Rounds[0].DiffLength; p != b || b != c {
		return nil, fmt.Errorf("the plugin changed %d cells, the bare crate %d, as published %d: they did not run the same block", p, b, c)
	}
	report.settle()
	return report, nil
}

func (r *Report) settle() {
	r.Ratio, r.Gain = r.Plugin.against(&r.Bare), r.Plugin.against(&r.Published)
	if plugin := r.Plugin.processor(); plugin > 0 {
		r.Work = r.Bare.processor() / plugin
	}
	for _, s := range []*Side{&r.Plugin, &r.Bare, &r.Published} {
		var speeds []float64
		for _, round := range s.Rounds {
			speeds = append(speeds, round.speed())
		}
		if len(speeds) > 0 {
			s.Median = median(speeds)
		}
	}
}

// against is how many times as fast as another side this one is: the median over rounds beside each other.
func (s *Side) against(other *Side) float64 {
	var ratios []float64
	for i := range min(len(s.Rounds), len(other.Rounds)) {
		ratios = append(ratios, s.Rounds[i].speed()/other.Rounds[i].speed())
	}
	if len(ratios) == 0 {
		return 0
	}
	return median(ratios)
}

func median(list []float64) float64 {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func (s *Side) processor() (seconds float64) {
	for _, r := range s.Rounds {
		seconds += r.Processor
	}
	return seconds
}

func (s *Side) span() (low, high float64) {
	low, high = s.Rounds[0].speed(), s.Rounds[0].speed()
	for _, r := range s.Rounds {
		low, high = min(low, r.speed()), max(high, r.speed())
	}
	return low, high
}

func (r *Report) print(out io.Writer, file string) error {
	line := func(name string, s Side) {
		low, high := s.span()
		fmt.Fprintf(out, "%-11s %8.0f tx/s  (%.0f to %.0f in %d rounds), %.2f ms of processor a transaction\n", name, s.Median, low, high, len(s.Rounds),
			s.processor()*1000/float64(len(s.Rounds)*r.Transactions))
	}
	fmt.Fprintf(out, "%d ERC-20 transfers in one block, %d workers on %d processors, engine: %s\n", r.Transactions, r.Workers, r.Processors, r.Engine)
	line("plugin", r.Plugin)
	line("bare crate", r.Bare)
	fmt.Fprintf(out, "ratio       %8.3f       (median over pairs of rounds; %.3f in processor time)\n", r.Ratio, r.Work)
	if len(r.Published.Rounds) > 0 {
		line("published", r.Published)
		fmt.Fprintf(out, "ratio       %8.2f       (plugin / crates as published)\n", r.Gain)
	}
	if file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

func progressOutput(quiet bool) io.Writer {
	if quiet {
		return io.Discard
	}
	return node.Progress()
}
