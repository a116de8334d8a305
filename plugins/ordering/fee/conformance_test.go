package fee_test

import (
	"os"
	"testing"

	"github.com/ordo-sequencer/ordo/plugins/ordering/fee"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
)

// The test binary, called with this argument, is the plugin.
const serve = "serve-the-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serve {
		sdk.Serve(fee.Service())
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	for name, subject := range map[string]conformance.Subject{
		"in process": conformance.InProcess(fee.Service),
		"process":    conformance.Process(os.Args[0], serve),
	} {
		t.Run(name, func(t *testing.T) {
			conformance.RunBase(t, subject)
			conformance.RunOrdering(t, subject)
		})
	}
}
