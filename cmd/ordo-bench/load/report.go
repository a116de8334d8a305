package load

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/latency"
	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/process"
)

// Print writes a report for people.
func (r *Report) Print(out io.Writer) {
	how := fmt.Sprintf("closed model, %d on their way per account", r.Depth)
	if r.Model == Open {
		how = fmt.Sprintf("open model, %.0f tx/s asked for", r.Rate)
	}
	if r.Batch > 1 {
		how += fmt.Sprintf(", up to %d in a request", r.Batch)
	}
	fmt.Fprintf(out, "%s: %s, %d accounts of class %s, %s, %d connections\n", r.Target, r.Kind, r.Accounts, r.AccountClass, how, r.Connections)
	fmt.Fprintf(out, "  %d accepted in %.1f s, in %d blocks: %.0f tx/s\n", r.Accepted, r.Seconds, r.Blocks, r.Speed)
	for _, l := range []struct {
		name string
		latency.Percentiles
	}{{"answered", r.Answer}, {"PRE_CONFIRMED", r.PreConfirmed}, {"ACCEPTED_ON_L2", r.Accept}} {
		fmt.Fprintf(out, "  %-15s p50 %8.1f ms   p99 %8.1f ms   p99.9 %8.1f ms   max %8.1f ms\n", l.name, l.P50, l.P99, l.P999, l.Max)
	}
	if s := r.Subscriptions; s != nil {
		fmt.Fprintf(out, "  %d subscribers: %d notifications, %.0f a second; accepted: %d heads, %d events, %d receipts, %d transactions; %d statuses followed to the end; %d missed or doubled something\n",
			s.Subscribers, s.Notifications, s.PerSecond, s.Heads, s.Events, s.Receipts, s.Transactions, s.Followed, s.Wrong)
	}
	if r.SignedLate > 0 {
		fmt.Fprintf(out, "  %d transactions were signed during the run, %.0f us each: raise --presign\n", r.SignedLate, r.SignMicros)
	}
	if r.Unsent > 0 {
		fmt.Fprintf(out, "  %d were due and never taken: the node does not keep up with this rate\n", r.Unsent)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(out, "  refused %d times: %s\n", r.Refused[what], what)
	}
	list := append(slices.Clone(r.Processes), process.Usage{Name: "this tool", CPU: r.ToolCPU})
	var all process.Usage
	for _, p := range list {
		each := ""
		if r.Accepted > 0 {
			each = fmt.Sprintf(" (%.3f ms/tx)", p.CPU*1000/float64(r.Accepted))
		}
		memory := ""
		if p.RSS > 0 {
			memory = fmt.Sprintf(", %.0f MB with %.0f MB of files, at most %.0f MB", p.RSS, p.Files, p.PeakRSS)
			all.RSS, all.Files = all.RSS+p.RSS, all.Files+p.Files
		}
		fmt.Fprintf(out, "  %-28s %7.2f s of processor%s%s\n", p.Name, p.CPU, each, memory)
	}
	if all.RSS > 0 {
		fmt.Fprintf(out, "  memory of all at the end: %.0f MB with %.0f MB of files, which the kernel takes back when it needs the room\n", all.RSS, all.Files)
	}
}
