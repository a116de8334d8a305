package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/pedersen"
	"github.com/ordo-sequencer/ordo/starknet/trie"
)

const commitLong = `Compute the state root after a block of transfers, on a state of --leaves balances and as many contracts, all in memory.
A transfer changes two balances and a nonce, a block also the sequencer's balance and a slot of contract 0x1.

Each block is committed twice on the same tries, once with ordo's Pedersen hash and once with gnark-crypto's, which Go code
commonly uses; the block is taken back in between, the order alternates, and both must find the same root. Rounds are
compared in pairs, after one that does not count. Time is measured by the clock and, as "cpu", in processor time of this
process, which other load on the machine disturbs less.

Before, single hashes of two felts are compared in the same way, Pedersen and Poseidon, on one processor: ordo's in batches and
one by one, gnark-crypto's (Pedersen only), and those of the crate starknet-types-core, timed by the execution plugin that is
built with it.`

// Commit is what a run of `ordo bench commit` found.
type Commit struct {
	Leaves     int        `json:"leaves"`
	Transfers  int        `json:"transfers"`
	Cores      int        `json:"cores"`
	Processors int        `json:"processors"`
	Hashes     int        `json:"pedersen_hashes"` // of one block, the median
	Build      float64    `json:"build_seconds"`
	Ours       CommitSide `json:"ordo"`
	Gnark      CommitSide `json:"gnark"`
	Ratio      float64    `json:"ratio"`     // gnark / ours by the clock, the median over pairs
	CPURatio   float64    `json:"cpu_ratio"` // the same in processor time
	Each       []HashCost `json:"hashes"`
	Not        []string   `json:"not_measured,omitempty"` // which of the hashes' implementations, and why
}

// CommitSide is one implementation of the hash.
type CommitSide struct {
	Median float64   `json:"ms"`
	CPU    float64   `json:"cpu_ms"`
	Rounds []float64 `json:"rounds_ms"`
	cpu    []float64
}

type commitOptions struct {
	json, profile                    string
	leaves, transfers, cores, rounds int
	quiet                            bool
}

func commitCommand() *cobra.Command {
	var o commitOptions
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "The state root of a block of transfers on a large state, and its hashes, beside other libraries",
		Long:  commitLong,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.transfers < 1 || o.rounds < 1 || o.cores < 1 {
				return fmt.Errorf("commit: --transfers, --rounds and --cores must be at least 1")
			}
			if o.leaves < 2*o.transfers+1 {
				return fmt.Errorf("commit: %d transfers touch %d balances: --leaves must be at least that", o.transfers, 2*o.transfers+1)
			}
			report, err := measureCommit(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			return report.print(cmd.OutOrStdout(), o.json)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.json, "json", "", "also write the report to this file")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of ordo's side to this file")
	f.IntVar(&o.leaves, "leaves", 1<<20, "balances, and contracts, in the state; a million take 1.5 GB")
	f.IntVar(&o.transfers, "transfers", 1000, "transfers in a block")
	f.IntVar(&o.cores, "cores", 1, "processors to use")
	f.IntVar(&o.rounds, "rounds", 7, "rounds that count, of each side")
	f.BoolVar(&o.quiet, "quiet", false, "no progress bar")
	return cmd
}

func measureCommit(ctx context.Context, o commitOptions) (*Commit, error) {
	r := &Commit{Leaves: o.leaves, Transfers: o.transfers, Cores: o.cores, Processors: runtime.NumCPU()}
	var err error
	if r.Each, r.Not, err = measureHashes(ctx, o.rounds, o.quiet); err != nil {
		return nil, err
	}
	bar := progressbar.NewOptions(o.leaves, progressbar.OptionSetWriter(progressOutput(o.quiet)), progressbar.OptionSetDescription("state"),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(200*time.Millisecond))
	defer bar.Finish()
	begun := time.Now()
	c := &committer{ledger: newLedger(o.leaves), state: trie.NewState(trie.NewMemory())}
	err = c.ledger.build(func(d *trie.Diff) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := c.state.Apply(d)
		return err
	}, func(n int) { _ = bar.Add(n) })
	if err != nil {
		return nil, err
	}
	r.Build = time.Since(begun).Seconds()
	loadGnark()

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.cores))
	bar.Reset()
	bar.ChangeMax(o.rounds + 1)
	bar.Describe("blocks")
	var hashes, ratios, cpuRatios []float64
	for i := range o.rounds + 1 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ours, theirs, err := c.pair(o.transfers, i%2 == 1)
		if err != nil {
			return nil, err
		}
		_ = bar.Add(1)
		if i == 0 {
			continue
		}
		r.Ours.add(ours)
		r.Gnark.add(theirs)
		hashes = append(hashes, float64(theirs.hashes))
		ratios, cpuRatios = append(ratios, theirs.ms/ours.ms), append(cpuRatios, theirs.cpu/ours.cpu)
	}
	r.Ours.settle()
	r.Gnark.settle()
	r.Hashes, r.Ratio, r.CPURatio = int(median(hashes)), median(ratios), median(cpuRatios)
	if o.profile != "" {
		return r, c.profile(o.profile, o.transfers)
	}
	return r, nil
}

