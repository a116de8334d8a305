package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// execution is the stage that runs transactions: it has the streams of the builds, and the queue of blocks that become its tip. Its
// methods are the loop's.
type execution struct {
	port       port
	log        hclog.Logger
	client     ordov1.ExecutionClient
	chain      *chainview.Chain
	observer   Observer
	journal    *journaling
	proposals  *proposals
	supervised bool
	limit      time.Duration // of a call
	memoryMiB  uint64        // that the run of one transaction may hold in a block of this node's own

	at     *executionInstance
	blocks map[uint64]*openBlock // whose stream may still run, by build
	last   *openBlock            // the last one opened
	own    *openBlock            // the last one that takes from the pool
}

// executionInstance is one instance with its queue of tips.
type executionInstance struct {
	*instance
	applies queue[*ordov1.ApplyRequest]
}

// connect implements stage.
func (x *execution) connect(i *instance, _ *pipeline.StageUp) (takeUp func(), err error) {
	return func() { x.takeUp(i) }, nil
}

func (x *execution) takeUp(i *instance) {
	at := &executionInstance{instance: i}
	x.at = at
	at.run(func() {
		for at.ctx.Err() == nil {
			for _, request := range at.applies.take(at.ctx) {
				if !x.runApply(at, request) {
					return
				}
			}
		}
	})
}

func (x *execution) current() *instance { return x.at.instance }

// down implements stage.
func (x *execution) down() { x.chain.Unexecuted() }

// block is the block of a build; nil when its stream has ended and another one was opened since.
func (x *execution) block(build uint64) *openBlock {
	if x.own != nil && x.own.build == build {
		return x.own
	}
	return x.blocks[build]
}

// open opens a block. Its stream starts when the one before it has ended: execution runs one at a time, and streams do not wait
// for each other by themselves.
func (x *execution) open(c pipeline.Open) {
	switch {
	case c.Hidden: // readers do not know this build, and its results are not shown
	case c.Resumes != 0:
		x.chain.Resume(c.Resumes, c.Build)
	default:
		x.chain.Open(c.Build, c.Context)
		x.observer.Reset(c.Context.Number)
	}
	ctx, cancel := context.WithCancel(x.at.ctx)
	b := &openBlock{instance: x.at.instance, chain: x.chain, build: c.Build, cancel: cancel, ended: make(chan struct{})}
	b.commitments.begin(c.Context.GetStarknetVersion())
	if c.Own {
		b.order = x.journal.orders.open(c, x.own)
		x.own = b
	}
	for build, old := range x.blocks {
		select {
		case <-old.ended:
			delete(x.blocks, build)
		default:
		}
	}
	before := x.last
	x.blocks[c.Build], x.last = b, b
	open := &ordov1.BuildRequest_Open{BuildId: c.Build, Context: c.Context, Validate: c.Validate, Hidden: c.Hidden}
	if !c.Validate {
		open.MemoryMib = x.memoryMiB
	}
	b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Open_{Open: open}})
	x.at.run(func() {
		defer close(b.ended)
		defer cancel()
		if before != nil {
			select {
			case <-before.ended:
			case <-ctx.Done():
				return
			}
		}
		err := b.run(ctx, x.client)
		if b.instance.pending.streamEnded(); err == nil {
			b.instance.pending.clear()
		}
		if err != nil && ctx.Err() == nil {
			x.buildFailed(b.build, err)
		}
	})
}

// buildFailed judges the error of a build's stream.
func (x *execution) buildFailed(build uint64, err error) {
	// Unavailable may mean that the process is gone, which the supervisor finds out, or that it cannot read from storage.
	unavailable := status.Code(err) == codes.Unavailable
	if unavailable && !x.supervised || status.Code(err) == codes.DataLoss { // no transaction's fault: the next build would end alike
		x.port.halt("execution", err)
		return
	}
	x.log.Error("build broke off: the same transactions are tried again", "build", build, "error", err)
	x.port.post(pipeline.BuildFailed{Build: build, Why: err.Error(), Away: unavailable})
}

