// Package consensusrotation tests a consensus protocol in Python, the smallest one: validators decide in turn.
package consensusrotation

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/sdk/conformance"
	"github.com/ordo-sequencer/ordo/sdk/consensustest"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

var schedules = flag.Int("schedules", 20, "random schedules")

// plugin copies the folder to where no checkout is around it, and makes its Python environment.
func plugin(t *testing.T) conformance.Subject {
	t.Helper()
	if out, err := exec.Command("./setup.sh").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no Python environment, and CI is set: %v\n%s", err, out)
		}
		t.Skipf("no Python environment, so the Python plugin is not tested: %v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "mine")
	if out, err := exec.Command("cp", "-r", ".", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return conformance.Process(filepath.Join(dir, "plugin"))
}

func TestConformance(t *testing.T) {
	subject := plugin(t)
	conformance.RunBase(t, subject)
	conformance.RunConsensus(t, subject)
	conformance.RunConsensusNetwork(t, subject)
}

// TestCrashes: whatever crashes and comes back, there is no fork, and the heights go on.
func TestCrashes(t *testing.T) {
	consensustest.Explore(t, consensustest.Over(plugin(t).Configured(t).Conn, false), consensustest.Search{Count: *schedules, Parallel: 4,
		Scenario: func(seed uint64) consensustest.Scenario {
			return consensustest.Random(seed, 4, consensustest.CrashOnly)
		}})
}

// TestTwinForks: it stands crashes only. A proposer with a second node gets two blocks decided at one height.
func TestTwinForks(t *testing.T) {
	subject := consensustest.Over(plugin(t).Configured(t).Conn, false)
	r, err := consensustest.Run(subject, consensustest.Scenario{Seed: 1, Validators: 4, Every: 50 * time.Millisecond, Faults: []consensustest.Fault{
		{Kind: consensustest.Twin, Nodes: []int{1}}, {Kind: consensustest.Skew, Nodes: []int{4}, Amount: 100 * time.Millisecond}, {Kind: consensustest.Partition, Nodes: []int{0, 1}, To: time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure == nil || r.Failure.Checker != consensustest.Agreement && r.Failure.Checker != consensustest.Validity {
		t.Fatalf("two proposers of one height, and %v", r.Failure)
	}
}

// TestProtosAreTheSame: the copies that the plugin reads are those of the SDK.
func TestProtosAreTheSame(t *testing.T) {
	for _, name := range []string{"base.proto", "consensus.proto"} {
		ours, err := os.ReadFile(filepath.Join("proto", "ordo", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join("..", "..", "sdk", "proto", "ordo", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s differs from sdk/proto/ordo/v1: run make proto", name)
		}
	}
}

// TestLinesOfCode: what the protocol itself takes is fewer than 60 lines of code.
func TestLinesOfCode(t *testing.T) {
	text, err := os.ReadFile("plugin")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, `"""`) {
			lines++
		}
	}
	if lines >= 60 {
		t.Errorf("%d lines of code, the README says under 60", lines)
	}
}

// TestHelpersKnowEveryAction: protocol.py has a function for each action of the plugin protocol.
func TestHelpersKnowEveryAction(t *testing.T) {
	text, err := os.ReadFile("protocol.py")
	if err != nil {
		t.Fatal(err)
	}
	fields := (&ordov1.Action{}).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); !strings.Contains(string(text), "Action("+name+"=") {
			t.Errorf("protocol.py does not make %s", name)
		}
	}
}
