package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// report counts over all rounds.
type report struct {
	out io.Writer

	rounds, strikes, processes int
	byTarget                   map[string]map[string]int // target, signal
	again                      int                       // while the node recovered from another
	atStart                    int                       // before the core served
	startsGivenUp              int                       // since a plugin was struck meanwhile
	instances                  int                       // of cores
	restarts                   uint64                    // of plugins, as the node tells
	times                      map[string][]time.Duration

	signed, acked, included   int
	without, refused, faults  map[string]int
	kinds                     map[string]int
	blocks, roots             int
	orders, overDeath         int
	overMany, rebuilt, undone int
	spent                     int // rounds with a spent budget
	compared, databases       int // blocks of all nodes of networks, and databases that ordo db check found whole
	byNode                    map[int]int
	proposers                 map[string]int // blocks of networks

	mu    sync.Mutex
	wrong []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, byTarget: map[string]map[string]int{}, times: map[string][]time.Duration{}, byNode: map[int]int{}, proposers: map[string]int{},
		without: map[string]int{}, refused: map[string]int{}, faults: map[string]int{}, kinds: map[string]int{}}
}

// strike counts one that reached a process.
func (r *report) strike(s strike, found []process, served bool) {
	r.strikes++
	r.processes += len(found)
	if !served {
		r.atStart++
	}
	if s.network {
		r.byNode[s.node]++
	}
	signal := "SIGKILL"
	if s.stop {
		signal = "SIGSTOP"
	}
	target := s.target()
	if len(s.targets) == 2 {
		target = "two at once"
	}
	if r.byTarget[target] == nil {
		r.byTarget[target] = map[string]int{}
	}
	r.byTarget[target][signal]++
}

// downtime is told how long it took until all was at work again.
func (r *report) downtime(s strike, took time.Duration) {
	target := "plugin"
	if len(s.targets) > 1 || s.again != nil {
		target = "several"
	} else if s.has(core) {
		target = core
	}
	if s.stop {
		target += ", stopped"
	} else {
		target += ", killed"
	}
	r.times[target] = append(r.times[target], took)
}

// await has the processes of a core that has ended some time to end too.
func (r *report) await(core string, left func() []string) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		names := left()
		if len(names) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %s ran on 5 s after the core had ended", core, strings.Join(names, ", ")))
			return
		}
	}
}

// round adds what a round came to.
func (r *report) round(o *round, v *verdict, blocks, roots int) {
	signed, acked := o.ledger.counts()
	r.signed, r.acked, r.included = r.signed+signed, r.acked+acked, r.included+v.included
	r.blocks, r.roots = r.blocks+blocks, r.roots+roots
	r.orders, r.overDeath, r.overMany = r.orders+v.orders, r.overDeath+v.ordersOverDeath, r.overMany+v.ordersOverMany
	r.rebuilt, r.undone = r.rebuilt+v.rebuilt, r.undone+v.ordersNotKept
	add(r.without, v.without)
	add(r.refused, o.ledger.refused)
	add(r.faults, o.ledger.faults)
	for _, e := range o.ledger.all() {
		if e.height > 0 {
			r.kinds[e.kind]++
		}
	}
}

func add(to, from map[string]int) {
	for k, n := range from {
		to[k] += n
	}
}

// failed lists what is wrong.
func (r *report) failed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.wrong)
}

// print writes the table.
func (r *report) print() {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	list := func(name string, counts map[string]int) {
		for _, key := range slices.Sorted(maps.Keys(counts)) {
			row("  "+name+": "+clip(strings.ReplaceAll(key, "\n", " "), 100), counts[key])
		}
	}
	fmt.Fprintf(w, "\nstruck\tSIGKILL\tSIGSTOP\n")
	for _, target := range slices.Sorted(maps.Keys(r.byTarget)) {
		fmt.Fprintf(w, "  %s\t%d\t%d\n", target, r.byTarget[target]["SIGKILL"], r.byTarget[target]["SIGSTOP"])
	}
	row("strikes", fmt.Sprintf("%d (%d processes), in %d rounds; %d during a recovery, %d during a start of the core", r.strikes, r.processes, r.rounds, r.again, r.atStart))
	for _, node := range slices.Sorted(maps.Keys(r.byNode)) {
		row(fmt.Sprintf("  of node %d", node), r.byNode[node])
	}
	row("restarts seen", fmt.Sprintf("%d of plugins, %d of cores (%d of their starts given up, a plugin was struck)", r.restarts, max(0, r.instances-r.rounds-r.spent), r.startsGivenUp))
	if r.spent > 0 {
		row("budgets spent", fmt.Sprintf("%d: the node stopped and said whose; started again", r.spent))
	}
	fmt.Fprintf(w, "\nuntil all was at work again\tp50\tp99\n")
	for _, key := range slices.Sorted(maps.Keys(r.times)) {
		all := slices.Sorted(slices.Values(r.times[key]))
		at := func(percent int) time.Duration { return all[(len(all)-1)*percent/100].Round(time.Millisecond) }
		fmt.Fprintf(w, "  %s\t%s\t%s\n", key, at(50), at(99))
	}
	fmt.Fprintln(w)
	row("transactions signed", r.signed)
	row("acknowledged", r.acked)
	row("in exactly one block", r.included)
	list("in a block", r.kinds)
	list("acknowledged, in no block", r.without)
	list("rejected", r.refused)
	list("sent again after", r.faults)
	row("pre-confirmed orders compared", fmt.Sprintf("%d; %d over the end of one process, %d over those of several; %d seen being rebuilt", r.orders, r.overDeath, r.overMany, r.rebuilt))
	if r.undone > 0 {
		row("  not kept over the ends of several", fmt.Sprintf("%d (nothing is promised then)", r.undone))
	}
	row("blocks", r.blocks)
	if len(r.proposers) > 0 {
		list("blocks of", r.proposers)
		row("blocks compared between nodes", r.compared)
		row("databases that ordo db check found whole", r.databases)
	} else {
		row("roots reached by ordo replay", r.roots)
	}
	row("violations", len(r.failed()))
	w.Flush()
	for _, text := range r.failed() {
		fmt.Fprintln(r.out, "VIOLATION", clip(text, 1500))
	}
}

func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// add takes over what a round found wrong.
func (r *report) add(o *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, o.wrong...)
}
