package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// described is what a plugin has said of itself; *host.Plugin is one.
type described struct {
	Stage        ordov1.Stage
	Name         string // "ordering/fee"
	Own          string // "fee"
	Capabilities []string
}

func (d described) has(capability string) bool { return slices.Contains(d.Capabilities, capability) }

func describedBy(p *host.Plugin) described {
	return described{p.Spec().Stage, p.Name(), p.Info().GetName(), p.Info().GetCapabilities()}
}

// lacking is why a node cannot run with a plugin; nil: it can.
func lacking(d described) error {
	if d.Stage == ordov1.Stage_STAGE_STORAGE && !d.has(sdk.CapRoots) {
		return fmt.Errorf("%s: it does not have the capability %s, which this node requires: state roots and block hashes come from storage: choose another storage plugin", d.Name, sdk.CapRoots)
	}
	return nil
}

// notes are what an operator is told at the start, one line each: capabilities that a plugin claims in vain or does without, and
// settings that have no effect with the plugins that were chosen.
func notes(c config.Config, plugins []described) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	var own [ordov1.Stage_STAGE_CONSENSUS + 1]described
	for _, d := range plugins {
		own[d.Stage] = d
		for _, claimed := range d.Capabilities {
			if known := sdk.Capabilities(d.Stage); !slices.Contains(known, claimed) {
				meant := ""
				if near, ok := schema.Nearest(claimed, known); ok {
					meant = fmt.Sprintf(": did it mean %q?", near)
				}
				say("%s: it claims the capability %q, which this node does not know: it has no effect%s", d.Name, claimed, meant)
			}
		}
	}
	ordering, execution, storage, consensus := own[ordov1.Stage_STAGE_ORDERING], own[ordov1.Stage_STAGE_EXECUTION], own[ordov1.Stage_STAGE_STORAGE], own[ordov1.Stage_STAGE_CONSENSUS]
	if !execution.has(sdk.CapView) {
		say("%s: it does not have the capability %s: calls, estimates, simulations, traces and balances are not served", execution.Name, sdk.CapView)
	}
	if !execution.has(sdk.CapCompile) {
		say("%s: it does not have the capability %s: new classes cannot be declared", execution.Name, sdk.CapCompile)
	}
	if !storage.has(sdk.CapHistory) {
		say("%s: it does not have the capability %s: state is served at the newest block only", storage.Name, sdk.CapHistory)
	}
	if !storage.has(sdk.CapProofs) {
		say("%s: it does not have the capability %s: starknet_getStorageProof answers with error 42", storage.Name, sdk.CapProofs)
	}
	if consensus.has(sdk.CapNetwork) && c.Network.File == "" {
		say("%s: it claims the capability %s, and this node has no peers (network.file): with more than one validator no block is decided", consensus.Name, sdk.CapNetwork)
	}
	if consensus.Own != solo && c.BlockGeneration.Mode != "transaction" {
		say("--block-generation-on %s (chain.block_generation_on) has no effect: it is a setting of the consensus plugin %s; %s decides itself when blocks are made, see [consensus.config]",
			c.BlockGeneration, solo, consensus.Name)
	}
	if consensus.Own == solo && c.BlockGeneration.Mode == "transaction" && !ordering.has(sdk.CapArrival) && len(c.Consensus.Settings) == 0 {
		say("%s: it orders what waits, and with --block-generation-on transaction a block is made as soon as there are transactions: unless many come at once its order does not show; choose demand or a number of seconds",
			ordering.Name)
	}
	if execution.Own != blockifier {
		var vain []string
		if c.Workers > 0 {
			vain = append(vain, "--workers (node.workers)")
		}
		if c.Native != "" && c.Native != "auto" {
			vain = append(vain, "--native (node.native)")
		}
		if len(vain) > 0 {
			say("%s: no effect: only the execution plugin %s takes it; %s is set in [execution.config]", strings.Join(vain, ", "), blockifier, execution.Name)
		}
	}
	return all
}

// The shipped plugins that settings of the node are handed to.
const (
	solo       = "solo"
	blockifier = "blockifier"
)

// stallAfter is how long no block may be made although transactions wait before the log says so; 0: for ever, where blocks are
// made on demand only.
func stallAfter(c config.Config, consensus described) time.Duration {
	const patience = 10 * time.Second
	if consensus.Own != solo {
		return patience
	}
	switch c.BlockGeneration.Mode {
	case "demand":
		return 0
	case "interval":
		return c.BlockGeneration.Interval + patience
	}
	return patience
}
