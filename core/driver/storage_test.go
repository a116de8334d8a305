package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/poseidon"
	"github.com/ordo-sequencer/ordo/starknet/wire"
)

// ---- storage: in memory; the "root" chains over the state diffs, the block hash is the real one ----

type fakeStorage struct {
	ordov1.UnimplementedStorageServer
	ordov1.UnimplementedStorageReadServer
	mu     sync.Mutex
	blocks []*ordov1.Block
	nonces map[mempool.Key][]byte
	bell   chan struct{}
	full   bool          // no room for another block
	lie    bool          // about block hashes
	slow   time.Duration // before every root
}

func newStorage() *fakeStorage {
	return &fakeStorage{nonces: map[mempool.Key][]byte{}, bell: make(chan struct{})}
}

func (f *fakeStorage) Head(context.Context, *ordov1.HeadRequest) (*ordov1.HeadResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.blocks) == 0 {
		return &ordov1.HeadResponse{Empty: true}, nil
	}
	h := &ordov1.HeadResponse{Height: uint64(len(f.blocks) - 1), PartialHash: f.blocks[len(f.blocks)-1].Header.PartialHash}
	for _, b := range f.blocks {
		if len(b.Header.Hash) > 0 {
			h.Accepted, h.AcceptedHeight, h.StateRoot, h.BlockHash = true, b.Header.Context.Number, b.Header.StateRoot, b.Header.Hash
		}
	}
	return h, nil
}

func (f *fakeStorage) Commit(stream ordov1.Storage_CommitServer) error {
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := stream.Context().Err(); err != nil {
		return err // of a process that has ended: the next one must not find a block come late
	}
	height := b.Header.Context.Number
	switch {
	case f.full:
		return status.Error(codes.ResourceExhausted, "commit: 1 MB is free, 64 MB are needed: make room")
	case height < uint64(len(f.blocks)) && bytes.Equal(f.blocks[height].Header.PartialHash, b.Header.PartialHash):
		return stream.SendAndClose(&ordov1.CommitResponse{Height: height, Repeated: true})
	case height != uint64(len(f.blocks)):
		return status.Errorf(codes.FailedPrecondition, "block %d after %d blocks", height, len(f.blocks))
	case int(b.Header.TransactionCount) != len(b.Transactions) || len(b.Transactions) != len(b.Results):
		return status.Error(codes.InvalidArgument, "counts")
	}
	f.blocks = append(f.blocks, b)
	for d := b.StateDiff.GetNonces(); len(d) >= 64; d = d[64:] {
		f.nonces[mempool.Key(d[:32])] = d[32:64]
	}
	close(f.bell)
	f.bell = make(chan struct{})
	return stream.SendAndClose(&ordov1.CommitResponse{Height: height})
}

func (f *fakeStorage) Roots(r *ordov1.RootsRequest, stream ordov1.Storage_RootsServer) error {
	for height := r.From; ; height++ {
		f.mu.Lock()
		for uint64(len(f.blocks)) <= height {
			bell := f.bell
			f.mu.Unlock()
			select {
			case <-bell:
			case <-stream.Context().Done():
				return nil
			}
			f.mu.Lock()
		}
		slow := f.slow
		f.mu.Unlock()
		time.Sleep(slow)
		f.mu.Lock()
		root := f.root(height)
		f.mu.Unlock()
		if err := stream.Send(root); err != nil {
			return err
		}
	}
}

func (f *fakeStorage) root(height uint64) *ordov1.Root {
	b := f.blocks[height]
	parent := &ordov1.BlockHeader{}
	if height > 0 {
		parent = f.blocks[height-1].Header
	}
	changes, _ := wire.StateDiff(b.StateDiff)
	before, _ := wire.Felt(parent.StateRoot)
	h := proto.Clone(b.Header).(*ordov1.BlockHeader)
	h.StateRoot, h.ParentHash = wire.FromFelt(poseidon.Hash(before, changes.Commitment())), parent.Hash
	hashed, _ := wire.Header(h)
	hash, _ := hashed.Hash()
	if f.lie && height == 2 {
		hash = hash.Add(felt.One())
	}
	h.Hash = wire.FromFelt(hash)
	b.Header = h
	return &ordov1.Root{Height: height, StateRoot: h.StateRoot, BlockHash: h.Hash, ParentHash: h.ParentHash}
}

func (f *fakeStorage) State(_ context.Context, r *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &ordov1.StateResponse{}
	for b := r.Nonces; len(b) >= 32; b = b[32:] {
		nonce := f.nonces[mempool.Key(b[:32])]
		if nonce == nil {
			nonce = make([]byte, 32)
		}
		out.Nonces = append(out.Nonces, nonce...)
	}
	return out, nil
}

func (f *fakeStorage) Classes(*ordov1.ClassesRequest, ordov1.StorageRead_ClassesServer) error {
	return nil
}

func (f *fakeStorage) Blocks(r *ordov1.BlocksRequest, stream ordov1.StorageRead_BlocksServer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := r.GetNumber(); n < uint64(len(f.blocks)) {
		return stream.Send(f.blocks[n])
	}
	return nil
}
