package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/node"
)

const networkLong = `Run networks of validators on this machine, one after the other, with each engine and each number of validators, and compare them with
solo alone. Each network is an ` + "`ordo localnet`" + ` of its own; solo is run with one validator only, since it decides alone.

Empty heights: an operator at each node asks for a block (devnet_createBlock) and asks again as soon as that one is decided, so that heights
follow each other without a pause. Full heights: blocks of --block transfers, a limit of the execution stage (block.max_transactions). The
transactions wait in the pools of all nodes before the clock begins, behind one nonce for each account that is held back and sent last, so
that nothing is admitted while blocks are made. The time of a height is the difference between the moments at which node 0 saw it and the
one before it decided (ordo_network, heights): the moment from which its readers see the block. Of the full heights those count that are
full and follow a full one.

Processor time of a height and validator is what all processes of all nodes used between the first and the last height (/proc), divided by the
heights and the nodes; of full heights, by the transactions over --block. Memory is the resident set of all processes of a node, at the
end of the load, mean over the nodes. tx/s is what ` + "`ordo bench load`" + ` reaches in the closed model with all clients at node 0, on a network
without that limit of a block. The nodes share the processors of this machine, and so does the tool.

Ratios are to solo: how many times its time and processor time, and which part of its tx/s. The column "allowed" is a goal: solo's time of a full
height times the executions that the processors share (one for each validator), and 40 ms.`

// NetworkReport is what a run found.
type NetworkReport struct {
	Environment
	Baseline string       `json:"baseline"` // what the ratios are to
	Block    int          `json:"block_transactions"`
	Runs     []NetworkRun `json:"runs"`
	Skipped  []string     `json:"not_measured,omitempty"`
}

// NetworkRun is one engine with one number of validators.
type NetworkRun struct {
	Consensus  string      `json:"consensus"`
	Validators int         `json:"validators"`
	Empty      Heights     `json:"empty"`
	Full       Heights     `json:"full"`
	Load       NetworkLoad `json:"load"`
	Ratios     *Ratios     `json:"ratios,omitempty"` // to the baseline
}

// Heights are heights that followed each other.
type Heights struct {
	Count        int                 `json:"count"`
	Milliseconds latency.Percentiles `json:"ms"` // from one decided block to the next, at node 0
	CPU          float64             `json:"cpu_ms_per_validator"`
	Processes    map[string]float64  `json:"cpu_ms_per_process"` // of CPU, by program
	Rounds       []float64           `json:"p50_ms_by_round,omitempty"`
}

// NetworkLoad is a load on a network.
type NetworkLoad struct {
	Speed    float64            `json:"tx_per_second"`
	Blocks   int                `json:"blocks"`
	Accepted int                `json:"accepted_on_l2"`
	Accept   float64            `json:"accepted_p99_ms"`
	CPU      float64            `json:"cpu_ms_per_tx_and_validator"`
	Memory   float64            `json:"memory_mb_per_validator"`
	RSS      map[string]float64 `json:"memory_mb_per_process"` // of Memory, by program
}

// Ratios are to the baseline of the report.
type Ratios struct {
	Empty    float64 `json:"empty_p50"`
	Full     float64 `json:"full_p50"`
	EmptyCPU float64 `json:"empty_cpu"` // of one validator
	FullCPU  float64 `json:"full_cpu"`
	Speed    float64 `json:"tx_per_second"`
	Allowed  float64 `json:"full_allowed_ms"` // the goal
}

// beside is what a network may need for a full height beyond the executions.
const beside = 40 // ms

type networkOptions struct {
	consensus  []string
	validators []int
	heights    int
	block      int
	rounds     int
	blocks     int
	accounts   int
	duration   time.Duration
	dir        string
	json       string
	quiet      bool
}

// solo is the baseline.
const solo = "solo"

func defaultNetwork() networkOptions {
	return networkOptions{consensus: []string{solo, "comet", "malachite", "raft"}, validators: []int{1, 4, 7}, heights: 500, block: 500, rounds: 3, blocks: 20,
		accounts: 200, duration: 15 * time.Second}
}

