package bench

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

	"github.com/ordo-sequencer/ordo/cmd/ordo/machine"
	"github.com/ordo-sequencer/ordo/core/genesis"
	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/node"
	"github.com/ordo-sequencer/ordo/core/starknet/felt"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const (
	fillPart = 200_000 // keys in a block: 13 MB of diff
	hashLag  = 10      // a block names the hash of the one this far back
)

// fill gives the fee token of a stopped chain that many holders more, in blocks without transactions that go to the storage
// plugin as the core would send them. It returns when the root of the last is known.
func fill(ctx context.Context, dir string, keys int, done func(int)) (err error) {
	installed, err := machine.Installed()
	if err != nil {
		return err
	}
	run, err := os.MkdirTemp("", "ordo-fill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(run)
	p, err := host.Start(ctx, host.Options{RunDir: run, Logger: hclog.New(&hclog.LoggerOptions{Name: "bench", Level: hclog.Warn, Output: os.Stderr})}, host.Spec{
		Stage: ordov1.Stage_STAGE_STORAGE, Path: filepath.Join(installed.Plugins, "ordo-storage-badger"), Config: []byte("{}"),
		DataDir: filepath.Join(dir, "storage"), Listen: map[string]string{"read": filepath.Join(run, "read.sock")},
		Chain: &ordov1.Chain{
			ChainId: chainID, StarknetVersion: machine.StarknetVersion,
			StrkFeeToken: genesis.STRKAddress().Append(nil), EthFeeToken: genesis.ETHAddress().Append(nil),
		},
	})
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
	height, now := head.Height, uint64(time.Now().Unix())
	for at := 0; at < keys; at += fillPart {
		height++
		n := min(fillPart, keys-at)
		context := &ordov1.BlockContext{
			Number: height, Timestamp: now, Sequencer: felt.MustHex(node.DefaultSequencer).Append(nil), StarknetVersion: machine.StarknetVersion,
			L1Gas: price(), L1DataGas: price(), L2Gas: price(), BlobDa: true,
		}
		if height >= hashLag {
			if err := rooted(height - hashLag); err != nil {
				return err
			}
			context.OldBlockHash = hashes[height-hashLag]
		}
		diff := &ordov1.StateDiff{Storage: []*ordov1.ContractStorage{{Address: genesis.STRKAddress().Append(nil), Entries: holders(at, n)}}}
		header, err := node.Seal(&ordov1.BlockHeader{Context: context}, nil, nil, diff)
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
		done(at + n)
	}
	return nil
}

// holders makes entries of storage, ascending by key.
func holders(from, n int) []byte {
	list := make([][32]byte, n)
	for i := range list {
		list[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("ordo bench growth"), uint64(from+i)))
		list[i][0] &= 3 // below 2^250
	}
	slices.SortFunc(list, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	out := make([]byte, 0, 64*n)
	one := felt.One().Bytes()
	for _, key := range list {
		out = append(append(out, key[:]...), one[:]...)
	}
	return out
}
