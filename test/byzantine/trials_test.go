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
	either  = "either"  // more than one of these, for the reason that the trial gives
)

// trial is one fault of one plugin, and what the node must do.
type trial struct {
	stage, method, do string
	after             int  // answers of the method before the fault
	once              bool // by one instance of the plugin only; else by every one
	want              string
	says              string // in the error, when the node refuses or stops
	why               string // the reason of either
	ends              string // what the node says when it is stopped and does not end well; "": it does
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
		{"storage", "State", 0}, {"storage", "Classes", 0}, {"storage", "FindTransaction", 0}, {"storage", "Proofs", 0},
		{"storage", "Commit", 2}, {"storage", "Roots", 2},
		{"consensus", "Run", 0}, {"consensus", "Run", 3},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, after: c.after, do: "hang", once: true, want: serves})
	}
	// Asked at the start, which fails.
	for _, c := range []struct{ stage, method string }{
		{"execution", "Apply"}, {"storage", "Head"}, {"storage", "Blocks"}, {"storage", "Commit"}, {"storage", "Roots"},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, do: "hang", once: true, want: stops, says: c.stage})
	}
	return all
}

// deaths are trials in which the process of a plugin ends in the middle of each call, once.
func deaths() (all []trial) {
	for _, c := range []struct{ stage, method string }{
		{"ordering", "Score"}, {"execution", "Build"}, {"execution", "Apply"}, {"storage", "Commit"}, {"storage", "Roots"}, {"storage", "State"},
		{"consensus", "Run"},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, do: "die", after: 2, once: true, want: serves})
	}
	// The transaction that was validated alone is held to be the cause.
	return append(all, trial{stage: "execution", method: "Validate", do: "die", after: 2, once: true, want: either, says: "this transaction ended the execution plugin: refused until",
		why: "of several that were being validated each is tried again, alone, and none of them ends the second instance"})
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
		{stage: "ordering", method: "Score", do: "die", want: either, says: "ordering",
			why: "each end takes one of the restarts allowed within a minute, and a slow machine asks for scores more often in the trial"},

		{stage: "execution", method: "Build", do: "die", want: either, says: "xecution",
			why: "transactions are rejected one by one as the cause, and how many of them run within a minute decides whether the restarts allowed are enough"},
		{stage: "execution", method: "Build", do: "hang", want: stops, says: "execution"},
		{stage: "storage", method: "Commit", do: "hang", after: 1, want: stops, says: "storage"},
		{stage: "storage", method: "Commit", do: "error", after: 1, want: stops, says: "storage"},
		{stage: "consensus", method: "Run", do: "hang", after: 1, want: stops, says: "consensus"},
		{stage: "storage", method: "Describe", do: "hang", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "garbage", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "empty", want: stops, says: "storage plugin"},
		{stage: "ordering", method: "Configure", do: "garbage", want: stops, says: "ordering plugin"},
		{stage: "ordering", method: "Drain", do: "hang", want: serves, ends: "not drained"},
	}
}

// mutations: answers that break the plugin protocol, by every instance.
func mutations() (all []trial) {
	for _, c := range []struct{ stage, method, mutations string }{
		{"execution", "Build", "results repeated, result invented, result of no kind, results from elsewhere, results from the end, fee too wide, " +
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
		{"storage", "Proofs", "proof bit flipped, proof node missing, proof node repeated, proof node cut, proof without end, proof of another root, proof of another leaf, " +
			"proof of another block, garbage, empty, large"},
		{"consensus", "Run", "another seq, decide nothing, abandon nothing, seal nothing, build for ever, an action of no kind, timers without end, decide another value, garbage, empty, twice"},
	} {
		for _, do := range strings.Split(c.mutations, ", ") {
			tr := trial{stage: c.stage, method: c.method, do: do, after: 1, want: stops, says: c.stage}
			switch c.method {
			case "Head", "Blocks":
				tr.after = 0
			case "View", "FindTransaction":
				tr.want, tr.after = serves, 0
			case "Validate":
				tr.want, tr.after, tr.says = refuses, 0, "validation: execution"
			case "Proofs": // the core checks all of a proof before a client gets it
				tr.want, tr.after, tr.says = refuses, 0, "proofs"
			case "Classes", "State": // execution cannot read, and is the one that is seen to hang
				tr.want, tr.after, tr.says = refuses, 0, "xecution"
			}
			if c.method == "Classes" && do == "empty" { // read as: there is no such class
				tr.says = "Account validation failed"
			}
			if reason, ok := harmless[c.method+": "+do]; ok {
				tr.want, tr.differs = serves, reason
			}
			all = append(all, tr)
		}
	}
	return all
}

// harmless are the mutations with which the node serves all the same. What execution says of its own work cannot be compared with
// anything: the text is what an execution of the chain by an honest plugin differs in then, "" where it does not.
var harmless = map[string]string{
	"Build: gas without end":        "execution alone knows the gas of a transaction",
	"Build: no diff":                "execution alone knows what a block changes",
	"Build: gas in all without end": "", // not part of a header
	"Build: delta odd":              "", // only what is pre-confirmed is read there
	"Roots: twice":                  "", // the second says the same
	"Run: timers without end":       "",
	"Run: abandon nothing":          "", // it may be of the height before
}
