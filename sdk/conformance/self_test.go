package conformance_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

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

// broken is a policy with every fault that the suite looks for in scores.
type broken struct {
	ordov1.UnimplementedOrderingServer
	calls uint64
}

func (b *broken) Score(_ context.Context, req *ordov1.ScoreRequest) (*ordov1.ScoreResponse, error) {
	b.calls++
	resp := &ordov1.ScoreResponse{Generation: 100 - b.calls}
	for i := range req.GetTransactions() {
		resp.Hi = append(resp.Hi, b.calls+uint64(i))
	}
	resp.Hi = resp.Hi[:len(resp.Hi)/2]
	return resp, nil
}

// TestFaultsAreFound runs single tests over a broken policy in a process of its own, where they are expected to fail.
func TestFaultsAreFound(t *testing.T) {
	subject := conformance.InProcess(func() *sdk.Service {
		return sdk.Ordering(sdk.Description{Name: "broken", Capabilities: []string{sdk.CapArrival}}, &broken{})
	})
	for _, name := range []string{"one score each", "generation does not go back"} {
		if os.Getenv("ORDO_TEST_FAULT") == name {
			conformance.Ordering[name](t, subject)
			return
		}
		if os.Getenv("ORDO_TEST_FAULT") != "" {
			continue
		}
		if out, err := rerun(t, "TestFaultsAreFound", "ORDO_TEST_FAULT="+name); err == nil {
			t.Errorf("%s: not found:\n%s", name, out)
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
