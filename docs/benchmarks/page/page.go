package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
)

// page is the text with what it is made from.
type page struct {
	dir  string
	text strings.Builder
	any  bool
}

const head = `# Benchmarks

Made by one command (` + "`make bench-page`" + `: ` + "`ordo bench all --out docs/benchmarks/raw`" + `, then ` + "`go run . ..`" + ` in ` + "`docs/benchmarks/page`" + `). The numbers behind
each plot are in [raw](raw), so that it can be drawn again. Figures are worth something on the machine they name only; ratios
within one run travel better.

`

// write makes the plots and the page of a folder.
func write(dir string) error {
	p := &page{dir: dir}
	p.text.WriteString(head)
	for _, section := range []func() error{p.loadClosed, p.loadOpen, p.loadKinds, p.exec, p.commit, p.hop, p.start, p.growth, p.network} {
		if err := section(); err != nil {
			return err
		}
	}
	if !p.any {
		return errors.New("no results in raw: run ordo bench all --out " + filepath.Join(dir, "raw"))
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(p.text.String()), 0o644)
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

func (p *page) plot(name, what string) { p.say("![%s](%s.svg)\n\n", what, name) }

// where names machine, load and command of a result.
func (p *page) where(e environment) {
	p.any = true
	p.say("%s, %d processors, %.1f GB, Linux %s, %s; %s; load average at the start %.2f", e.Processor, e.Processors, float64(e.MemoryMB)/1024, e.Kernel, e.Go, e.When, e.Load)
	if e.Busy != nil {
		p.say(", %.0f %% of the processors in use", *e.Busy*100)
	}
	p.say(".\nCommand: `%s`\n\n", e.Command)
	if e.disturbed() {
		p.say("**The machine was busy with something else: these figures say what runs, not how fast.**\n\n")
	}
}

// missing names what a result is without.
func (p *page) missing(name string, not []string) {
	for _, one := range not {
		what, _, _ := strings.Cut(one, ": ")
		p.say("Not measured: %s; raw/%s.json says why.\n\n", what, name)
	}
}

func (p *page) runs(list []loadRun) {
	p.say("| node | kind | model | accounts | accepted | tx/s | answered p50 / p99 ms | PRE_CONFIRMED p50 / p99 ms | ACCEPTED_ON_L2 p50 / p99 ms |\n|---|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range list {
		model := fmt.Sprintf("closed, %d each", r.Depth)
		if r.Model == "open" {
			model = fmt.Sprintf("open, %.0f tx/s", r.Rate)
		}
		p.say("| %s | %s | %s | %d | %d | **%.0f** | %.1f / %.1f | %.1f / %.1f | %.0f / %.0f |\n", node(r), r.Kind, model, r.Accounts, r.Accepted, r.Speed,
			r.Answer.P50, r.Answer.P99, r.PreConfirmed.P50, r.PreConfirmed.P99, r.Accept.P50, r.Accept.P99)
	}
	p.say("\nClass of the accounts: %s.\n", strings.Join(classes(list), ", "))
	p.say("Journal on, signatures checked, true roots; nonces and balances were audited at the end.\n\n")
}

func node(r loadRun) string {
	name := r.Target
	if len(r.Processes) > 0 {
		name = "ordo dev"
	}
	if r.Note != "" {
		name += ", " + r.Note
	}
	return name
}

func classes(list []loadRun) (all []string) {
	for _, r := range list {
		if c := "`" + r.Class + "`"; !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

func (p *page) processes(r loadRun) {
	if len(r.Processes) == 0 {
		return
	}
	p.say("%s, by process:\n\n", node(r))
	p.say("| process | processor time | per transaction | memory at the end | at most |\n|---|---:|---:|---:|---:|\n")
	var cpu, rss float64
	for _, u := range r.Processes {
		cpu, rss = cpu+u.CPU, rss+u.RSS
		p.say("| %s | %.1f s | %.3f ms | %.0f MB | %.0f MB |\n", u.Name, u.CPU, u.CPU*1000/float64(max(1, r.Accepted)), u.RSS, u.Peak)
	}
	each := 1000 / float64(max(1, r.Accepted))
	p.say("| all | %.1f s | %.3f ms | %.0f MB | |\n| the tool that loads | %.1f s | %.3f ms | | |\n\n", cpu, cpu*each, rss, r.ToolCPU, r.ToolCPU*each)
}

func (p *page) loadClosed() error {
	var l loads
	if ok, err := read(p.dir, "load-closed", &l); !ok {
		return err
	}
	p.say("## Sustained load\n\n")
	p.runs(l.Runs)
	for _, r := range l.Runs {
		p.processes(r)
	}
	var list []series
	for _, r := range l.Runs {
		s := series{name: node(r)}
		for second, n := range r.PerSecond {
			s.points = append(s.points, plotter.XY{X: float64(second), Y: float64(n)})
		}
		list = append(list, s)
	}
	if err := lines(svg(p.dir, "load-closed"), "Accepted in each second", "second of the run", "transactions", false, false, list); err != nil {
		return err
	}
	p.plot("load-closed", "transactions accepted in each second")
	p.where(l.environment)
	return nil
}

func (p *page) loadOpen() error {
	var l loads
	if ok, err := read(p.dir, "load-open", &l); !ok {
		return err
	}
	p.say("## Time to PRE_CONFIRMED at half load\n\nThe open model, at half of what the closed model reached right before: each transaction counts from the moment when it was due, so a stall is not hidden.\n\n")
	p.runs(l.Runs)
	var list []series
	for _, r := range l.Runs {
		for _, kind := range []struct {
			name string
			percentiles
		}{{"answered", r.Answer}, {"PRE_CONFIRMED", r.PreConfirmed}, {"ACCEPTED_ON_L2", r.Accept}} {
			list = append(list, series{name: kind.name, values: []float64{kind.P50, kind.P90, kind.P99, kind.P999}})
		}
	}
	for i := range list { // a logarithmic axis has no place for bars
		for k, v := range list[i].values {
			list[i].points = append(list[i].points, plotter.XY{X: float64(k), Y: max(v, 0.01)})
		}
	}
	if err := lines(svg(p.dir, "load-open"), "From due to seen", "", "milliseconds", false, true, list, "p50", "p90", "p99", "p99.9"); err != nil {
		return err
	}
	p.plot("load-open", "percentiles of the time from due to seen")
	p.where(l.environment)
	return nil
}

func (p *page) loadKinds() error {
	var l loads
	if ok, err := read(p.dir, "load-kinds", &l); !ok {
		return err
	}
	p.say("## Kinds of transactions\n\n")
	p.runs(l.Runs)
	var names []string
	var speeds []float64
	for _, r := range l.Runs {
		names, speeds = append(names, r.Kind), append(speeds, r.Speed)
	}
	if err := bars(svg(p.dir, "load-kinds"), "Kinds of transactions", "accepted a second", names, []series{{values: speeds}}); err != nil {
		return err
	}
	p.plot("load-kinds", "transactions accepted a second, by kind")
	p.where(l.environment)
	return nil
}

func (p *page) exec() error {
	var e execs
	if ok, err := read(p.dir, "exec", &e); !ok {
		return err
	}
	p.say("## Execution through the plugin, beside the bare crate\n\nThe same block of transfers, from its start to its close, through the plugin process over gRPC and in a process with the crate alone:\nwith ordo's functions for hashes and signatures ([ADR 3](../adr/0003-the-executor-hashes-with-our-functions.md)), and as the crates are published.\nSignatures were checked before, as admission does, and ordo's functions remember them.\n\n")
	p.say("| engine | workers | plugin tx/s | bare crate tx/s | ratio | crates as published tx/s | ratio |\n|---|---:|---:|---:|---:|---:|---:|\n")
	var names []string
	plugin, bare, published := series{name: "plugin"}, series{name: "bare crate"}, series{name: "as published"}
	for _, r := range e.Runs {
		p.say("| %s | %d | %.0f | %.0f | **%.3f** | %.0f | **%.1f** |\n", r.Engine, r.Workers, r.Plugin.Speed, r.Bare.Speed, r.Ratio, r.Published.Speed, r.Gain)
		names = append(names, fmt.Sprintf("%s, %d", r.Engine, r.Workers))
		plugin.values, bare.values = append(plugin.values, r.Plugin.Speed), append(bare.values, r.Bare.Speed)
		published.values = append(published.values, r.Published.Speed)
	}
	p.say("\n")
	if err := bars(svg(p.dir, "exec"), "Execution of 1,000 transfers", "transactions a second", names, []series{plugin, bare, published}); err != nil {
		return err
	}
	p.plot("exec", "execution through the plugin and in the bare crate")
	p.where(e.environment)
	return nil
}

func (p *page) commit() error {
	var c commits
	if ok, err := read(p.dir, "commit", &c); !ok {
		return err
	}
	r := c.Run
	p.say("## Commitment\n\nThe state root of %d transfers on %d leaves, %d processor: ordo **%.0f ms**, the same tree with gnark's Pedersen %.0f ms, a ratio of **%.1f**.\n\n",
		r.Transfers, r.Leaves, r.Cores, r.Ours.MS, r.Gnark.MS, r.Ratio)
	if err := bars(svg(p.dir, "commit"), "State root of a block", "milliseconds", []string{"ordo", "gnark"}, []series{{values: []float64{r.Ours.MS, r.Gnark.MS}}}); err != nil {
		return err
	}
	p.plot("commit", "time of a state root")
	if len(r.Hashes) > 0 {
		p.say("One hash of two felts, on one processor; the ratio is to ordo in batches:\n\n| hash | by | ns | ratio |\n|---|---|---:|---:|\n")
		for _, h := range r.Hashes {
			p.say("| %s | %s | %.0f | **%.1f** |\n", h.Hash, h.By, h.NS, h.Ratio)
		}
		p.say("\n")
	}
	p.missing("commit", r.Not)
	p.where(c.environment)
	return nil
}

func (p *page) hop() error {
	var h hops
	if ok, err := read(p.dir, "hop", &h); !ok {
		return err
	}
	p.say("## A call of a plugin\n\nOne call at a time to plugins that have next to nothing to do: Go and Python rank transfers, Rust refuses them unread.\n\n")
	p.say("| end | TLS | batch | bytes | us a call, p50 | p99 | us a transaction |\n|---|---|---:|---:|---:|---:|---:|\n")
	var list []series
	for _, one := range h.Hops {
		tls, name := "no", one.End
		if one.TLS {
			tls, name = "yes", one.End+", TLS"
		}
		p.say("| %s | %s | %d | %d | %.0f | %.0f | %.2f |\n", one.End, tls, one.Batch, one.Bytes, one.Micros, one.P99, one.PerTx)
		if len(list) == 0 || list[len(list)-1].name != name {
			list = append(list, series{name: name})
		}
		s := &list[len(list)-1]
		s.points = append(s.points, plotter.XY{X: float64(one.Batch), Y: one.Micros})
	}
	p.say("\n")
	p.missing("hop", h.Not)
	if err := lines(svg(p.dir, "hop"), "A call of a plugin", "transactions in the call", "microseconds", true, true, list); err != nil {
		return err
	}
	p.plot("hop", "time of a call by size of the batch")
	p.where(h.environment)
	return nil
}

func (p *page) start() error {
	var s starts
	if ok, err := read(p.dir, "start", &s); !ok {
		return err
	}
	p.say("## Start\n\nFrom the start of the process `ordo dev` to its first answered request, the median of %d: cold (no chain, empty caches) **%.0f ms**, warm **%.0f ms**.\n\n",
		len(s.Cold.All), s.Cold.Median, s.Warm.Median)
	var list []series
	p.say("| until | cold ms | warm ms |\n|---|---:|---:|\n")
	for i, phase := range s.Warm.Phases {
		values := []float64{0, phase.MS}
		if i < len(s.Cold.Phases) {
			values[0] = s.Cold.Phases[i].MS
		}
		p.say("| %s | %.0f | %.0f |\n", phase.Until, values[0], values[1])
		list = append(list, series{name: phase.Until, values: values})
	}
	p.say("\n")
	if err := bars(svg(p.dir, "start"), "Start, by phase", "milliseconds", []string{"cold", "warm"}, list); err != nil {
		return err
	}
	p.plot("start", "time of a start by phase")
	p.where(s.environment)
	return nil
}

func (p *page) growth() error {
	var g growth
	if ok, err := read(p.dir, "growth", &g); !ok {
		return err
	}
	p.say("## Growth\n\n")
	if len(g.State) > 0 {
		p.say("| more keys in the state | tx/s | ACCEPTED_ON_L2 p99 ms | storage ms/tx | storage memory | disk |\n|---:|---:|---:|---:|---:|---:|\n")
		s := series{name: "accepted a second"}
		for _, one := range g.State {
			p.say("| %d | **%.0f** | %.0f | %.3f | %.0f MB | %.0f MB |\n", one.Keys, one.Speed, one.P99, one.Storage, one.RSS, one.Disk)
			s.points = append(s.points, plotter.XY{X: float64(one.Keys), Y: one.Speed})
		}
		p.say("\n")
		if err := lines(svg(p.dir, "growth-state"), "Load on a growing state", "keys in the state", "transactions a second", true, false, []series{s}); err != nil {
			return err
		}
		p.plot("growth-state", "load on a growing state")
	}
	if len(g.Blocks) > 0 {
		p.say("| transactions in the block | execution ms | commitments ms | us a transaction |\n|---:|---:|---:|---:|\n")
		execute, seal := series{name: "execution"}, series{name: "commitments of the header"}
		for _, one := range g.Blocks {
			p.say("| %d | %.1f | %.1f | %.0f |\n", one.Transactions, one.Execute, one.Seal, one.PerTx)
			execute.points = append(execute.points, plotter.XY{X: float64(one.Transactions), Y: max(one.Execute, 0.01)})
			seal.points = append(seal.points, plotter.XY{X: float64(one.Transactions), Y: max(one.Seal, 0.01)})
		}
		p.say("\n")
		if err := lines(svg(p.dir, "growth-blocks"), "Time of a block", "transactions in the block", "milliseconds", true, true, []series{execute, seal}); err != nil {
			return err
		}
		p.plot("growth-blocks", "time of a block by its size")
	}
	if len(g.Pool) > 0 {
		p.say("| waiting in the pool | admission us | taking and committing us | the same, each from its own account | | heap |\n|---:|---:|---:|---:|---:|---:|\n")
		admit, take := series{name: "admission with its rank"}, series{name: "taking and committing"}
		for _, one := range g.Pool {
			p.say("| %d | %.2f | %.2f | %.2f | %.2f | %.0f MB |\n", one.Waiting, one.Admit, one.Take, one.AdmitOwn, one.TakeOwn, one.MB)
			admit.points = append(admit.points, plotter.XY{X: float64(one.Waiting), Y: one.Admit})
			take.points = append(take.points, plotter.XY{X: float64(one.Waiting), Y: one.Take})
		}
		p.say("\n")
		if err := lines(svg(p.dir, "growth-pool"), "A transaction's way through the pool", "waiting", "microseconds of the processor", true, false, []series{admit, take}); err != nil {
			return err
		}
		p.plot("growth-pool", "cost of admission and taking by what waits")
	}
	p.where(g.environment)
	return nil
}
