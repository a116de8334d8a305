package driver

import (
	"context"
	"errors"
	"fmt"
	"io"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// blockReader reads the stored chain.
type blockReader struct{ client ordov1.StorageReadClient }

// block reads a block that must be there.
func (r blockReader) block(ctx context.Context, height uint64, whole bool) (*ordov1.Block, error) {
	b, err := readBlock(ctx, r.client, height, whole)
	if err == nil && b == nil {
		err = errors.New("it is missing: the store is damaged: restore a backup")
	}
	if err != nil {
		return nil, fmt.Errorf("storage: block %d: %w", height, err)
	}
	return b, nil
}

// readBlock returns nil when there is no such block. A block may come in parts.
func readBlock(ctx context.Context, read ordov1.StorageReadClient, height uint64, whole bool) (*ordov1.Block, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := read.Blocks(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: height}, Transactions: whole, Results: whole, StateDiff: whole})
	if err != nil {
		return nil, err
	}
	b, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if b.GetHeader().GetContext() == nil || b.Header.Context.Number != height {
		return nil, errors.New("storage answered with another block")
	}
	if whole && b.StateDiff == nil {
		b.StateDiff = &ordov1.StateDiff{}
	}
	return b, nil
}

// classes reads the classes that a diff declares, compiled.
func (r blockReader) classes(ctx context.Context, diff *ordov1.StateDiff) ([]*ordov1.Class, error) {
	return readClasses(ctx, r.client, declaredClasses(diff))
}

func readClasses(ctx context.Context, read ordov1.StorageReadClient, hashes []byte) (classes []*ordov1.Class, err error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := read.Classes(ctx, &ordov1.ClassesRequest{Hashes: hashes, Definition: true, Casm: true})
	for err == nil {
		var class *ordov1.Class
		if class, err = stream.Recv(); err == nil {
			classes = append(classes, class)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("storage: classes: %w", err)
	}
	return classes, nil
}

// declaredClasses are the hashes of the classes that a diff declares, packed.
func declaredClasses(diff *ordov1.StateDiff) (hashes []byte) {
	for hash := range felt.Pairs(diff.GetDeclared()) {
		hashes = append(hashes, hash...)
	}
	return append(hashes, diff.GetDeprecatedDeclared()...)
}
