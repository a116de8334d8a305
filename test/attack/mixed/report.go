package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/load"
	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

// Report is what a campaign found.
type Report struct {
	Seed    uint64   `json:"seed"`
	Clients int      `json:"clients"`
	Rate    float64  `json:"honest_tx_per_second"`
	Parts   []*Part  `json:"parts"`
	Skipped []string `json:"skipped,omitempty"`
}

// Part is one node.
type Part struct {
	Name          string            `json:"name"`
	LimitMiB      int               `json:"limit_mib,omitempty"` // of its cgroup
	AttackSeconds float64           `json:"attack_seconds"`
	Calm          *load.Report      `json:"calm"` // the honest load alone
	Attacked      *load.Report      `json:"attacked"`
	Ratio         float64           `json:"p99_ratio"`
	Factor        float64           `json:"p99_ratio_allowed"`
	Memory        Memory            `json:"memory"`
	CeilingMiB    int               `json:"ceiling_mib"`
	Restarts      uint64            `json:"restarts"`
	OOMKills      int               `json:"oom_kills"`
	Attacks       []*attacker.Tally `json:"attacks"`
	Check         string            `json:"db_check"`
	Replay        string            `json:"replay"`
	ReplaySeconds float64           `json:"replay_seconds"`
	Failed        []string          `json:"failed"`
}

// print writes the part for people.
func (p *Part) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "\n%s: %.0f s of attack\tsent\toutcomes\n", p.Name, p.AttackSeconds)
	for _, t := range p.Attacks {
		fmt.Fprintf(w, "  %s\t%d\t%s\n", t.Name, t.Sent, clip(t.Summary(), 160))
	}
	fmt.Fprintln(w, "\nhonest load\talone\tbeside the attack")
	row := func(name string, of func(*load.Report) string) {
		after := "-"
		if p.Attacked != nil {
			after = of(p.Attacked)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", name, of(p.Calm), after)
	}
	row("accepted of due", func(r *load.Report) string { return fmt.Sprintf("%d of %d", r.Accepted, r.Submitted+r.Unsent) })
	row("refusals", func(r *load.Report) string {
		n := 0
		for _, times := range r.Refused {
			n += times
		}
		return fmt.Sprint(n)
	})
	row("answered, p50 / p99 ms", func(r *load.Report) string { return fmt.Sprintf("%.1f / %.1f", r.Answer.P50, r.Answer.P99) })
	row("PRE_CONFIRMED, p50 / p99 ms", func(r *load.Report) string { return fmt.Sprintf("%.1f / %.1f", r.PreConfirmed.P50, r.PreConfirmed.P99) })
	row("ACCEPTED_ON_L2, p50 / p99 ms", func(r *load.Report) string { return fmt.Sprintf("%.1f / %.1f", r.Accept.P50, r.Accept.P99) })
	allowed := "not judged"
	if p.Factor > 0 {
		allowed = fmt.Sprintf("at most %.1f", p.Factor)
	}
	fmt.Fprintf(w, "  p99 until PRE_CONFIRMED\t\t%.1f times, %s\n", p.Ratio, allowed)
	fmt.Fprintln(w, "\nmemory\tat the peak of all, MiB\tpeak of each, MiB")
	for _, name := range p.Memory.names() {
		fmt.Fprintf(w, "  %s\t%.0f\t%.0f\n", name, p.Memory.At[name], p.Memory.Peaks[name])
	}
	fmt.Fprintf(w, "  all\t%.0f\tat most %d\n", p.Memory.Peak, p.CeilingMiB)
	fmt.Fprintf(w, "  without pages of files\t%.0f\t\n", p.Memory.Own)
	if p.LimitMiB > 0 {
		fmt.Fprintf(w, "  as the cgroup counts\t%.0f\tof %d; processes that the kernel ended: %d\n", p.Memory.Group, p.LimitMiB, p.OOMKills)
	}
	fmt.Fprintf(w, "\nrestarts of plugins\t%d\n", p.Restarts)
	fmt.Fprintf(w, "ordo db check\t%s\n", clip(lastLine(p.Check), 120))
	fmt.Fprintf(w, "ordo replay\t%s, in %.0f s\n", clip(lastLine(p.Replay), 120), p.ReplaySeconds)
	fmt.Fprintf(w, "failed\t%d\n", len(p.Failed))
	w.Flush()
	for _, text := range p.Failed {
		fmt.Fprintln(out, "FAILED", text)
	}
}

// lastLine is where a command says what it came to.
func lastLine(text string) string {
	return text[strings.LastIndexByte(text, '\n')+1:]
}
