package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ordo-sequencer/ordo/test/nodetest"
)

// TestLoad sends a burst through every account at once, with `ordo bench load`, which ends badly when a transaction is lost
// or the balances do not add up.
func TestLoad(t *testing.T) {
	n := start(t, "--accounts", "40", "--account-class", "native")
	file := filepath.Join(t.TempDir(), "load.json")
	cmd := exec.CommandContext(within(t, patient), ordo(t), "bench", "load", "--url", n.URL, "--accounts", "40", "--transactions", "400", "--seconds", "60", "--quiet", "--json", file)
	cmd.Env = nodetest.Environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var runs struct {
		Runs []struct {
			Submitted int            `json:"submitted"`
			Accepted  int            `json:"accepted_on_l2"`
			Refused   map[string]int `json:"refused"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(raw, &runs); err != nil || len(runs.Runs) != 1 {
		t.Fatalf("%s: %v", raw, err)
	}
	if report := runs.Runs[0]; report.Submitted != 400 || report.Accepted != 400 || len(report.Refused) > 0 {
		t.Errorf("got %+v", report)
	}
}
