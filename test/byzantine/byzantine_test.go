package byzantine

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

func selector(name string) string { return keccak.Selector(name).Hex() }

// What must follow a deed.
const (
	serves  = "serves"  // all is accepted
	refuses = "refuses" // it goes on, and clients get an error that says why
	stops   = "stops"   // with an error that names the stage
	either  = "either"
)

type trial struct {
	stage, method, do string
	after             int
	want              string
	says              string // in the error, when it stops
	brief             bool   // also without ORDO_BYZANTINE=all
}

// Each call of each stage is left unanswered once, by the first life of the plugin: the node finds that out, and goes on
// with the next life.
func TestHangs(t *testing.T) {
	methods := map[string][]string{
		"ordering":  {"Score"},
		"execution": {"Build", "Apply", "Validate", "View"},
		"storage":   {"Head", "Commit", "Roots", "State", "Classes", "Blocks", "FindTransaction"},
		"consensus": {"Run"},
	}
	var all []trial
	for _, stage := range []string{"ordering", "execution", "storage", "consensus"} {
		for _, method := range methods[stage] {
			want := serves
			switch method {
			case "Head", "Apply", "Blocks", "Commit", "Roots": // asked at the start: it fails, and says of whom
				want = either
			}
			all = append(all, trial{stage: stage, method: method, do: "hang", want: want})
		}
	}
	// Later ones: not the first Head, Apply, Commit and Run of the start.
	for _, method := range []string{"Apply", "Commit", "Roots"} {
		stage := "storage"
		if method == "Apply" {
			stage = "execution"
		}
		all = append(all, trial{stage: stage, method: method, do: "hang", after: 2, want: serves, brief: method == "Commit"})
	}
	all = append(all, trial{stage: "consensus", method: "Run", do: "hang", after: 3, want: serves})
	try(t, true, all)
}

// Deaths and errors in the middle of each call: the same.
func TestDies(t *testing.T) {
	var all []trial
	for _, c := range []struct{ stage, method string }{
		{"ordering", "Score"}, {"execution", "Build"}, {"execution", "Apply"}, {"execution", "Validate"}, {"storage", "Commit"}, {"storage", "Roots"},
		{"storage", "State"}, {"consensus", "Run"},
	} {
		all = append(all, trial{stage: c.stage, method: c.method, do: "die", after: 2, want: serves, brief: c.method == "Apply"})
	}
	try(t, true, all)
}

// What a plugin does in every life of it.
func TestAlways(t *testing.T) {
	try(t, false, []trial{
		{stage: "ordering", method: "Score", do: "hang", want: serves},
		{stage: "ordering", method: "Score", do: "error", want: serves, brief: true},
		{stage: "ordering", method: "Score", do: "garbage", want: serves},
		{stage: "ordering", method: "Score", do: "empty", want: serves},
		{stage: "ordering", method: "Score", do: "twice", want: serves},
		{stage: "ordering", method: "Score", do: "large", want: serves},
		{stage: "ordering", method: "Score", do: "one score less", want: serves},
		{stage: "ordering", method: "Score", do: "one score more", want: serves},
		{stage: "ordering", method: "Score", do: "half of the scores", want: serves},
		{stage: "ordering", method: "Score", do: "generations jump", want: serves},
		{stage: "ordering", method: "Score", do: "die", want: either},

		{stage: "execution", method: "Build", do: "die", want: either},
		{stage: "execution", method: "Build", do: "hang", want: either, says: "execution"},
		{stage: "storage", method: "Commit", do: "hang", after: 1, want: stops, says: "storage"},
		{stage: "storage", method: "Commit", do: "error", after: 1, want: either, says: "storage"},
		{stage: "consensus", method: "Run", do: "hang", after: 1, want: stops, says: "consensus"},
		{stage: "storage", method: "Describe", do: "hang", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "garbage", want: stops, says: "storage plugin"},
		{stage: "storage", method: "Describe", do: "empty", want: stops, says: "storage plugin"},
		{stage: "ordering", method: "Configure", do: "garbage", want: stops, says: "ordering plugin"},
		{stage: "ordering", method: "Drain", do: "hang", want: serves},
	})
}

// Answers that break the contract.
func TestLies(t *testing.T) {
	var all []trial
	for _, c := range []struct{ stage, method, lies string }{
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
		for _, do := range strings.Split(c.lies, ", ") {
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
			tr.brief = do == "class invented" || do == "decide another value"
			all = append(all, tr)
		}
	}
	try(t, false, all)
}

// try runs each trial against a node of its own, two at a time.
func try(t *testing.T, once bool, trials []trial) {
	binaries(t)
	program := liar(t)
	for _, c := range trials {
		if !c.brief && os.Getenv("ORDO_BYZANTINE") != "all" {
			continue
		}
		t.Run(c.stage+"/"+c.method+"/"+strings.ReplaceAll(c.do, " ", "_"), func(t *testing.T) {
			t.Parallel()
			n := begin(t, program, c.stage, deed{Method: c.method, After: c.after, Do: c.do}, once)
			said := n.outcome(t, time.Minute)
			switch {
			case strings.HasPrefix(said, "refuses: ") && c.want == refuses:
				t.Log(said)
			case strings.HasPrefix(said, "refuses: "):
				t.Errorf("neither served nor stopped: %s", said)
			case said == "" && c.want == stops:
				t.Error("the node went on")
			case said != "" && c.want == serves:
				t.Errorf("the node stopped: %s", said)
			case said != "" && !strings.Contains(said, c.says):
				t.Errorf("the error does not say %q: %s", c.says, said)
			case said == "":
				t.Log("serves")
			default:
				t.Log("stops: " + said)
			}
			if _, err := os.Stat(n.dir + "/done"); once && err != nil && c.want == serves {
				t.Error("the deed was never done")
			}
		})
	}
}
