package driver

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// openBlock is a block that execution runs: the stream of one build, and everything that has to know what was given to it. Its
// ledger of that is kept once, in commitments; the order in the journal and the readers' open block follow from the same call.
type openBlock struct {
	instance    *instance
	chain       *chainview.Chain
	build       uint64
	steps       queue[*ordov1.BuildRequest]
	cancel      context.CancelFunc
	commitments commitments
	order       *orderLog     // nil: its order is not worth keeping
	closed      bool          // Close was queued
	ended       chan struct{} // closed when the stream has ended
}

// abortGrace is how long execution may take to end the stream of an aborted build.
const abortGrace = 10 * time.Second

// add gives transactions to execution, and tells the journal and the readers.
func (b *openBlock) add(c pipeline.Add) {
	txs, classes := split(c.Items)
	handed := b.commitments.add(txs)
	b.order.add(c, handed)
	if c.Again == 0 {
		b.chain.Candidates(c.Build, txs, classes)
	} else {
		fresh, brought := split(c.Items[c.Again:])
		b.chain.Candidates(c.Build, fresh, brought)
	}
	b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Add_{Add: &ordov1.BuildRequest_Add{Transactions: txs, Classes: classes}}})
}

// close ends the block after its first n transactions.
func (b *openBlock) close(n uint64) {
	b.closed = true
	b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Close_{Close: &ordov1.BuildRequest_Close{N: n}}})
}

// abort ends the stream. After Close there is no Abort to send: the stream ends by itself in a moment, and the machine ignores
// what comes of it. Cutting it would let the next build begin while execution still works on this one.
func (b *openBlock) abort() {
	if !b.closed {
		b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Abort_{Abort: &ordov1.BuildRequest_Abort{}}})
	}
	time.AfterFunc(abortGrace, b.cancel)
}

// run is the stream, from Open to its end.
func (b *openBlock) run(ctx context.Context, client ordov1.ExecutionClient) error {
	stream, err := client.Build(ctx)
	if err != nil {
		return err
	}
	sending, stop := context.WithCancel(ctx)
	sent, aborted := make(chan struct{}), make(chan struct{})
	defer func() { stop(); <-sent }()
	go func() {
		defer close(sent)
		b.send(sending, stream, aborted)
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
		if _, ok := response.Step.(*ordov1.BuildResponse_Closed_); ok {
			closed = true
		}
		if err := b.received(response); err != nil {
			return err
		}
	}
}

// send sends the queued steps until the stream has its last one.
func (b *openBlock) send(ctx context.Context, stream ordov1.Execution_BuildClient, aborted chan struct{}) {
	for ctx.Err() == nil {
		for _, step := range b.steps.take(ctx) {
			b.instance.pending.add(owed(step))
			if step.GetAbort() != nil {
				close(aborted)
			}
			if err := stream.Send(step); err != nil {
				return // Recv gets the reason
			}
			if step.GetAbort() != nil || step.GetClose() != nil {
				_ = stream.CloseSend()
				return
			}
		}
	}
}

// received hands a response on. An error means that execution broke the plugin protocol.
func (b *openBlock) received(response *ordov1.BuildResponse) error {
	port, pending := b.instance.port, &b.instance.pending
	switch step := response.Step.(type) {
	case *ordov1.BuildResponse_Opened_:
	case *ordov1.BuildResponse_Results_:
		pending.received(len(step.Results.Results))
		port.post(pipeline.Executed{Build: b.build, Results: step.Results})
		b.commitments.resultsArrived(step.Results.First, step.Results.Results)
	case *ordov1.BuildResponse_Full_:
		pending.clear() // the rest will not run
		port.post(pipeline.Full{Build: b.build, N: step.Full.N, Why: step.Full.Why})
	case *ordov1.BuildResponse_Closed_:
		pending.clear()
		if err := checkDiff(step.Closed); err != nil {
			return status.Error(codes.DataLoss, err.Error())
		}
		port.post(pipeline.Closed{Build: b.build, Closed: step.Closed})
	default:
		return status.Errorf(codes.DataLoss, "it sent %T, which this node does not know", response.Step)
	}
	return nil
}

// owed is how many replies a step asks for.
func owed(step *ordov1.BuildRequest) int {
	if step.GetClose() != nil {
		return 1
	}
	return len(step.GetAdd().GetTransactions())
}
