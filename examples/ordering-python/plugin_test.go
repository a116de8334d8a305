// Package orderingpython tests an ordering policy in Python that is written from the plugin protocol alone, without an SDK.
package orderingpython

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// environment makes the Python environment of the plugin.
func environment(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("./setup.sh").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no Python environment, and CI is set: %v\n%s", err, out)
		}
		t.Skipf("no Python environment, so the Python plugin is not tested: %v\n%s", err, out)
	}
}

// TestPluginCopiedAway: the folder is copied to where no checkout is around it, as an author does, and passes the tests there.
func TestPluginCopiedAway(t *testing.T) {
	environment(t)
	dir := copyAway(t)
	subject := conformance.Process(filepath.Join(dir, "plugin"))
	conformance.RunBase(t, subject)
	conformance.RunOrdering(t, subject)

	resp, err := ordov1.NewOrderingClient(subject.Configured(t).Conn).Score(context.Background(), &ordov1.ScoreRequest{
		Transactions: []*ordov1.TransactionView{{CalldataLen: 100, Tip: 9}, {CalldataLen: 3}, {CalldataLen: 100}},
	})
	if hi := resp.GetHi(); err != nil || hi[0] >= hi[1] || hi[0] != hi[2] {
		t.Fatalf("the smallest does not go first: %v %v", hi, err)
	}
}

func copyAway(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mine")
	if out, err := exec.Command("cp", "-r", ".", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestRunScriptFindsTheNode: away from a checkout run.sh takes the binary or the checkout that ORDO names, then the ordo in
// PATH, and says what it wants when there is none.
func TestRunScriptFindsTheNode(t *testing.T) {
	environment(t)
	dir, node := copyAway(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(node, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(node, "bin", "ordo"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(env ...string) (string, error) {
		cmd := exec.Command(filepath.Join(dir, "run.sh"), "--port", "0")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	want := "dev --ordering " + filepath.Join(dir, "plugin") + " --block-generation-on demand --port 0\n"
	for _, env := range []string{"ORDO=" + node, "ORDO=" + filepath.Join(node, "bin", "ordo"), "PATH=" + filepath.Join(node, "bin") + ":" + os.Getenv("PATH")} {
		if out, err := run(env); err != nil || out != want {
			t.Errorf("%s: %v\n%s", env, err, out)
		}
	}
	if out, err := run("ORDO=" + filepath.Join(node, "none")); err == nil || !strings.Contains(out, "set ORDO to the ordo binary, or to a checkout of ordo") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProtosAreTheSame: the copies that the plugin reads are those of the SDK.
func TestProtosAreTheSame(t *testing.T) {
	for _, name := range []string{"base.proto", "ordering.proto"} {
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
