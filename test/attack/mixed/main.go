// Command mixed runs every attack at the same time against one node beside an honest load, and says whether the node withstood
// it.
// Every honest transaction must be accepted, their time until PRE_CONFIRMED must stay within a factor of the same load without the
// attack, the memory of all processes under a ceiling; no process may restart, and at the end `ordo db check` and `ordo replay` must
// find the chain whole. Then the same in a memory cgroup.
//
// The seed decides which client does what and when; what of it meets at the node is up to the machine. Traffic goes to the
// loopback network only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

type options struct {
	bin, cairo, dir string
	seed            uint64
	duration        time.Duration // under attack
	limited         time.Duration // the same in a memory cgroup; 0: not done
	limitMiB        int
	turn            time.Duration
	clients         int
	niceness        int // of the attackers
	rate            float64
	accounts        int
	factor          float64
	ceilingMiB      int
	only            []string
	json            string
	keep            bool
	readLog         bool
	nodeArgs        []string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] { // the two roles that this program gives to processes of its own
		case attackRole:
			os.Exit(exitCode(attack(os.Stdin, os.Stdout)))
		case enterRole:
			os.Exit(exitCode(enter(os.Args[2:])))
		}
	}
	o := options{}
	var only, nodeArgs string
	var list bool
	flag.StringVar(&o.bin, "bin", "bin", "folder with ordo, plugins and contracts, as make build fills it")
	flag.StringVar(&o.cairo, "cairo", os.Getenv("ORDO_E2E_CAIRO"), "folder with the compiled contracts of contracts/cairo")
	flag.StringVar(&o.dir, "dir", "", "folder for chains and logs; empty: a temporary one, removed when all went well")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the run")
	flag.DurationVar(&o.duration, "duration", 7*time.Minute, "how long the node is attacked")
	flag.DurationVar(&o.limited, "limited", 3*time.Minute, "how long it is attacked again in a memory cgroup; 0: not at all")
	flag.IntVar(&o.limitMiB, "limit-mib", 2048, "memory of that cgroup")
	flag.DurationVar(&o.turn, "turn", 15*time.Second, "how long a client stays with one attack")
	flag.IntVar(&o.clients, "clients", 12, "attacking clients")
	flag.IntVar(&o.niceness, "nice", 19, "niceness of the attackers' process")
	flag.Float64Var(&o.rate, "rate", 200, "honest transactions a second")
	flag.IntVar(&o.accounts, "accounts", 50, "honest accounts")
	flag.Float64Var(&o.factor, "factor", 3, "how many times the unattacked p99 until PRE_CONFIRMED the attacked one may be; 0: told, not judged")
	flag.IntVar(&o.ceilingMiB, "ceiling-mib", 2048, "memory that all processes of the node may take together")
	flag.StringVar(&only, "only", "", "attacks to run, by parts of their names, with commas between; empty: all")
	flag.StringVar(&nodeArgs, "node-args", "", "more flags for the node, with blanks between")
	flag.StringVar(&o.json, "json", "", "also write the report to this file")
	flag.BoolVar(&o.keep, "keep", false, "keep the chain and the log although all went well")
	flag.BoolVar(&o.readLog, "read-log", false, "read the node's stderr, which otherwise nothing does while it is attacked")
	flag.BoolVar(&list, "list", false, "list the attacks")
	flag.Parse()
	if list {
		for _, a := range attacker.All() {
			fmt.Println(a.Name())
		}
		return
	}
	o.nodeArgs = strings.Fields(nodeArgs)
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exitCode(run(ctx, o)))
}

var errFailed = errors.New("the node did not withstand it")

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		fmt.Fprintln(os.Stderr, "attack:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "attack:", err)
	return 2
}

// run is one campaign: the node as it is, then the node in a cgroup.
func run(ctx context.Context, o options) (err error) {
	if err := o.complete(); err != nil {
		return err
	}
	report := &Report{Seed: o.seed, Clients: o.clients, Rate: o.rate}
	type part struct {
		name  string
		takes time.Duration
		limit int
	}
	for _, p := range []part{{"no limit", o.duration, 0}, {fmt.Sprintf("cgroup of %d MiB", o.limitMiB), o.limited, o.limitMiB}} {
		if p.takes == 0 {
			continue
		}
		if p.limit > 0 {
			if why := cgroupsMissing(); why != "" {
				report.Skipped = append(report.Skipped, fmt.Sprintf("%s: %s", p.name, why))
				continue
			}
		}
		r := &round{options: o, takes: p.takes, limitMiB: p.limit, dir: filepath.Join(o.dir, strings.ReplaceAll(p.name, " ", "-"))}
		if r.part, err = r.run(ctx, p.name); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		report.Parts = append(report.Parts, r.part)
		r.part.print(os.Stdout)
	}
	for _, s := range report.Skipped {
		fmt.Println("skipped:", s)
	}
	if o.json != "" {
		raw, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(raw, '\n'), 0o644); err != nil {
			return err
		}
	}
	failed := slices.ContainsFunc(report.Parts, func(p *Part) bool { return len(p.Failed) > 0 })
	if failed || o.keep {
		fmt.Println("chains and logs are in", o.dir)
	} else {
		_ = os.RemoveAll(o.dir)
	}
	if failed {
		return fmt.Errorf("%w; repeat with -seed %d", errFailed, o.seed)
	}
	return nil
}

// complete checks the options and makes their paths absolute.
func (o *options) complete() (err error) {
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.bin, "ordo")); err != nil {
		return fmt.Errorf("no %s: run make build first, or name another folder with -bin", filepath.Join(o.bin, "ordo"))
	}
	for _, name := range []string{contractName, accountName} {
		if _, err := os.Stat(artifact(o.cairo, name)); err != nil {
			return fmt.Errorf("%w: scripts/setup.sh --tests compiles contracts/cairo; name the folder with -cairo or ORDO_E2E_CAIRO", err)
		}
	}
	if o.clients < 1 || o.clients > 250 || o.turn < time.Second || !(o.rate > 0) || o.accounts < 1 || o.duration+o.limited < time.Second {
		return errors.New("-clients is 1 to 250, -turn and -duration are at least 1s, -rate and -accounts are above 0")
	}
	for _, word := range o.only {
		if !slices.ContainsFunc(attacker.All(), func(a attacker.Attacker) bool { return strings.Contains(a.Name(), word) }) {
			return fmt.Errorf("-only %s: no attack has this in its name; -list lists them", word)
		}
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "ordo-attack-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	return os.MkdirAll(o.dir, 0o700)
}
