package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// build is the stream of one build.
type build struct {
	instance    *instance
	id          uint64
	steps       queue[*ordov1.BuildRequest]
	cancel      context.CancelFunc
	closed      bool // Close was sent, of the loop
	commitments commitments
	ended       chan struct{}
}

const abortGrace = 10 * time.Second

// open starts the stream of a build as soon as the one before it has ended: execution runs one at a time, and streams do
// not wait for each other by themselves.
func (d *Driver) open(c pipeline.Open) {
	l := d.at[ordov1.Stage_STAGE_EXECUTION]
	ctx, cancel := context.WithCancel(l.ctx)
	b := &build{instance: l, id: c.Build, cancel: cancel, ended: make(chan struct{})}
	b.commitments.begin(c.Context.GetStarknetVersion())
	before := l.build
	l.build, l.builds[c.Build] = b, b
	for id, old := range l.builds {
		select {
		case <-old.ended:
			delete(l.builds, id)
		default:
		}
	}
	open := &ordov1.BuildRequest_Open{Attempt: c.Build, Context: c.Context, Validate: c.Validate, Hidden: c.Hidden}
	if !c.Validate {
		open.MemoryMib = uint64(d.options.TransactionMiB)
	}
	b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Open_{Open: open}})
	l.run(func() {
		defer close(b.ended)
		defer cancel()
		if before != nil {
			select {
			case <-before.ended:
			case <-ctx.Done():
				return
			}
		}
		err := d.runBuild(ctx, b)
		if l.pending.streamEnded(); err == nil {
			l.pending.clear()
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		// Unavailable may mean that the process is gone, which whoever watches it finds out, or that it cannot read from storage.
		away := status.Code(err) == codes.Unavailable
		if away && d.options.Suspect == nil {
			d.halt("execution", err)
			return
		}
		if status.Code(err) == codes.DataLoss { // no transaction's fault: the next build would end alike
			d.halt("execution", err)
			return
		}
		d.log.Error("build broke off: the same transactions are tried again", "build", b.id, "error", err)
		d.input(pipeline.BuildFailed{Build: b.id, Why: err.Error(), Away: away})
	})
}

func (d *Driver) stepOf(id uint64, step *ordov1.BuildRequest) {
	if b := d.at[ordov1.Stage_STAGE_EXECUTION].builds[id]; b != nil {
		b.closed = b.closed || step.GetClose() != nil
		b.commitments.add(step.GetAdd().GetTransactions())
		b.steps.push(step)
	}
}

// abort ends a build's stream. After Close there is no Abort to send: it ends by itself in a moment, and the machine does
// not listen any more. Cutting it would let the next build begin while execution still works on this one.
func (d *Driver) abort(id uint64) {
	b := d.at[ordov1.Stage_STAGE_EXECUTION].builds[id]
	if b == nil {
		return
	}
	if !b.closed {
		b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Abort_{Abort: &ordov1.BuildRequest_Abort{}}})
	}
	time.AfterFunc(abortGrace, b.cancel)
}

// owed is how many answers a step asks for.
func owed(step *ordov1.BuildRequest) int {
	if step.GetClose() != nil {
		return 1
	}
	return len(step.GetAdd().GetTransactions())
}

func (d *Driver) runBuild(ctx context.Context, b *build) error {
	stream, err := d.execution.Build(ctx)
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	sending, stop := context.WithCancel(ctx)
	defer func() { stop(); <-sent }()
	aborted := make(chan struct{})
	go func() {
		defer close(sent)
		for sending.Err() == nil {
			for _, step := range b.steps.take(sending) {
				b.instance.pending.add(owed(step))
				if step.GetAbort() != nil {
					close(aborted)
				}
				if err := stream.Send(step); err != nil {
					return // Recv tells why
				}
				if step.GetAbort() != nil || step.GetClose() != nil {
					_ = stream.CloseSend()
					return
				}
			}
		}
	}()
	closed := false
	for {
		response, err := stream.Recv()
		if err != nil {
			select {
			case <-aborted:
				return nil
			default:
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
			if closed {
				return nil
			}
			return errors.New("execution ended the stream before Closed")
		}
		switch step := response.Step.(type) {
		case *ordov1.BuildResponse_Opened_:
		case *ordov1.BuildResponse_Results_:
			b.instance.pending.received(len(step.Results.Results))
			d.input(pipeline.Executed{Build: b.id, Results: step.Results})
			b.commitments.resultsArrived(step.Results.First, step.Results.Results)
		case *ordov1.BuildResponse_Full_:
			b.instance.pending.clear() // the rest will not run
			d.input(pipeline.Full{Build: b.id, N: step.Full.N, Why: step.Full.Why})
		case *ordov1.BuildResponse_Closed_:
			closed = true
			b.instance.pending.clear()
			if err := checkDiff(step.Closed); err != nil {
				return status.Error(codes.DataLoss, err.Error())
			}
			d.input(pipeline.Closed{Build: b.id, Closed: step.Closed})
		default:
			return status.Errorf(codes.DataLoss, "it sent %T, which this node does not know", response.Step)
		}
	}
}

// runApplies starts who moves the tip of a life of execution.
func (d *Driver) runApplies(l *instance) {
	l.run(func() {
		for l.ctx.Err() == nil {
			for _, request := range l.applies.take(l.ctx) {
				if !d.apply(l, request) {
					return
				}
			}
		}
	})
}

func (d *Driver) apply(l *instance, request *ordov1.ApplyRequest) (ok bool) {
	ctx, cancel := context.WithTimeout(l.ctx, d.options.CallLimit)
	defer cancel()
	l.doing.Add(1)
	tip, err := d.execution.Apply(ctx, request)
	if err == nil {
		l.doing.Add(-1) // else its end is near, and this was being done
	}
	if err == nil && (!tip.HasTip || tip.Tip != request.Height) {
		d.halt("execution", fmt.Errorf("apply block %d: its tip is block %d", request.Height, tip.Tip))
		return false
	}
	if err != nil {
		d.handleCallError(l, fmt.Errorf("apply block %d: %w", request.Height, err))
		return false
	}
	d.chain.Executed(request.Height)
	if request.Adopt {
		d.input(pipeline.Adopted{Height: request.Height})
		return true
	}
	d.mark(journal.Step{Kind: journal.Applied, Height: request.Height})
	d.input(pipeline.Applied{Height: request.Height})
	return true
}