// committer commits blocks of a ledger.
type committer struct {
	ledger *ledger
	state  *trie.State
}

// commitRound is one block with one of the hashes.
type commitRound struct {
	ms, cpu float64
	hashes  int
	root    felt.Felt
}

// pair commits the next block with both hashes.
func (c *committer) pair(transfers int, gnarkFirst bool) (ours, theirs commitRound, err error) {
	block, undo := c.ledger.block(transfers)
	sides := []func() error{
		func() error { ours, err = c.commit(block, pedersen.HashPairs); return err },
		func() error { theirs, err = c.commit(block, loadGnark().pairs); return err },
	}
	if gnarkFirst {
		slices.Reverse(sides)
	}
	if err := sides[0](); err != nil {
		return ours, theirs, err
	}
	if _, err := c.commit(undo, pedersen.HashPairs); err != nil {
		return ours, theirs, err
	}
	if err := sides[1](); err != nil {
		return ours, theirs, err
	}
	if ours.root != theirs.root {
		return ours, theirs, fmt.Errorf("ordo finds root %s, gnark %s", ours.root.Hex(), theirs.root.Hex())
	}
	return ours, theirs, nil
}

func (c *committer) commit(d *trie.Diff, hash trie.HashPairs) (commitRound, error) {
	var count atomic.Int64
	c.state.HashWith(func(dst, a, b []felt.Felt) {
		count.Add(int64(len(dst)))
		hash(dst, a, b)
	})
	runtime.GC() // what the last block left is not this one's work
	cpu, begun := processorTime(), time.Now()
	roots, err := c.state.Apply(d)
	took := time.Since(begun)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return commitRound{ms: ms(took), cpu: ms(processorTime() - cpu), hashes: int(count.Load()), root: roots.Root(true)}, err
}

// profile commits a few more blocks, with ordo's hash only, under the profiler.
func (c *committer) profile(file string, transfers int) error {
	var blocks []*trie.Diff
	for range 20 {
		block, _ := c.ledger.block(transfers)
		blocks = append(blocks, block)
	}
	c.state.HashWith(pedersen.HashPairs)
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return errors.Join(err, out.Close())
	}
	for _, d := range blocks {
		if _, e := c.state.Apply(d); e != nil {
			err = e
			break
		}
	}
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close())
}

func (s *CommitSide) add(r commitRound) {
	s.Rounds, s.cpu = append(s.Rounds, r.ms), append(s.cpu, r.cpu)
}

func (s *CommitSide) settle() {
	s.Median, s.CPU = median(slices.Clone(s.Rounds)), median(s.cpu)
}

func (r *Commit) print(out io.Writer, file string) error {
	fmt.Fprintf(out, "%d transfers on a state of %d balances and as many contracts: %d Pedersen hashes, %d of %d processors\n",
		r.Transfers, r.Leaves, r.Hashes, r.Cores, r.Processors)
	line := func(name string, s CommitSide) {
		fmt.Fprintf(out, "%-6s %8.1f ms  (%.1f to %.1f in %d rounds), %8.1f ms cpu\n", name, s.Median, slices.Min(s.Rounds), slices.Max(s.Rounds), len(s.Rounds), s.CPU)
	}
	line("ordo", r.Ours)
	line("gnark", r.Gnark)
	fmt.Fprintf(out, "ratio  %8.1f     (median over pairs of rounds; %.1f in processor time)\n", r.Ratio, r.CPURatio)
	r.printHashes(out)
	if file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}
