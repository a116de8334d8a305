package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ---- consensus ----

func (n *Node) tell(stream ordov1.Consensus_RunClient) {
	defer func() { _ = stream.CloseSend() }()
	for n.ctx.Err() == nil {
		for _, event := range n.tells.take(n.ctx) {
			if err := stream.Send(event); err != nil {
				return // hear learns why
			}
		}
	}
}

func (n *Node) hear(stream ordov1.Consensus_RunClient) {
	for {
		actions, err := stream.Recv()
		if err != nil {
			n.fail("consensus", fmt.Errorf("its stream ended: %w", err))
			return
		}
		n.input(pipeline.Answered{Actions: actions})
	}
}

// ---- builds ----

// build is the stream of one build.
type build struct {
	id     uint64
	steps  queue[*ordov1.BuildRequest]
	cancel context.CancelFunc
	closed bool // Close was sent, of the loop
	ended  chan struct{}
}

const abortGrace = 10 * time.Second

// open starts the stream of a build as soon as the one before it has ended: execution runs one at a time, and streams do
// not wait for each other by themselves.
func (n *Node) open(c pipeline.Open) {
	ctx, cancel := context.WithCancel(n.ctx)
	b := &build{id: c.Build, cancel: cancel, ended: make(chan struct{})}
	before := n.build
	n.build, n.builds[c.Build] = b, b
	for id, old := range n.builds {
		select {
		case <-old.ended:
			delete(n.builds, id)
		default:
		}
	}
	b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Open_{Open: &ordov1.BuildRequest_Open{Attempt: c.Build, Context: c.Context, Validate: c.Validate}}})
	n.beside(func() {
		defer close(b.ended)
		defer cancel()
		if before != nil {
			select {
			case <-before.ended:
			case <-ctx.Done():
				return
			}
		}
		if err := n.runBuild(ctx, b); err != nil && ctx.Err() == nil {
			n.input(pipeline.BuildFailed{Build: b.id, Why: err.Error()})
			if status.Code(err) == codes.Unavailable {
				n.fail("execution", err)
				return
			}
			n.log.Error("build failed", "build", b.id, "error", err)
		}
	})
}

func (n *Node) stepOf(id uint64, step *ordov1.BuildRequest) {
	if b := n.builds[id]; b != nil {
		b.closed = b.closed || step.GetClose() != nil
		b.steps.push(step)
	}
}

// abort ends a build's stream. After Close there is no Abort to send: it ends by itself in a moment, and the machine does
// not listen any more. Cutting it would let the next build begin while execution still works on this one.
func (n *Node) abort(id uint64) {
	b := n.builds[id]
	if b == nil {
		return
	}
	if !b.closed {
		b.steps.push(&ordov1.BuildRequest{Step: &ordov1.BuildRequest_Abort_{Abort: &ordov1.BuildRequest_Abort{}}})
	}
	time.AfterFunc(abortGrace, b.cancel)
}

func (n *Node) runBuild(ctx context.Context, b *build) error {
	stream, err := n.execution.Build(ctx)
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
			n.input(pipeline.Executed{Build: b.id, Results: step.Results})
		case *ordov1.BuildResponse_Full_:
			n.input(pipeline.Full{Build: b.id, N: step.Full.N, Why: step.Full.Why})
		case *ordov1.BuildResponse_Closed_:
			closed = true
			n.input(pipeline.Closed{Build: b.id, Closed: step.Closed})
		default:
			return fmt.Errorf("execution sent %T, which this node does not know", response.Step)
		}
	}
}

// ---- apply, commit, roots ----

func (n *Node) applier() {
	for n.ctx.Err() == nil {
		for _, a := range n.applies.take(n.ctx) {
			tip, err := n.execution.Apply(n.ctx, &ordov1.ApplyRequest{Height: a.Height, Attempt: a.Build})
			if err == nil && (!tip.HasTip || tip.Tip != a.Height) {
				err = fmt.Errorf("its tip is block %d", tip.Tip)
			}
			if err != nil {
				n.fail("execution", fmt.Errorf("apply block %d: %w", a.Height, err))
				return
			}
			n.input(pipeline.Applied{Height: a.Height})
		}
	}
}

func (n *Node) committer() {
	for n.ctx.Err() == nil {
		for _, c := range n.commits.take(n.ctx) {
			txs, _ := split(c.Items)
			if err := commit(n.ctx, n.storage, c.Header, txs, c.Results, c.Diff, c.Classes, c.Certificate); err != nil {
				n.fail("storage", fmt.Errorf("commit block %d: %w", c.Height, err))
				return
			}
			n.input(pipeline.Committed{Height: c.Height})
		}
	}
}

// commitBytes is about what one message of a Commit holds.
const commitBytes = 1 << 20

// commit stores one block, in parts.
func commit(ctx context.Context, storage ordov1.StorageClient, header *ordov1.BlockHeader, txs []*ordov1.Transaction, results []*ordov1.TransactionResult,
	diff *ordov1.StateDiff, classes []*ordov1.Class, certificate []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := storage.Commit(ctx)
	if err != nil {
		return err
	}
	part, size := &ordov1.CommitRequest{Header: header, Certificate: certificate}, 0
	add := func(m proto.Message, put func()) error {
		if s := proto.Size(m); size > 0 && size+s > commitBytes {
			if err := stream.Send(part); err != nil {
				return err
			}
			part, size = &ordov1.CommitRequest{}, s
		} else {
			size += s
		}
		put()
		return nil
	}
	parts := func() error {
		for _, tx := range txs {
			if err := add(tx, func() { part.Transactions = append(part.Transactions, tx) }); err != nil {
				return err
			}
		}
		for _, r := range results {
			if err := add(r, func() { part.Results = append(part.Results, r) }); err != nil {
				return err
			}
		}
		if err := add(diff, func() { part.StateDiff = diff }); err != nil {
			return err
		}
		for _, class := range classes {
			if err := add(class, func() { part.Classes = append(part.Classes, class) }); err != nil {
				return err
			}
		}
		return stream.Send(part)
	}
	if err := parts(); err != nil && !errors.Is(err, io.EOF) { // EOF: the answer tells why
		return err
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if answer.Height != header.Context.Number {
		return fmt.Errorf("storage answered for block %d", answer.Height)
	}
	return nil
}

// roots follows the roots that storage computes, and checks each block hash.
func (n *Node) roots(from uint64) {
	stream, err := n.storage.Roots(n.ctx, &ordov1.RootsRequest{From: from})
	for err == nil {
		var root *ordov1.Root
		if root, err = stream.Recv(); err != nil {
			break
		}
		n.input(pipeline.Rooted{Root: root})
	}
	n.fail("storage", fmt.Errorf("its stream of roots ended: %w", err))
}

// accept checks the hash of the oldest block without a root against its own header, and lets readers have it.
func (n *Node) accept(root *ordov1.Root) {
	block := n.chain.Unrooted(root.Height)
	if block == nil {
		n.fail("storage", fmt.Errorf("root of block %d, which is not waiting for one", root.Height))
		return
	}
	header, err := rooted(block.Header, n.chain.Latest(), root)
	if err != nil {
		n.fail("storage", err)
		return
	}
	n.chain.Accept(header)
	n.log.Debug("block accepted", "number", root.Height, "hash", fmt.Sprintf("0x%x", root.BlockHash), "root", fmt.Sprintf("0x%x", root.StateRoot))
}
