// Command chaos kills the processes of a running node at random under load, and then holds the chain against what was promised.
// docs/spec/recovery.md says what that is.
//
// A run is rounds. A round is one chain: `ordo dev` with its five real processes on a data folder, senders, an observer
// that reads the pre-confirmed block all the time, and strikes: SIGKILL or SIGSTOP to a plugin, to the core, to two, to all
// five, in the middle of a start, in the middle of a recovery. Then it is left alone until nothing is on its way, read from
// block 0, stopped, and executed again from genesis.
//
// With --localnet N a round is a network of N validators. The strikes fall on whole nodes and single plugins of any of them, and a node that was
// killed is down for a while. At the end every node must have the same blocks, hashes and roots, each acknowledged transaction in exactly one
// block or with a reason why it is in none, no evidence of a second signature, and a database that ordo db check finds whole.
//
// The seed decides what is sent, which process is struck and how; when a signal meets a process is up to the machine. So a seed
// repeats the attack, not to the microsecond.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bin      string
	seed     uint64
	kills    int
	each     int // kills of a round
	limit    time.Duration
	targets  []string
	killOnly bool
	budget   bool // also the scenario of a spent budget
	pace     time.Duration
	dir      string
	keep     bool

	localnet  int    // nodes of a network; 0: one node
	consensus string // of a network
	basePort  int    // of a network
	logLevel  string
}

func main() {
	o := options{}
	var minutes float64
	var targets string
	flag.StringVar(&o.bin, "bin", "bin", "folder with ordo, plugins and contracts, as make build fills it")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of the run; 0 takes one from the clock")
	flag.IntVar(&o.kills, "kills", 1000, "strikes in all")
	flag.IntVar(&o.each, "round", 40, "strikes of a round; each round is a new chain")
	flag.Float64Var(&minutes, "minutes", 60, "no round begins, and no strike falls, after so many minutes")
	flag.StringVar(&targets, "targets", "core,"+strings.Join(stages, ","), "which processes are struck; the first gets more than its share")
	flag.BoolVar(&o.killOnly, "kill-only", false, "no SIGSTOP")
	flag.BoolVar(&o.budget, "budget", true, "also spend the budget of restarts, once for each five rounds")
	flag.DurationVar(&o.pace, "pace", 60*time.Millisecond, "mean pause of a sender")
	flag.StringVar(&o.dir, "dir", "", "folder for chains and logs; empty: a temporary one")
	flag.StringVar(&o.logLevel, "log-level", "warn", "of the nodes")
	flag.BoolVar(&o.keep, "keep", false, "keep the folders of rounds without a violation too")
	flag.IntVar(&o.localnet, "localnet", 0, "strike a network of so many validators (ordo localnet), not one node")
	flag.StringVar(&o.consensus, "consensus", "comet", "its consensus plugin: a shipped name, or a path")
	flag.IntVar(&o.basePort, "base-port", 0, "port of its first node; 0 takes free ones")
	flag.Parse()
	o.limit = time.Duration(minutes * float64(time.Minute))
	o.targets = strings.Split(targets, ",")
	for _, t := range o.targets {
		if t != core && !slices.Contains(stages, t) {
			fmt.Fprintf(os.Stderr, "chaos: --targets %s: choose of core,%s\n", t, strings.Join(stages, ","))
			os.Exit(2)
		}
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := run(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if len(report.failed()) > 0 {
		os.Exit(1)
	}
}

// run is a campaign.
func run(ctx context.Context, o options, out io.Writer) (*report, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	o.bin = bin
	if _, err := os.Stat(filepath.Join(o.bin, "ordo")); err != nil {
		return nil, fmt.Errorf("no %s: run make build first, or name another folder with --bin", filepath.Join(o.bin, "ordo"))
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "ordo-chaos-"); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	again := ""
	if o.localnet > 0 {
		again = fmt.Sprintf(" --localnet %d --consensus %s", o.localnet, o.consensus)
	}
	fmt.Fprintf(out, "seed %d; repeat with --seed %d --kills %d --round %d%s\n", o.seed, o.seed, o.kills, o.each, again)
	report := newReport(out)
	begun := time.Now()
	for number := 0; report.strikes < o.kills && time.Since(begun) < o.limit && ctx.Err() == nil; number++ {
		r := &round{number: number, report: report}
		r.seed = rand.New(rand.NewPCG(o.seed, uint64(number))).Uint64()
		r.setting = settings[(o.seed+uint64(number))%uint64(len(settings))]
		r.pace = o.pace
		if r.seed%3 == 0 { // now and then blocks with much in them
			r.pace /= 6
		}
		spend := o.budget && number%5 == 4 && o.localnet == 0
		r.ephemeral = number%7 == 3 && !spend && len(o.targets) > 1 && o.localnet == 0
		r.dir = filepath.Join(o.dir, fmt.Sprintf("round-%d", number))
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return nil, err
		}
		kills, until := min(o.each, o.kills-report.strikes), begun.Add(o.limit)
		if o.localnet > 0 {
			n := &netRound{round: r}
			r.network = fmt.Sprintf("%d validators of %s", o.localnet, o.consensus)
			r.struck = n
			err = n.run(ctx, o, kills, until)
		} else {
			n := &nodeRound{round: r}
			r.struck = n
			if spend {
				err = n.spend(ctx, o)
			} else {
				err = n.run(ctx, o, kills, until)
			}
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			r.fail("%v", err)
		}
		report.add(r)
		fmt.Fprintf(out, "%s round %d: %s; %d strikes so far, %d transactions, %d violations\n",
			time.Now().Format("15:04:05"), number, r.setting, report.strikes, report.included, len(report.failed()))
		if len(r.wrong) == 0 && !o.keep {
			_ = os.RemoveAll(r.dir)
		} else {
			fmt.Fprintf(out, "  kept in %s\n", r.dir)
		}
	}
	_ = os.Remove(o.dir) // if nothing is kept
	report.print()
	fmt.Fprintf(out, "seed %d, %s\n", o.seed, time.Since(begun).Round(time.Second))
	return report, nil
}

// run is an ordinary round.
func (r *nodeRound) run(ctx context.Context, o options, kills int, until time.Time) error {
	finish, end, err := r.begin(ctx, o, r.flags(1_000_000, "1s"))
	if end != nil {
		defer end()
	}
	if err != nil {
		return err
	}
	r.report.rounds++
	r.strikes(ctx, o, kills, until)
	finish()
	if ctx.Err() == nil {
		r.judge(ctx, o)
	}
	return nil
}
