// Package db is the command line of the storage plugin badger, which ordo db runs: check, repair and stats of a folder that no
// node has open.
package db

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/plugins/storage/badger"
	"github.com/ordo-sequencer/ordo/sdk/progress"
)

// Exit statuses.
const (
	fine    = 0
	damaged = 1
	unable  = 2
)

const usage = `usage: db check|repair|stats [--json] [--yes] DIR

  check    verify every file, block, index, state entry and root; change nothing
  repair   go back to the last block below which everything verifies, and keep a copy of what is there now
  stats    keys and bytes by kind, heights, roots, levels

DIR is the folder of the database. Exit status: 0 all right, 1 damage, 2 it could not be done.
`

// Main runs the command and returns the exit status.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 1 && args[0] == "protocol" { // asked by `ordo db`: does this plugin have the command?
		fmt.Fprintln(out, "ordo storage db 1")
		return fine
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c := command{ctx: ctx, in: in, out: out, errs: errs}
	flags := flag.NewFlagSet("db", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() { fmt.Fprint(errs, usage) }
	flags.BoolVar(&c.json, "json", false, "print JSON")
	flags.BoolVar(&c.yes, "yes", false, "do not ask")
	if len(args) == 0 {
		flags.Usage()
		return unable
	}
	if err := flags.Parse(args[1:]); err != nil {
		return unable
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return unable
	}
	dir := flags.Arg(0)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return c.fail(fmt.Errorf("there is no folder %s", dir))
	}
	run, known := map[string]func(string) int{"check": c.check, "repair": c.repair, "stats": c.stats}[args[0]]
	if !known {
		flags.Usage()
		return unable
	}
	return run(dir)
}

type command struct {
	ctx       context.Context
	in        io.Reader
	out, errs io.Writer
	json, yes bool
}

func (c command) fail(err error) int {
	fmt.Fprintln(c.errs, "db:", err)
	return unable
}

func (c command) printJSON(v any) {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

func (c command) check(dir string) int {
	steps, done := c.progress()
	r, err := badger.Check(c.ctx, dir, steps)
	done()
	if err != nil {
		return c.fail(err)
	}
	if c.json {
		c.printJSON(r)
	} else {
		c.report(r)
	}
	if r.Damaged {
		return damaged
	}
	return fine
}

func (c command) report(r *badger.Report) {
	for _, v := range r.Verdicts {
		mark := "ok     "
		if !v.OK {
			mark = "DAMAGED"
		}
		fmt.Fprintf(c.out, "%s  %s: %s\n", mark, v.What, v.Detail)
	}
	fmt.Fprintf(c.out, "chain %s, %d blocks, %d with a root, %d good from the first on\n", r.Chain, r.Blocks, r.Rooted, r.Good)
	if r.Root != "" {
		fmt.Fprintf(c.out, "hash %s\nroot %s\n", r.Head, r.Root)
	}
	if r.Remedy != "" {
		fmt.Fprintln(c.out, r.Remedy)
	}
}

func (c command) repair(dir string) int {
	steps, done := c.progress()
	log := hclog.New(&hclog.LoggerOptions{Output: c.errs, Level: hclog.Warn})
	p, err := badger.Repair(c.ctx, dir, badger.RepairOptions{Progress: steps, Log: log, Agree: func(p *badger.Plan) bool {
		done()
		return c.agree(p)
	}})
	done()
	switch {
	case errors.Is(err, badger.ErrDeclined):
		fmt.Fprintln(c.errs, "db:", err)
		return damaged
	case err != nil:
		return c.fail(err)
	case c.json:
		c.printJSON(p)
	case p.Nothing:
		fmt.Fprintf(c.out, "nothing to repair: %d blocks, all of them good\n", p.Report.Blocks)
	default:
		fmt.Fprintf(c.out, "repaired: %d blocks are kept; what was there before is in %s\n", p.Keeps, p.Copy)
	}
	return fine
}

// agree says what will be lost, and asks.
func (c command) agree(p *badger.Plan) bool {
	if !c.json {
		c.report(p.Report)
	}
	how := "A new database is built from the good blocks, every root recomputed, and the folder of now is kept as "
	if p.InPlace {
		how = "The torn end is cut off, and copies of the files that change are kept in "
	}
	fmt.Fprintf(c.errs, "\nREPAIR keeps blocks 0 to %d. %s%s\n", p.Keeps-1, how, p.Copy)
	if len(p.Loses) == 0 {
		fmt.Fprintln(c.errs, "No block is lost.")
	} else {
		fmt.Fprintf(c.errs, "THESE ARE LOST: %s\n", strings.Join(p.Loses, "; "))
	}
	if c.yes {
		return true
	}
	fmt.Fprint(c.errs, "Go on? Type yes: ")
	line, _ := bufio.NewReader(c.in).ReadString('\n')
	return strings.TrimSpace(line) == "yes"
}

func (c command) stats(dir string) int {
	steps, done := c.progress()
	s, err := badger.Stats(c.ctx, dir, steps)
	done()
	if err != nil {
		return c.fail(err)
	}
	if c.json {
		c.printJSON(s)
		return fine
	}
	fmt.Fprintf(c.out, "chain %s: %d blocks, %d with a root, %d promised; state is kept from block %d on; trie pages hold %d blocks\n",
		s.Chain, s.Blocks, s.Rooted, s.Promised, s.HistoryFloor, s.Checkpoint)
	if s.Root != "" {
		fmt.Fprintf(c.out, "hash %s\nroot %s\n", s.Hash, s.Root)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tKIND\tKEYS\tBYTES\t")
	for _, k := range s.Kinds {
		fmt.Fprintf(w, "\t%s\t%d\t%d\t\n", k.Name, k.Keys, k.Bytes)
	}
	for _, l := range s.Levels {
		fmt.Fprintf(w, "\tlevel %d\t%d tables\t%d\t\n", l.Level, l.Tables, l.Bytes)
	}
	fmt.Fprintf(w, "\tlogs\t\t%d\t\n\tfree\t\t%d\t\n", s.LogBytes, s.Free)
	_ = w.Flush()
	return fine
}

// progress shows the steps on stderr.
func (c command) progress() (badger.Progress, func()) {
	shown := progress.New("db", c.errs)
	return shown.At, shown.Close
}
