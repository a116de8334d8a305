package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// runCommits starts who hands blocks to a life of storage.
func (d *Driver) runCommits(l *instance) {
	l.run(func() {
		for l.ctx.Err() == nil {
			for _, next := range l.commits.take(l.ctx) {
				if !d.store(l, next) {
					return
				}
			}
		}
	})
}

// decision is a decided block on its way to storage.
type decision struct {
	pipeline.Commit
	marked <-chan struct{} // closed when the decision is durable; nil: it need not be
}

// Pauses between two tries to store a block that there is no room for: doubled from the first to the last.
const (
	firstRoomPause = 250 * time.Millisecond
	lastRoomPause  = 10 * time.Second
)

// store stores one block. When there is no room for it, production stops and it is tried until there is.
func (d *Driver) store(l *instance, next decision) (ok bool) {
	if next.marked != nil {
		select {
		case <-next.marked: // a decision leaves the core when it is durable
		case <-l.ctx.Done():
			return false
		}
	}
	txs, _ := split(next.Items)
	for pause := firstRoomPause; ; pause = min(2*pause, lastRoomPause) {
		ctx, cancel := context.WithTimeout(l.ctx, d.options.RootStall+d.options.CallLimit) // a commit may wait for roots
		err := commit(ctx, d.storage, next.Header, txs, next.Results, next.Diff, next.Classes, next.Certificate)
		cancel()
		switch {
		case tooLarge(err): // no room on the wire: asking again is no use
			d.halt("storage", fmt.Errorf("commit block %d: a part of it is larger than storage takes: give storage the limit of the contract, or make blocks smaller: %w", next.Height, err))
			return false
		case status.Code(err) == codes.ResourceExhausted && l.ctx.Err() == nil:
			d.waitForSpace(err.Error())
			select {
			case <-time.After(pause):
				continue
			case <-l.ctx.Done():
				return false
			}
		case err != nil:
			d.handleCallError(l, fmt.Errorf("commit block %d: %w", next.Height, err))
			return false
		}
		d.waitForSpace("")
		d.input(pipeline.Committed{Height: next.Height})
		return true
	}
}

// tooLarge tells gRPC's own refusal of a message, here or at the other end, from storage's refusal of a block. They share a
// code, so that the text has to tell.
func tooLarge(err error) bool {
	text := status.Convert(err).Message()
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(text, "message") && strings.Contains(text, "larger than max")
}

// waitForSpace keeps what storage says about its room, and says it once.
func (d *Driver) waitForSpace(why string) {
	d.instancesMu.Lock()
	before := d.noRoom
	d.noRoom = why
	d.instancesMu.Unlock()
	switch {
	case before == "" && why != "":
		d.log.Error("storage has no room: no blocks are made until it has; reads go on", "error", why)
		d.input(pipeline.NoRoom{Why: why})
	case before != "" && why == "":
		d.log.Info("storage has room again")
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

// followRoots follows the roots that storage computes.
func (d *Driver) followRoots(from uint64) {
	l := d.at[ordov1.Stage_STAGE_STORAGE]
	l.run(func() {
		stream, err := d.storage.Roots(l.ctx, &ordov1.RootsRequest{From: from})
		for err == nil {
			var root *ordov1.Root
			if root, err = stream.Recv(); err != nil {
				break
			}
			d.input(pipeline.RootComputed{Root: root})
		}
		d.handleCallError(l, fmt.Errorf("its stream of roots ended: %w", err))
	})
}

// accept checks the hash of the oldest block without a root against its own header, and lets readers have it.
func (d *Driver) accept(root *ordov1.Root) {
	block := d.chain.Unaccepted(root.Height)
	if block == nil {
		d.halt("storage", fmt.Errorf("root of block %d, which is not waiting for one", root.Height))
		return
	}
	header, err := rooted(block.Header, d.chain.Latest(), root)
	if err != nil {
		d.halt("storage", err)
		return
	}
	d.acceptedTo = root.Height
	owes := &d.at[ordov1.Stage_STAGE_STORAGE].pending
	owes.received(0)
	owes.set(int(d.storedTo) - int(d.acceptedTo))
	d.markAccepted()
	d.chain.Accept(header)
	d.log.Debug("block accepted", "number", root.Height, "hash", fmt.Sprintf("0x%x", root.BlockHash), "root", fmt.Sprintf("0x%x", root.StateRoot))
}
