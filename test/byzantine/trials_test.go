package byzantine

import (
	"fmt"
	"strings"
)

// What must follow a fault.
const (
	serves  = "serves"  // all transactions are accepted
	refuses = "refuses" // the node goes on, and clients get an error that says why
	stops   = "stops"   // the node ends with an error that names the stage
	either  = "either"  // serves or stops, for the reason that the trial gives
)

// trial is one fault of one plugin, and what the node must do.
type trial struct {
	stage, method, do string
	after             int  // answers of the method before the fault
	once              bool // by one instance of the plugin only; else by every one
	want              string
	says              string // in the error, when the node stops
	why               string // the reason of either
	differs           string // the reason why the chain cannot be executed again with the same result; else it must be
}

func (c trial) name() string {
	name := c.stage + "/" + c.method + "/" + strings.ReplaceAll(c.do, " ", "_")
	if c.once {
		name += "/once"
	}
	if c.after > 0 {
		name += fmt.Sprintf("/after_%d", c.after)
	}
	return name
}

// trials are all faults.
func trials() (all []trial) {
	all = append(all, hangs()...)
	all = append(all, deaths()...)
	all = append(all, always()...)
	return append(all, mutations()...)
}

// hangs: each call of each stage is left unanswered once. The node finds that out, and goes on with the next instance of the plugin.
func hangs() (all []trial) {
	for _, c := range []struct {
		stage, method string
		after         int
	}{
		{"ordering", "Score", 0},
		{"execution", "Build", 0}, {"execution", "Validate", 0}, {"execution", "View", 0},
		{"execution", "Apply", 2}, // not the first of the start
		{"storage", "State", 0}, {"storage", "Classes", 0}, {"storage", "FindTransaction", 0},
		{"storage", "Commit", 2}, {"storage", "Roots", 2},
		{"consensus", "Run", 0}, {"consensus", "Run", 3},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, after: c.after, do: "hang", once: true, want: serves})
	}
	// Asked at the start.
	for _, c := range []struct{ stage, method string }{
		{"execution", "Apply"}, {"storage", "Head"}, {"storage", "Blocks"}, {"storage", "Commit"}, {"storage", "Roots"},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, do: "hang", once: true, want: either, says: c.stage})
	}
	return all
}

// deaths: the process of a plugin ends in the middle of each call, once.
func deaths() (all []trial) {
	for _, c := range []struct{ stage, method string }{
		{"ordering", "Score"}, {"execution", "Build"}, {"execution", "Apply"}, {"execution", "Validate"}, {"storage", "Commit"}, {"storage", "Roots"},
		{"storage", "State"}, {"consensus", "Run"},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, do: "die", after: 2, once: true, want: serves})
	}
	return all
}

// always: every instance of a plugin does the same.
func always() []trial {
	return []trial{
		{stage: "ordering", method: "Score", do: "hang", want: serves},
		{stage: "ordering", method: "Score", do: "error", want: serves},
		{stage: "ordering", method: "Score", do: "garbage", want: serves},
		{stage: "ordering", method: "Score", do: "empty", want: serves},
		{stage: "ordering", method: "Score", do: "twice", want: serves},
		{stage: "ordering", method: "Score", do: "large", want: serves},
		{stage: "ordering", method: "Score", do: "one score less", want: serves},
		{stage: "ordering", method: "Score", do: "one score more", want: serves},
		{stage: "ordering", method: "Score", do: "half of the scores", want: serves},
		{stage: "ordering", method: "Score", do: "generations jump", want: serves},
		{stage: "ordering", method: "Score", do: "die", want: either, says: "ordering"},

		{stage: "execution", method: "Build", do: "die", want: either, says: "execution"},
		{stage: "execution", method: "Build", do: "hang", want: either, says: "execution"},
		{stage: "storage", method: "Commit", do: "hang", after: 1, want: stops, says: "storage"},
		{stage: "storage", method: "Commit", do: "error", after: 1, want: either, says: "storage"},
		{stage: "consensus", method: "Run", do: "hang", after: 1, want: stops, says: "consensus"},
		{stage: "storage", method: "Describe", do: "hang", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "garbage", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "empty", want: stops, says: "storage plugin"},
		{stage: "ordering", method: "Configure", do: "garbage", want: stops, says: "ordering plugin"},
		{stage: "ordering", method: "Drain", do: "hang", want: serves},
	}
}

// mutations: answers that break the plugin protocol, by every instance.
func mutations() (all []trial) {
	for _, c := range []struct{ stage, method, mutations string }{
		{"execution", "Build", "results swapped, results repeated, result invented, result of no kind, results from elsewhere, results from the end, fee too wide, " +
			"fee of no felt, gas without end, events odd, events above P, delta odd, closed elsewhere, no diff, diff unsorted, diff repeated, diff odd, diff half, diff above P, " +
			"diff value above P, diff address, class invented, gas in all without end, full beyond, garbage, empty, twice, large"},
		{"execution", "Apply", "another tip, no tip, garbage"},
		{"execution", "Validate", "one verdict less, nonce odd, nonce above P, garbage, empty"},
		{"execution", "View", "call odd, call above P, garbage, empty"},
		{"storage", "Head", "head ahead, head odd, garbage"},
		{"storage", "Commit", "another height, garbage"},
		{"storage", "Roots", "root of nothing, root odd, root above P, root elsewhere, another hash, another parent, twice, garbage"},
		{"storage", "State", "state short, state odd, state above P, garbage"},
		{"storage", "Blocks", "another block, block without header, garbage"},
		{"storage", "FindTransaction", "found beyond, garbage"},
		{"storage", "Classes", "garbage, empty"},
		{"consensus", "Run", "another seq, decide nothing, abandon nothing, seal nothing, build for ever, an action of no kind, timers without end, decide another value, garbage, empty, twice"},
	} {
		for _, do := range strings.Split(c.mutations, ", ") {
			tr := trial{stage: c.stage, method: c.method, do: do, after: 1, want: either, says: c.stage}
			switch {
			case c.method == "Classes":
				tr.want, tr.after = refuses, 0
			case c.method == "View" || c.method == "FindTransaction":
				tr.want, tr.after = serves, 0
			case c.method == "Validate":
				tr.want, tr.after = refuses, 0
			case c.method == "State": // execution cannot read, and is the one that is seen to hang
				tr.after, tr.want, tr.says = 0, refuses, ""
			case c.method == "Head" || c.method == "Blocks":
				tr.after = 0
			}
			all = append(all, tr)
		}
	}
	return all
}
