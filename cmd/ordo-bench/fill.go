package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

const (
	fillPart = 50_000 // keys in a block, at most: 3.2 MB of diff
	// Empty blocks come last: storage looks at the last ones at its start, and those of a chain are no such giants.
	restBlocks = 10
)

// fillBlocks is how many blocks bring that many keys. Each brings those of its own range of the key space: the trie is the
// same in the end, and grows from one side to the other, so that no block touches pages that another has made.
func fillBlocks(keys int) int { return (keys + fillPart - 1) / fillPart }

// keyDisk is about what a key takes on disk: value, history, its share of the trie, and what is being rewritten.
const keyDisk = 700

// makeState makes a chain with that many keys in a folder of its own.
func makeState(ctx context.Context, run loadOptions, dir string, keys int, quiet bool) error {
	if err := os.RemoveAll(dir); err != nil { // of a run that did not get to its end
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if free, known := freeSpace(dir); known && free < int64(keys)*keyDisk {
		return fmt.Errorf("it needs about %d MB and %d MB are free in %s: name another folder with --dir, or smaller --sizes", keys*keyDisk>>20, free>>20, filepath.Dir(dir))
	}
	bar := newBar(keys, quiet, fmt.Sprintf("state of %d keys: filling", keys))
	defer bar.Finish()
	none := func(string, int) error { return nil }
	if err := run.onOwnNode(ctx, dir, none); err != nil { // genesis
		return err
	}
	return fill(ctx, dir, keys, func(n int) { _ = bar.Set(n) })
}

// filled chains are marked: with --keep the next run finds them.
const filledMark = "filled"

// fill gives the fee token of a stopped chain that many holders more, in blocks without transactions that go to the storage
// plugin as the core would send them. It returns when the root of the last is known.
func fill(ctx context.Context, dir string, keys int, done func(int)) (err error) {
	run, err := os.MkdirTemp("", "ordo-fill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(run)
	// No load has blocks like these: within the memory of a node a third of the time would be the collector's.
	p, err := startStorage(ctx, dir, run, `{"memory_mb": 1024}`)
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, p.Stop(stopping))
	}()
	storage := ordov1.NewStorageClient(p.Conn())
	head, err := storage.Head(ctx, &ordov1.HeadRequest{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	roots, err := storage.Roots(ctx, &ordov1.RootsRequest{})
	if err != nil {
		return err
	}
	hashes := map[uint64][]byte{}
	rooted := func(height uint64) error {
		for hashes[height] == nil {
			root, err := roots.Recv()
			if err != nil {
				return fmt.Errorf("roots: %w", err)
			}
			hashes[root.Height] = root.BlockHash
		}
		return nil
	}
	next, now := head.Height+1, uint64(time.Now().Unix())
	if head.Empty {
		next = 0
	}
	for block := range fillBlocks(keys) + restBlocks {
		height := next + uint64(block)
		context := &ordov1.BlockContext{
			Number: height, Timestamp: now, Sequencer: felt.MustHex(driver.DefaultSequencer).Append(nil), StarknetVersion: starknet.LatestVersion,
			L1Gas: price(), L1DataGas: price(), L2Gas: price(), BlobDa: true,
		}
		if height >= starknet.BlockHashLag {
			if err := rooted(height - starknet.BlockHashLag); err != nil {
				return err
			}
			context.OldBlockHash = hashes[height-starknet.BlockHashLag]
		}
		diff := &ordov1.StateDiff{}
		if block < fillBlocks(keys) {
			diff.Storage = []*ordov1.ContractStorage{{Address: genesis.STRKAddress().Append(nil), Entries: holders(block, keys)}}
		}
		header, err := driver.HashHeader(&ordov1.BlockHeader{Context: context}, nil, nil, diff)
		if err != nil {
			return err
		}
		stream, err := storage.Commit(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&ordov1.CommitRequest{Header: header, StateDiff: diff}); err != nil {
			return fmt.Errorf("commit block %d: %w", height, err)
		}
		if _, err := stream.CloseAndRecv(); err != nil {
			return fmt.Errorf("commit block %d: %w", height, err)
		}
		// One at a time: a queue of blocks like these would hold all of their nodes in memory.
		if err := rooted(height); err != nil {
			return err
		}
		done(min((block+1)*fillPart, keys))
	}
	return os.WriteFile(filepath.Join(dir, filledMark), nil, 0o600)
}

// startStorage starts the storage plugin on the chain in a folder.
func startStorage(ctx context.Context, dir, run, config string) (*host.Plugin, error) {
	installed, err := node.Installed()
	if err != nil {
		return nil, err
	}
	return host.Start(ctx, host.Options{RunDir: run, Logger: hclog.New(&hclog.LoggerOptions{Name: "bench", Level: hclog.Warn, Output: os.Stderr})}, host.Spec{
		Stage: ordov1.Stage_STAGE_STORAGE, Path: filepath.Join(installed.Plugins, "ordo-storage-badger"), Config: []byte(config),
		DataDir: filepath.Join(dir, "storage"), Listen: map[string]string{"read": filepath.Join(run, "read.sock")},
		Chain: &ordov1.Chain{
			ChainId: chainID, StarknetVersion: starknet.LatestVersion,
			StrkFeeToken: genesis.STRKAddress().Append(nil), EthFeeToken: genesis.ETHAddress().Append(nil),
		},
	})
}

// holders makes the entries of storage that a block brings, ascending by key: random ones from its range.
func holders(block, keys int) []byte {
	list := make([][32]byte, min(fillPart, keys-block*fillPart))
	low, width := uint64(1)<<48*uint64(block)/uint64(fillBlocks(keys)), uint64(1)<<48/uint64(fillBlocks(keys))
	for i := range list {
		list[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("ordo bench growth"), uint64(block*fillPart+i)))
		top := low + binary.BigEndian.Uint64(list[i][:])%width                                             // of 2^48 ranges
		binary.BigEndian.PutUint64(list[i][:], top<<10|uint64(binary.BigEndian.Uint16(list[i][30:]))&1023) // below 2^250
	}
	slices.SortFunc(list, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	out := make([]byte, 0, 64*len(list))
	one := felt.One().Bytes()
	for _, key := range list {
		out = append(append(out, key[:]...), one[:]...)
	}
	return out
}
