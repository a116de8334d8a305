package driver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

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