func networkCommand() *cobra.Command {
	o := defaultNetwork()
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Networks of validators beside solo: time of a height, tx/s, processor time, memory",
		Long:  networkLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runNetwork(cmd.Context(), o)
			if report != nil {
				report.Print(cmd.OutOrStdout())
				err = errors.Join(writeJSON(o.json, report), err)
			}
			if err != nil {
				return fmt.Errorf("network: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.consensus, "consensus", o.consensus, "consensus plugins, shipped names or paths; those that are not built are skipped")
	f.IntSliceVar(&o.validators, "validators", o.validators, "numbers of validators")
	f.IntVar(&o.heights, "heights", o.heights, "empty heights that count")
	f.IntVar(&o.block, "block", o.block, "transactions of a full block")
	f.IntVar(&o.blocks, "blocks", o.blocks, "full blocks in a round")
	f.IntVar(&o.rounds, "rounds", o.rounds, "rounds of full blocks that count, after one that does not")
	f.IntVar(&o.accounts, "accounts", o.accounts, "senders")
	f.DurationVar(&o.duration, "duration", o.duration, "of the load; 0: no load")
	f.StringVar(&o.dir, "dir", "", "folder for the networks; removed at the end (default: the system's for temporary files)")
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	f.SortFlags = false
	return cmd
}

func (o *networkOptions) check() error {
	switch {
	case len(o.consensus) == 0 || len(o.validators) == 0:
		return errors.New("--consensus and --validators must name one at least")
	case slices.Min(o.validators) < 1 || slices.Max(o.validators) > 45:
		return errors.New("--validators: choose 1 to 45")
	case o.heights < 1 || o.heights > 4000:
		return errors.New("--heights: choose 1 to 4000")
	case o.block < 1 || o.blocks < 3 || o.rounds < 1:
		return errors.New("--block and --rounds must be at least 1, --blocks at least 3")
	case o.accounts < 1 || o.accounts > 255:
		return errors.New("--accounts: choose 1 to 255")
	case o.duration != 0 && o.duration < time.Second:
		return errors.New("--duration: choose at least 1s, or 0")
	}
	return nil
}

func runNetwork(ctx context.Context, o networkOptions) (*NetworkReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	installed, err := node.Installed()
	if err != nil {
		return nil, err
	}
	report := &NetworkReport{Environment: environment(), Baseline: solo + ", 1 validator", Block: o.block}
	bar := newBar(-1, o.quiet, "network")
	defer bar.Finish()
	var failed []error
	for _, engine := range o.consensus {
		if _, err := installed.Plugin("consensus", engine); err != nil {
			report.Skipped = append(report.Skipped, fmt.Sprintf("%s: it is not built: %v", engine, err))
			continue
		}
		for _, n := range o.validators {
			if engine == solo && n != 1 {
				continue
			}
			say := func(what string) { bar.Describe(fmt.Sprintf("%s, %d validators: %s", engine, n, what)); _ = bar.Add(1) }
			run, err := measureNetwork(ctx, o, engine, n, say)
			if ctx.Err() != nil { // what was measured until then is worth having
				if report.compare(); len(report.Runs) == 0 {
					report = nil
				}
				return report, ctx.Err()
			}
			if err != nil {
				err = fmt.Errorf("%s, %d validators: %w", engine, n, err)
				first, _, _ := strings.Cut(err.Error(), "\n")
				report.Skipped, failed = append(report.Skipped, first), append(failed, err)
				continue
			}
			report.Runs = append(report.Runs, *run)
		}
	}
	report.compare()
	if len(report.Runs) == 0 {
		return nil, errors.Join(append(failed, errors.New("nothing was measured: "+strings.Join(report.Skipped, "; ")))...)
	}
	return report, errors.Join(failed...)
}

// compare computes the ratios to the baseline.
func (r *NetworkReport) compare() {
	at := slices.IndexFunc(r.Runs, func(one NetworkRun) bool { return one.Consensus == solo })
	if at < 0 {
		r.Baseline = ""
		return
	}
	over := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	base := r.Runs[at]
	for i := range r.Runs {
		one := &r.Runs[i]
		one.Ratios = &Ratios{
			Empty: over(one.Empty.Milliseconds.P50, base.Empty.Milliseconds.P50), Full: over(one.Full.Milliseconds.P50, base.Full.Milliseconds.P50),
			EmptyCPU: over(one.Empty.CPU, base.Empty.CPU), FullCPU: over(one.Full.CPU, base.Full.CPU), Speed: over(one.Load.Speed, base.Load.Speed),
		}
		if i != at {
			one.Ratios.Allowed = base.Full.Milliseconds.P50*float64(one.Validators) + beside
		}
	}
}
