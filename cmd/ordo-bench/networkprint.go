package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Print writes a report for people.
func (r *NetworkReport) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "consensus\tN\tempty p50\tp99\tCPU\t%d txs p50\tp99\tCPU\tallowed\ttx/s\tMB\t\n", r.Block)
	for _, one := range r.Runs {
		allowed := "-"
		if one.Ratios != nil && one.Ratios.Allowed > 0 {
			allowed = fmt.Sprintf("%.0f ms", one.Ratios.Allowed)
		}
		fmt.Fprintf(w, "%s\t%d\t%.1f ms\t%.1f ms\t%.1f ms\t%.0f ms\t%.0f ms\t%.0f ms\t%s\t%.0f\t%.0f\t\n", one.Consensus, one.Validators,
			one.Empty.Milliseconds.P50, one.Empty.Milliseconds.P99, one.Empty.CPU, one.Full.Milliseconds.P50, one.Full.Milliseconds.P99, one.Full.CPU, allowed, one.Load.Speed, one.Load.Memory)
	}
	if r.Baseline != "" {
		fmt.Fprintf(w, "\ntimes %s:\t\t\t\t\t\t\t\t\t\t\t\n", r.Baseline)
		for _, one := range r.Runs {
			q := one.Ratios
			fmt.Fprintf(w, "%s\t%d\t%.2f\t\t%.2f\t%.2f\t\t%.2f\t\t%.2f\t\t\n", one.Consensus, one.Validators, q.Empty, q.EmptyCPU, q.Full, q.FullCPU, q.Speed)
		}
	}
	_ = w.Flush()
	fmt.Fprintln(out, "\nprocessor time of one validator by program, ms of an empty height / of a full one:")
	for _, one := range r.Runs {
		var parts []string
		for _, name := range slices.SortedFunc(maps.Keys(one.Full.Processes), func(a, b string) int {
			return int(1000 * (one.Full.Processes[b] - one.Full.Processes[a]))
		}) {
			parts = append(parts, fmt.Sprintf("%s %.1f / %.1f", strings.TrimPrefix(name, "ordo-"), one.Empty.Processes[name], one.Full.Processes[name]))
		}
		fmt.Fprintf(out, "  %s, %d: %s\n", one.Consensus, one.Validators, strings.Join(parts, ", "))
	}
	for _, not := range r.Skipped {
		fmt.Fprintf(out, "not measured: %s\n", not)
	}
}
