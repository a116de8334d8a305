package conformance_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// The suites are tried on the SDK itself: in this process, and over a process that is this binary again.

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve-the-test-policy" {
		sdk.Serve(policy())
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "serve-a-broken-policy" {
		faulty(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func policy() *sdk.Service {
	return sdk.RankBy("test", func(c sdk.Context, t sdk.Tx) sdk.Score {
		return sdk.Score{Hi: t.Tip, Lo: c.NowMs - t.ArrivalMs}
	})
}

func TestSDK(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		conformance.RunBase(t, conformance.InProcess(policy))
		conformance.RunOrdering(t, conformance.InProcess(policy))
	})
	t.Run("process", func(t *testing.T) {
		conformance.RunBase(t, conformance.Process(os.Args[0], "serve-the-test-policy"))
		conformance.RunOrdering(t, conformance.Process(os.Args[0], "serve-the-test-policy"))
	})
}

// broken is a policy with one of the faults that the suite looks for.
type broken struct {
	ordov1.UnimplementedOrderingServer
	fault string
	calls uint64
}

func (b *broken) Score(ctx context.Context, req *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	b.calls++
	resp := &ordov1.ScoreResponse{Hi: make([]uint64, len(req.GetTransactions())), Generation: 1}
	switch b.fault {
	case "short":
		resp.Hi = resp.Hi[:len(resp.Hi)/2]
	case "impure":
		for i := range resp.Hi {
			resp.Hi[i] = b.calls
		}
	case "back":
		resp.Generation = 1000 - b.calls
	case "restless":
		resp.Generation = b.calls
	case "noise":
		_, _ = os.NewFile(3, "the stdout of the start").WriteString("scoring!\n")
	case "slow":
		<-ctx.Done()
	}
	return resp, nil
}

// faulty serves a broken policy in a process of its own.
func faulty(fault string) {
	// The SDK points stdout elsewhere, as it should: this plugin keeps the one that it was born with.
	if err := syscall.Dup3(1, 3, 0); err != nil {
		panic(err)
	}
	sdk.Serve(sdk.Ordering(sdk.Description{Name: "broken"}, &broken{fault: fault}))
}

// TestFaultsAreFound runs the suite over broken policies in processes of their own, where it is expected to fail, with the
// name of the stage, the fault and the sentence of the specification. One that hangs fails soon.
func TestFaultsAreFound(t *testing.T) {
	if fault := os.Getenv("ORDO_TEST_FAULT"); fault != "" {
		subject := conformance.Process(os.Args[0], "serve-a-broken-policy", fault)
		if fault == "slow" {
			subject = conformance.WithLimit(subject, 200*time.Millisecond)
		}
		conformance.RunOrdering(t, subject)
		return
	}
	for fault, want := range map[string][]string{
		"short": {"/ordering/one_score_each", "0 scores (hi) for 1 transactions", "docs/spec/ordering.md: The answer MUST hold one `hi`"},
		"impure": {"/ordering/pure", "the same views in the same context got other scores: view 0 (hash 0x0000", "hi 1, lo 0, then hi 3, lo 0; ORDO_CONFORMANCE_SEED=1 makes the same views",
			"docs/spec/ordering.md: Score MUST be a pure function"},
		"back":     {"/ordering/generation_does_not_go_back", "generation 998 after 999"},
		"restless": {"/ordering/generation_comes_to_rest", "generation rises with every answer to the same question, [1 2 3 4 5 6 7 8]"},
		"noise":    {"/ordering/pure", `on stdout after the handshake: "scoring!\n`},
		"slow":     {"Score: no answer within 200ms", "not tried: the plugin hangs: Score: no answer within 200ms; Score: no answer within 200ms"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			out, err := rerun(t, "TestFaultsAreFound", "ORDO_TEST_FAULT="+fault)
			if err == nil {
				t.Errorf("not found:\n%s", out)
			}
			for _, text := range want {
				if !strings.Contains(out, text) {
					t.Errorf("%q is not in:\n%s", text, out)
				}
			}
		})
	}
}

// TestRulesAreOnThePages: every test quotes a sentence that its page really has.
func TestRulesAreOnThePages(t *testing.T) {
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	tests := map[string][]string{"storage": slices.Collect(maps.Keys(conformance.StorageTests()))}
	for page, list := range map[string]map[string]func(*testing.T, conformance.Subject){
		"plugin": conformance.Base, "ordering": conformance.Ordering, "consensus": conformance.Consensus,
	} {
		tests[page] = slices.Collect(maps.Keys(list))
	}
	tests["consensus"] = append(tests["consensus"], slices.Collect(maps.Keys(conformance.ConsensusNetwork))...)
	tests["consensus"] = append(tests["consensus"], slices.Collect(maps.Keys(conformance.ConsensusEngine))...)
	for page, names := range tests {
		text, err := os.ReadFile("../../docs/spec/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if rule := conformance.Rules[page][name]; rule == "" || !strings.Contains(words(string(text)), words(rule)) {
				t.Errorf("%s/%s: %q is not on the page", page, name, rule)
			}
		}
		for name := range conformance.Rules[page] {
			if !slices.Contains(names, name) {
				t.Errorf("%s/%s: there is no such test", page, name)
			}
		}
	}
}

// TestCapabilitiesAreOnThePages: the names that the SDK knows are those of the pages.
func TestCapabilitiesAreOnThePages(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|")
	for stage, page := range map[ordov1.Stage]string{ordov1.Stage_STAGE_ORDERING: "ordering", ordov1.Stage_STAGE_EXECUTION: "execution",
		ordov1.Stage_STAGE_STORAGE: "storage", ordov1.Stage_STAGE_CONSENSUS: "consensus"} {
		text, err := os.ReadFile("../../docs/spec/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, table, ok := strings.Cut(string(text), "\n## Capabilities\n")
		table, _, _ = strings.Cut(table, "\n## ")
		var names []string
		for _, match := range row.FindAllStringSubmatch(table, -1) {
			names = append(names, match[1])
		}
		if want := sdk.Capabilities(stage); !ok || !slices.Equal(names, want) {
			t.Errorf("%s.md has %q, the SDK %q", page, names, want)
		}
	}
}

func rerun(t *testing.T, test, env string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
