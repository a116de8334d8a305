// Package orderingpython tests an ordering policy in Python that is written from the plugin protocol alone, without an SDK.
package orderingpython

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/conformance"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func TestPlugin(t *testing.T) {
	if out, err := exec.Command("./setup.sh").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no Python environment, and CI is set: %v\n%s", err, out)
		}
		t.Skipf("no Python environment, so the Python plugin is not tested: %v\n%s", err, out)
	}
	subject := conformance.Process("./plugin")
	conformance.RunBase(t, subject)
	conformance.RunOrdering(t, subject)

	resp, err := ordov1.NewOrderingClient(subject.Configured(t).Conn).Score(context.Background(), &ordov1.ScoreRequest{
		Transactions: []*ordov1.TransactionView{{CalldataLen: 100, Tip: 9}, {CalldataLen: 3}, {CalldataLen: 100}},
	})
	if hi := resp.GetHi(); err != nil || hi[0] >= hi[1] || hi[0] != hi[2] {
		t.Fatalf("the smallest does not go first: %v %v", hi, err)
	}
}
