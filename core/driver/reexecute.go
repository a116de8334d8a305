package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Reexecuted is what Reexecute found.
type Reexecuted struct {
	Blocks       uint64 // without genesis
	Transactions uint64
	Head         *ordov1.BlockHeader // of the new chain
}

// Reexecute runs a stored chain again from genesis: every block goes through the same machine as a peer's proposal, is
// executed, committed and hashed by the stages of o, and must come to the same partial hash, state root and block hash.
// Storage of o must be empty; its consensus is not used. The first difference is an error. progress may be nil.
func Reexecute(ctx context.Context, source ordov1.StorageReadClient, o Options, progress func(height uint64)) (*Reexecuted, error) {
	zero, err := readBlock(ctx, source, 0, true)
	if err == nil && zero == nil {
		err = errors.New("the stored chain is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("reexecute: source: block 0: %w", err)
	}
	classes, err := readClasses(ctx, source, declaredClasses(zero.StateDiff))
	if err != nil {
		return nil, fmt.Errorf("reexecute: source: genesis: %w", err)
	}
	_, o.Lazy, _ = readGenesis(zero.Certificate)
	o.Genesis = &Genesis{Context: zero.Header.Context, Diff: zero.StateDiff, Classes: classes}
	n, err := New(o)
	if err != nil {
		return nil, err
	}
	r := &replayer{driver: n, source: source, events: make(chan *ordov1.ConsensusEvent, 16), answers: make(chan *ordov1.Actions, 16), ended: make(chan struct{})}
	n.consensus.client, n.execution.proposals.replay = r, true
	if err := n.Start(ctx); err != nil {
		return nil, fmt.Errorf("reexecute: %w", err)
	}
	err = r.compare(ctx, n, progress)
	if stopped := n.Stop(ctx); err == nil {
		err = stopped
	}
	if err == nil {
		err = same(zero.Header, r.zero)
	}
	if err != nil {
		return nil, fmt.Errorf("reexecute: %w", err)
	}
	return &Reexecuted{Blocks: r.blocks, Transactions: r.transactions, Head: n.chain.Latest()}, nil
}

// replayer is a consensus that proposes the blocks of a stored chain, one after the other. It is used in this process, so
// it is its own stream.
type replayer struct {
	grpc.ClientStream // the parts of a stream that the node does not use

	driver       *Driver
	source       ordov1.StorageReadClient
	ctx          context.Context
	events       chan *ordov1.ConsensusEvent
	answers      chan *ordov1.Actions
	ended        chan struct{} // the source has no more blocks
	invalid      error
	current      *ordov1.Block
	value        []byte // that was decided of it
	certificate  []byte
	zero         *ordov1.BlockHeader
	blocks       uint64
	transactions uint64
}

// Run implements ordov1.ConsensusClient.
func (r *replayer) Run(ctx context.Context, _ ...grpc.CallOption) (ordov1.Consensus_RunClient, error) {
	r.ctx = ctx
	go r.run()
	return r, nil
}

// Verify is of no use here: a stored block is executed, whatever its certificate says.
func (r *replayer) Verify(context.Context, *ordov1.VerifyRequest, ...grpc.CallOption) (*ordov1.VerifyResponse, error) {
	return nil, status.Error(codes.Unimplemented, "consensus of stored blocks")
}

func (r *replayer) Send(event *ordov1.ConsensusEvent) error {
	select {
	case r.events <- event:
		return nil
	case <-r.ctx.Done():
		return io.EOF
	}
}

func (r *replayer) Recv() (*ordov1.Actions, error) {
	select {
	case a := <-r.answers:
		return a, nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

func (r *replayer) CloseSend() error { return nil }

func (r *replayer) run() {
	for {
		var event *ordov1.ConsensusEvent
		select {
		case event = <-r.events:
		case <-r.ctx.Done():
			return
		}
		actions := &ordov1.Actions{Seq: event.Seq}
		var err error
		switch e := event.Event.(type) {
		case *ordov1.ConsensusEvent_Start_:
			actions.Actions, err = r.propose(e.Start.Height)
		case *ordov1.ConsensusEvent_Verdict_:
			if e.Verdict.Valid {
				actions.Actions = []*ordov1.Action{{Action: &ordov1.Action_Decide_{Decide: &ordov1.Action_Decide{
					Attempt: 1, Value: r.value, Certificate: r.certificate}}}}
			} else {
				err = fmt.Errorf("block %d runs differently: %s", r.current.Header.Context.Number, e.Verdict.Reason)
			}
		case *ordov1.ConsensusEvent_Failed_:
			err = fmt.Errorf("block %d: %s", r.current.Header.Context.Number, e.Failed.Reason)
		case *ordov1.ConsensusEvent_Decided_:
			r.blocks++
			r.transactions += uint64(len(r.current.Transactions))
			actions.Actions, err = r.propose(e.Decided.Height + 1)
		}
		if err != nil {
			r.invalid = err
			close(r.ended)
			return
		}
		select {
		case r.answers <- actions:
		case <-r.ctx.Done():
			return
		}
	}
}

// propose makes a proposal of a stored block, classes as their authors sent them.
func (r *replayer) propose(height uint64) ([]*ordov1.Action, error) {
	b, err := readBlock(r.ctx, r.source, height, true)
	if err != nil {
		return nil, fmt.Errorf("source: block %d: %w", height, err)
	}
	if b == nil {
		close(r.ended)
		return nil, nil
	}
	r.current = b
	packed, err := r.driver.bodyOf(r.ctx, r.source, b)
	if err == nil {
		r.value, r.certificate, err = r.driver.decidedAs(b)
	}
	if err != nil {
		return nil, fmt.Errorf("source: block %d: %w", height, err)
	}
	return []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{
		Attempt: 1, Round: b.Header.Round, Proposal: packed, Value: r.value}}}}, nil
}

// compare follows the new chain and holds each block against the stored one.
func (r *replayer) compare(ctx context.Context, n *Driver, progress func(uint64)) error {
	r.zero = n.chain.Latest()
	ended := r.ended
	for height := uint64(1); ; {
		changed := n.chain.Changed()
		// Blocks are compared as storage finishes them; the source's own root may still be missing for its last blocks.
		for latest := n.chain.Latest().Context.Number; height <= latest; height++ {
			want, err := readBlock(ctx, r.source, height, false)
			if err != nil || want == nil {
				return fmt.Errorf("source: block %d cannot be read again: %w", height, err)
			}
			got, err := readBlock(ctx, n.read.client, height, false)
			if err != nil || got == nil {
				return fmt.Errorf("block %d cannot be read back: %w", height, err)
			}
			if err := same(want.Header, got.Header); err != nil {
				return err
			}
			if progress != nil {
				progress(height)
			}
		}
		if ended == nil && (r.invalid != nil || height > r.blocks) {
			return r.invalid
		}
		select {
		case <-changed:
		case <-ended:
			ended = nil
		case <-n.done:
			return n.fault
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// same compares what a block hash stands for.
func same(want, got *ordov1.BlockHeader) error {
	for _, part := range []struct {
		name      string
		want, got []byte
	}{
		{"partial hash", want.PartialHash, got.PartialHash}, {"state root", want.StateRoot, got.StateRoot}, {"block hash", want.Hash, got.Hash},
	} {
		if len(part.want) > 0 && !bytes.Equal(part.want, part.got) {
			return fmt.Errorf("block %d: %s 0x%x was stored, 0x%x came out", want.Context.Number, part.name, part.want, part.got)
		}
	}
	return nil
}
