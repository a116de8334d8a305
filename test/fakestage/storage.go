package fakestage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// Storage keeps a chain in memory. Its state root chains over the state diffs, its block hash is Starknet's.
type Storage struct {
	ordov1.UnimplementedStorageServer
	Chain
	// The fields below are read and written under Mu.
	Full      bool          // no room for another block
	WrongHash bool          // of block 2
	RootDelay time.Duration // before every root
	committed chan struct{} // closed by the next commit
}

// NewStorage makes an empty storage.
func NewStorage() *Storage { return &Storage{committed: make(chan struct{})} }

// Restarted forgets the streams of the process that had the storage before.
func (f *Storage) Restarted() {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.committed = make(chan struct{})
}

// Head implements ordov1.StorageServer.
func (f *Storage) Head(context.Context, *ordov1.HeadRequest) (*ordov1.HeadResponse, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if len(f.Stored) == 0 {
		return &ordov1.HeadResponse{Empty: true}, nil
	}
	h := &ordov1.HeadResponse{Height: uint64(len(f.Stored) - 1), PartialHash: f.Stored[len(f.Stored)-1].Header.PartialHash}
	for _, b := range f.Stored {
		if len(b.Header.Hash) > 0 {
			h.Accepted, h.AcceptedHeight, h.StateRoot, h.BlockHash = true, b.Header.Context.Number, b.Header.StateRoot, b.Header.Hash
		}
	}
	return h, nil
}

// Commit implements ordov1.StorageServer.
func (f *Storage) Commit(stream ordov1.Storage_CommitServer) error {
	b := &ordov1.Block{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if part.Header != nil {
			b.Header, b.Certificate = part.Header, part.Certificate
		}
		b.Transactions, b.Results = append(b.Transactions, part.Transactions...), append(b.Results, part.Results...)
		if part.StateDiff != nil {
			b.StateDiff = part.StateDiff
		}
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if err := stream.Context().Err(); err != nil {
		return err // of a process that has ended: the next one must not find a block come late
	}
	height := b.Header.Context.Number
	switch {
	case f.Full:
		return status.Error(codes.ResourceExhausted, "commit: 1 MB is free, 64 MB are needed: make room")
	case height < uint64(len(f.Stored)) && bytes.Equal(f.Stored[height].Header.PartialHash, b.Header.PartialHash):
		return stream.SendAndClose(&ordov1.CommitResponse{Height: height, Repeated: true})
	case height != uint64(len(f.Stored)):
		return status.Errorf(codes.FailedPrecondition, "block %d after %d blocks", height, len(f.Stored))
	case int(b.Header.TransactionCount) != len(b.Transactions) || len(b.Transactions) != len(b.Results):
		return status.Error(codes.InvalidArgument, "counts")
	}
	f.Stored = append(f.Stored, b)
	close(f.committed)
	f.committed = make(chan struct{})
	return stream.SendAndClose(&ordov1.CommitResponse{Height: height})
}

// Roots implements ordov1.StorageServer.
func (f *Storage) Roots(r *ordov1.RootsRequest, stream ordov1.Storage_RootsServer) error {
	for height := r.From; ; height++ {
		f.Mu.Lock()
		for uint64(len(f.Stored)) <= height {
			committed := f.committed
			f.Mu.Unlock()
			select {
			case <-committed:
			case <-stream.Context().Done():
				return nil
			}
			f.Mu.Lock()
		}
		delay := f.RootDelay
		f.Mu.Unlock()
		time.Sleep(delay)
		f.Mu.Lock()
		root := f.root(height)
		f.Mu.Unlock()
		if err := stream.Send(root); err != nil {
			return err
		}
	}
}

func (f *Storage) root(height uint64) *ordov1.Root {
	b := f.Stored[height]
	parent := &ordov1.BlockHeader{}
	if height > 0 {
		parent = f.Stored[height-1].Header
	}
	changes, _ := wire.StateDiff(b.StateDiff)
	before, _ := wire.Felt(parent.StateRoot)
	h := proto.Clone(b.Header).(*ordov1.BlockHeader)
	h.StateRoot, h.ParentHash = wire.FromFelt(poseidon.Hash(before, changes.Commitment())), parent.Hash
	hashed, _ := wire.Header(h)
	hash, _ := hashed.Hash()
	if f.WrongHash && height == 2 {
		hash = hash.Add(felt.One())
	}
	h.Hash = wire.FromFelt(hash)
	b.Header = h
	return &ordov1.Root{Height: height, StateRoot: h.StateRoot, BlockHash: h.Hash, ParentHash: h.ParentHash}
}
