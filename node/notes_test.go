package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func shippedSet() []described {
	return []described{
		{ordov1.Stage_STAGE_ORDERING, "ordering/fifo", "fifo", []string{sdk.CapArrival}},
		{ordov1.Stage_STAGE_EXECUTION, "execution/blockifier", "blockifier", []string{sdk.CapConcurrent, sdk.CapView, sdk.CapCompile, sdk.CapNative}},
		{ordov1.Stage_STAGE_STORAGE, "storage/badger", "badger", []string{sdk.CapRoots, sdk.CapHistory, sdk.CapRevert, sdk.CapProofs}},
		{ordov1.Stage_STAGE_CONSENSUS, "consensus/solo", "solo", nil},
	}
}

// TestNotes: a start with the shipped plugins says nothing; each capability that is claimed in vain or missing, and each setting
// without effect, is one line.
func TestNotes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config, []described)
		want   string // of the only line; "": there is none
	}{
		"shipped":   {func(*config.Config, []described) {}, ""},
		"on demand": {func(c *config.Config, _ []described) { c.BlockGeneration.Mode = "demand" }, ""},
		"network without peers": {func(_ *config.Config, d []described) {
			d[3] = described{d[3].Stage, "consensus/two", "two", []string{sdk.CapNetwork}}
		}, "consensus/two: it claims the capability network, and this node has no peers"},
		"no views":             {func(_ *config.Config, d []described) { d[1].Capabilities = []string{sdk.CapCompile} }, "execution/blockifier: it does not have the capability view"},
		"no compiler":          {func(_ *config.Config, d []described) { d[1].Capabilities = []string{sdk.CapView} }, "capability compile: new classes cannot be declared"},
		"no history":           {func(_ *config.Config, d []described) { d[2].Capabilities = []string{sdk.CapRoots, sdk.CapProofs} }, "capability history"},
		"no proofs":            {func(_ *config.Config, d []described) { d[2].Capabilities = []string{sdk.CapRoots, sdk.CapHistory} }, "capability proofs: starknet_getStorageProof answers with error 42"},
		"misspelt":             {func(_ *config.Config, d []described) { d[0].Capabilities = []string{sdk.CapArrival, "arival"} }, `"arival", which this node does not know: it has no effect: did it mean "arrival"?`},
		"from a later version": {func(_ *config.Config, d []described) { d[3].Capabilities = []string{"gossip"} }, `"gossip", which this node does not know: it has no effect`},
		"foreign consensus, on demand": {func(c *config.Config, d []described) {
			c.BlockGeneration.Mode = "demand"
			d[3].Name, d[3].Own = "consensus/two", "two"
		}, "--block-generation-on demand (chain.block_generation_on) has no effect: it is a setting of the consensus plugin solo; consensus/two decides"},
		"foreign consensus": {func(_ *config.Config, d []described) { d[3].Own = "two" }, ""},
		"policy, block per transaction": {func(_ *config.Config, d []described) { d[0] = described{d[0].Stage, "ordering/fee", "fee", nil} },
			"ordering/fee: it orders what waits, and with --block-generation-on transaction"},
		"policy, on demand": {func(c *config.Config, d []described) {
			d[0].Capabilities = nil
			c.BlockGeneration.Mode = "demand"
		}, ""},
		"workers of a foreign executor": {func(c *config.Config, d []described) {
			c.Workers, c.Native, d[1].Name, d[1].Own = 3, "on", "execution/mine", "mine"
		}, "--workers (node.workers), --native (node.native): no effect: only the execution plugin blockifier takes it"},
	} {
		config, plugins := config.Default(), shippedSet()
		c.change(&config, plugins)
		got := notes(config, plugins)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestRootsAreRequired(t *testing.T) {
	for _, d := range shippedSet() {
		d.Capabilities = slices.DeleteFunc(slices.Clone(d.Capabilities), func(c string) bool { return c == sdk.CapRoots })
		if err := lacking(d); (err != nil) != (d.Own == "badger") {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

func TestStallIsToldWhereBlocksAreExpected(t *testing.T) {
	c, solo, two := config.Default(), described{Own: "solo"}, described{Own: "two"}
	for text, want := range map[string][2]time.Duration{
		"transaction": {10 * time.Second, 10 * time.Second}, "demand": {0, 10 * time.Second}, "30": {40 * time.Second, 10 * time.Second},
	} {
		if err := config.FromEnv(&c, func(key string) (string, bool) { return text, key == "BLOCK_GENERATION_ON" }); err != nil {
			t.Fatal(err)
		}
		if got := [2]time.Duration{stallAfter(c, solo), stallAfter(c, two)}; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
