package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Genesis is block 0: a state without transactions.
type Genesis struct {
	Context   *ordov1.BlockContext // nil: what a new block carries
	Timestamp uint64               // seconds, without Context; 0: the time of Bootstrap
	Sequencer []byte               // without Context; nil: this node's
	Diff      *ordov1.StateDiff
	Classes   []*ordov1.Class
}

// Bootstrap commits block 0. Storage must be empty.
func (d *Driver) Bootstrap(ctx context.Context, g *Genesis) error {
	first := d.template(uint64(d.now().UnixMilli()))
	if g.Timestamp != 0 {
		first.Timestamp = g.Timestamp
	}
	if g.Sequencer != nil {
		first.Sequencer = g.Sequencer
	}
	if g.Context != nil {
		first = g.Context
	}
	header, err := HashHeader(&ordov1.BlockHeader{Context: first}, nil, nil, g.Diff)
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if err := commit(ctx, d.storage.client, header, nil, nil, g.Diff, g.Classes, d.certificate()); err != nil {
		return fmt.Errorf("genesis: storage: commit: %w", err)
	}
	return d.firstRoot(ctx, header)
}

// GenesisHash is the hash of block 0, which tells this chain from others.
func (d *Driver) GenesisHash(ctx context.Context) (hash [felt.Size]byte, err error) {
	zero, err := d.read.block(ctx, 0, false)
	if err == nil && len(zero.Header.Hash) != felt.Size {
		err = errors.New("block 0 has no hash yet")
	}
	if err != nil {
		return hash, err
	}
	return [felt.Size]byte(zero.Header.Hash), nil
}

// firstRoot waits for the root of block 0 and checks its hash.
func (d *Driver) firstRoot(ctx context.Context, header *ordov1.BlockHeader) error {
	ctx, cancel := context.WithTimeout(ctx, d.options.RootStall)
	defer cancel()
	stream, err := d.storage.client.Roots(ctx, &ordov1.RootsRequest{})
	if err != nil {
		return fmt.Errorf("genesis: storage: roots: %w", err)
	}
	root, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("genesis: storage: roots: %w", err)
	}
	if root.Height != 0 {
		return fmt.Errorf("genesis: storage: roots: block %d came first", root.Height)
	}
	_, err = withRoot(header, &ordov1.BlockHeader{Hash: pad(nil)}, root)
	return err
}

// matches compares block 0 of storage with what the operator asks for.
func (d *Driver) matches(stored *ordov1.Block, g *Genesis) error {
	switch name, lazy, known := readGenesis(stored.Certificate); {
	case known && name != d.options.ChainID:
		return fmt.Errorf("the stored chain is %s, not %s: use its chain id or another data directory", name, d.options.ChainID)
	case known && lazy != d.options.Lazy:
		return fmt.Errorf("the stored chain has %s execution, not %s: that is fixed with block 0: set it as it is, or use another data directory", executionName(lazy), executionName(d.options.Lazy))
	}
	if g == nil {
		return nil
	}
	want, err := HashHeader(&ordov1.BlockHeader{Context: stored.Header.Context}, nil, nil, g.Diff)
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if !bytes.Equal(want.PartialHash, stored.Header.PartialHash) {
		return errors.New("the stored chain has another genesis (accounts, seed, balance or account class differ): use the options it was made with, or another data directory")
	}
	return nil
}

// resume brings storage, execution and the view to the same block.
func (d *Driver) resume(ctx context.Context) (*pipeline.Head, error) {
	at, err := d.storage.client.Head(ctx, &ordov1.HeadRequest{})
	if err != nil {
		return nil, fmt.Errorf("storage: head: %w", err)
	}
	if at.Empty {
		if d.options.Genesis == nil {
			return nil, errors.New("storage is empty and there is no genesis to start from")
		}
		if err := d.Bootstrap(ctx, d.options.Genesis); err != nil {
			return nil, err
		}
		if at, err = d.storage.client.Head(ctx, &ordov1.HeadRequest{}); err != nil {
			return nil, fmt.Errorf("storage: head: %w", err)
		}
	}
	zero, err := d.read.block(ctx, 0, false)
	if err != nil {
		return nil, err
	}
	if err := d.matches(zero, d.options.Genesis); err != nil {
		return nil, err
	}
	if !at.Accepted { // stopped between the commit of block 0 and its root
		if err := d.firstRoot(ctx, zero.Header); err != nil {
			return nil, err
		}
		at.AcceptedHeight = 0
	}
	tip, err := d.execution.client.Apply(ctx, &ordov1.ApplyRequest{Height: at.Height, Adopt: true})
	if err != nil {
		return nil, fmt.Errorf("execution: adopt block %d: %w", at.Height, err)
	}
	if !tip.HasTip || tip.Tip != at.Height {
		return nil, fmt.Errorf("execution: adopt block %d: its tip is block %d", at.Height, tip.Tip)
	}
	head, err := d.restore(ctx, at)
	if err != nil {
		return nil, err
	}
	if head.Block = at.PartialHash; len(head.Block) == 0 {
		head.Block = nil
	}
	if err := d.recover(ctx, at, head); err != nil {
		return nil, err
	}
	return head, nil
}

// restore loads what the view and the machine need of the blocks that storage holds.
func (d *Driver) restore(ctx context.Context, at *ordov1.HeadResponse) (*pipeline.Head, error) {
	head := &pipeline.Head{Height: at.Height, Accepted: at.AcceptedHeight, Hashes: map[uint64][]byte{}, Config: d.options.ConsensusConfig}
	var latest *ordov1.BlockHeader
	for height := at.AcceptedHeight - min(at.AcceptedHeight, starknet.BlockHashLag); height <= at.AcceptedHeight; height++ {
		b, err := d.read.block(ctx, height, false)
		if err != nil {
			return nil, err
		}
		if len(b.Header.Hash) == 0 {
			return nil, fmt.Errorf("storage: block %d has a root but no hash: the store is damaged: restore a backup", height)
		}
		head.Hashes[height], latest = b.Header.Hash, b.Header
	}
	head.Timestamp = latest.Context.Timestamp
	d.storage.head.set(at.Height, at.PartialHash)
	if at.Height > 0 {
		tip, err := d.read.block(ctx, at.Height, false)
		if err != nil {
			return nil, err
		}
		value, certificate, err := d.decidedAs(tip)
		if err != nil {
			return nil, err
		}
		head.Parent = &ordov1.ConsensusEvent_Parent{Value: value, Certificate: certificate}
	}
	var decided []*chainview.Block
	for height := at.AcceptedHeight + 1; height <= at.Height; height++ {
		b, err := d.read.block(ctx, height, true)
		if err != nil {
			return nil, err
		}
		classes, err := d.read.classes(ctx, b.StateDiff)
		if err != nil {
			return nil, err
		}
		head.Timestamp = b.Header.Context.Timestamp
		decided = append(decided, chainview.NewBlock(b.Header, b.Transactions, b.Results, b.StateDiff, classes))
	}
	d.chain.Start(latest, head.Hashes, decided)
	d.chain.Executed(at.Height)
	return head, nil
}
