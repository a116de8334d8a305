package solo_test

import (
	"os"
	"testing"

	"github.com/ordo-sequencer/ordo/plugins/consensus/solo"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/conformance"
)

// The test binary, called with this argument, is the plugin.
const serve = "serve-the-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serve {
		sdk.Serve(solo.Service())
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	for name, subject := range map[string]conformance.Subject{
		"in process": conformance.InProcess(solo.Service),
		"process":    conformance.Process(os.Args[0], serve),
	} {
		t.Run(name, func(t *testing.T) {
			conformance.RunBase(t, subject)
			for _, config := range []string{
				`{}`,
				`{"mode":"transaction","idle_ms":50,"interval_ms":200}`,
				`{"mode":"interval","interval_ms":500}`,
				`{"mode":"interval","empty_blocks":true}`,
				`{"mode":"demand"}`,
			} {
				t.Run(config, func(t *testing.T) {
					subject := subject
					subject.Config = []byte(config)
					conformance.RunConsensus(t, subject)
				})
			}
		})
	}
}
