// Package comet is CometBFT as ordo's consensus: an engine for a network of validators.
//
// CometBFT runs inside of the plugin's process with its own network and its own log. The core builds, executes and stores blocks; what
// travels in a block of CometBFT is a proposal of the core (package block), and its calls become events and actions in package bridge.
package comet

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/engine"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Service is the consensus plugin comet.
func Service() *sdk.Service {
	d := sdk.Description{Name: "comet", Version: "0.1.0", ConfigSchema: Schema,
		Capabilities: []string{sdk.CapNetwork, sdk.CapCertificates, sdk.CapEngine}}
	return sdk.Consensus(d, &part{})
}

// part is one process.
type part struct {
	ordov1.UnimplementedConsensusServer
	engine atomic.Pointer[engine.Engine] // nil: this process verifies only
}

// Configure implements sdk.Configurer.
func (p *part) Configure(_ context.Context, setup *sdk.Setup) error {
	c, err := parse(setup.Config)
	if err != nil || !c.part() {
		return err
	}
	settings, err := c.settings(setup)
	if err != nil {
		return err
	}
	p.engine.Store(engine.New(settings))
	return nil
}

// Run implements the plugin protocol.
func (p *part) Run(stream ordov1.Consensus_RunServer) error {
	if e := p.engine.Load(); e != nil {
		return e.Run(stream)
	}
	return status.Error(codes.FailedPrecondition, "run: comet takes part in consensus with listen and key_file in its configuration: set both")
}

// Verify implements the plugin protocol.
func (p *part) Verify(_ context.Context, request *ordov1.VerifyRequest) (*ordov1.VerifyResponse, error) {
	why := block.Verify(request)
	return &ordov1.VerifyResponse{Valid: why == "", Reason: why}, nil
}

// Drain implements sdk.Drainer.
func (p *part) Drain(ctx context.Context) error {
	if e := p.engine.Load(); e != nil {
		return e.Drain(ctx)
	}
	return nil
}

// Counters implements sdk.Counting.
func (p *part) Counters() map[string]uint64 {
	if e := p.engine.Load(); e != nil {
		return e.Counters()
	}
	return nil
}