func (x *execution) add(c pipeline.Add) {
	if b := x.block(c.Build); b != nil {
		b.add(c)
	}
}

func (x *execution) close(c pipeline.Close) {
	x.chain.Closed(c.Build)
	if b := x.block(c.Build); b != nil {
		b.close(c.N)
	}
}

func (x *execution) abort(c pipeline.Abort) {
	x.reset(c.Build)
	if b := x.block(c.Build); b != nil {
		b.abort()
	}
}

// preconfirm shows results of the open block.
func (x *execution) preconfirm(c pipeline.Preconfirm) {
	if height, txs := x.chain.Preconfirm(c.Build, c.Results, c.Delta); len(txs) > 0 {
		x.observer.Preconfirmed(height, txs, c.Results)
	}
}

// reset takes back what was shown of a build, if that is the open block.
func (x *execution) reset(build uint64) {
	if height, open := x.chain.ResetPreconfirmed(build); open {
		x.observer.Reset(height)
	}
}

func (x *execution) resetPreconfirmed(c pipeline.ResetPreconfirmed) {
	x.log.Warn("the block came out differently when it was built again: its transactions go back", "number", c.Context.Number)
	txs, classes := split(c.Items)
	x.reset(c.Build)
	x.chain.Open(c.Build, c.Context)
	x.chain.Candidates(c.Build, txs, classes)
}

func (x *execution) dropCandidates(c pipeline.DropCandidates) {
	if b := x.block(c.Build); b != nil {
		b.order.drop(len(c.Items))
	}
	txs, _ := split(c.Items)
	x.chain.DropCandidates(c.Build, txs)
}

// hashHeader computes the header of a closed block beside the loop.
func (x *execution) hashHeader(c pipeline.HashHeader) {
	b := x.block(c.Build)
	x.port.spawn(func() {
		txs, _ := split(c.Items)
		var before *commitments
		if b != nil {
			before = &b.commitments
		}
		header, err := buildHeader(c.Draft, txs, c.Results, c.Diff, before)
		if err != nil {
			x.port.halt("execution", fmt.Errorf("block %d cannot be hashed: %w", c.Draft.Context.Number, err))
			return
		}
		x.port.post(pipeline.HeaderHashed{Build: c.Build, Header: header})
	})
}

// check checks a peer's proposal beside the loop.
func (x *execution) check(c pipeline.Check) { x.proposals.start(x.at.instance, c) }

// apply queues a decided build, which becomes the tip.
func (x *execution) apply(c pipeline.Apply) {
	x.at.applies.push(&ordov1.ApplyRequest{Height: c.Height, BuildId: c.Build})
}

// adopt queues the newest block of storage, which becomes the tip.
func (x *execution) adopt(c pipeline.Adopt) {
	x.at.applies.push(&ordov1.ApplyRequest{Height: c.Height, Adopt: true})
}

// runApply moves the tip.
func (x *execution) runApply(at *executionInstance, request *ordov1.ApplyRequest) (ok bool) {
	ctx, cancel := context.WithTimeout(at.ctx, x.limit)
	defer cancel()
	at.doing.Add(1)
	tip, err := x.client.Apply(ctx, request)
	if err != nil { // doing stays up: the instance is about to end, and this call was in hand
		at.callFailed(fmt.Errorf("apply block %d: %w", request.Height, err))
		return false
	}
	at.doing.Add(-1)
	if !tip.HasTip || tip.Tip != request.Height {
		x.port.halt("execution", fmt.Errorf("apply block %d: its tip is block %d", request.Height, tip.Tip))
		return false
	}
	x.chain.Executed(request.Height)
	if request.Adopt {
		x.port.post(pipeline.Adopted{Height: request.Height})
		return true
	}
	x.journal.mark(journal.Step{Kind: journal.Applied, Height: request.Height})
	x.port.post(pipeline.Applied{Height: request.Height})
	return true
}
