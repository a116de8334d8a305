package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func TestPlugin(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "ordering-go")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	subject := conformance.Process(binary)
	conformance.RunBase(t, subject)
	conformance.RunOrdering(t, subject)

	resp, err := ordov1.NewOrderingClient(subject.Configured(t).Conn).Score(context.Background(), &ordov1.ScoreRequest{
		Transactions: []*ordov1.TransactionView{{ArrivalSeq: 1, Tip: 9}, {ArrivalSeq: 2}},
	})
	if err != nil || resp.GetHi()[0] >= resp.GetHi()[1] {
		t.Fatalf("the youngest does not go first: %v %v", resp.GetHi(), err)
	}
}

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("go"); err != nil {
		os.Exit(0) // a test binary that was carried elsewhere
	}
	os.Exit(m.Run())
}
