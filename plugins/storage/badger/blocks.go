package badger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Head tells the last block and the last root.
func (s *Store) Head(context.Context, *ordov1.HeadRequest) (*ordov1.HeadResponse, error) {
	c, _, _ := s.snapshot()
	r := &ordov1.HeadResponse{Empty: c.blocks == 0}
	if c.blocks > 0 {
		r.Height, r.PartialHash = c.blocks-1, c.partial
	}
	if c.rooted > 0 {
		r.Accepted, r.AcceptedHeight, r.StateRoot, r.BlockHash = true, c.rooted-1, c.root, c.hash
	}
	return r, nil
}

// parts says what of a block to read beside the header.
type parts struct {
	transactions, results, diff, certificate bool
}

// readBlock returns nil, nil for a block that is not there.
func (s *Store) readBlock(v view, num uint64, want parts) (*ordov1.Block, error) {
	h, err := s.header(v, num)
	if err != nil || h == nil {
		return nil, err
	}
	b := &ordov1.Block{Header: h}
	root, hash, err := s.root(v, num)
	if err != nil {
		return nil, err
	}
	if root != nil {
		h.StateRoot, h.Hash = root, hash
		if h.ParentHash, err = s.parentHash(v, num); err != nil {
			return nil, err
		}
	}
	if want.transactions {
		part := &ordov1.Block{}
		if err := s.readPart(v, tableBody, num, part); err != nil {
			return nil, err
		}
		b.Transactions = part.Transactions
	}
	if want.results {
		part := &ordov1.Block{}
		if err := s.readPart(v, tableResults, num, part); err != nil {
			return nil, err
		}
		b.Results = part.Results
	}
	if want.diff {
		if b.StateDiff, err = s.diff(v, tableDiff, num); err != nil {
			return nil, err
		}
	}
	if want.certificate {
		if b.Certificate, err = s.blobs.get(v, numKey(tableCert, num)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (s *Store) readPart(v view, table byte, num uint64, to *ordov1.Block) error {
	found, err := s.blobs.getMessage(v, numKey(table, num), to)
	if err == nil && !found {
		err = fmt.Errorf("block %d: part %#x is missing", num, table)
	}
	return err
}

// Blocks streams a range of blocks, all from one snapshot.
func (s *Store) Blocks(r *ordov1.BlocksRequest, stream grpc.ServerStreamingServer[ordov1.Block]) error {
	v, head, err := s.read()
	if err != nil {
		return err
	}
	if head == nil {
		return nil
	}
	defer v.close()
	num := r.GetNumber()
	if hash := r.GetHash(); hash != nil {
		at, found, err := s.findHash(v, hash)
		if err != nil {
			return status.Errorf(codes.DataLoss, "blocks: %v", err)
		}
		if !found {
			return nil
		}
		num = at
	}
	// Block 0 with `to` 0 is block 0 alone, as it should be.
	last := max(r.GetTo(), num)
	want := parts{transactions: r.GetTransactions(), results: r.GetResults(), diff: r.GetStateDiff(), certificate: true}
	for ; num <= last && num <= *head; num++ {
		b, err := s.readBlock(v, num, want)
		if err != nil {
			return status.Errorf(codes.DataLoss, "blocks: %v", err)
		}
		if b == nil {
			return status.Errorf(codes.DataLoss, "blocks: block %d is missing", num)
		}
		if err := stream.Send(b); err != nil {
			return err
		}
	}
	return nil
}

// findHash looks a block up by its hash. The index may still hold hashes of roots that were computed again.
func (s *Store) findHash(v view, hash []byte) (num uint64, found bool, err error) {
	num, _, found, err = readNum(v, key(tableHash, hash))
	if err != nil || !found {
		return 0, false, err
	}
	_, stored, err := s.root(v, num)
	return num, err == nil && bytes.Equal(stored, hash), err
}

// read opens a snapshot and tells its head, nil for an empty chain; in that case, and after an error, the snapshot is
// closed already. It refuses when the store is closing, or when its flat state may be torn.
func (s *Store) read() (view, *uint64, error) {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return view{}, nil, status.Errorf(codes.Unavailable, "read: %v", errClosed)
	case s.torn:
		defer s.mu.Unlock()
		return view{}, nil, status.Errorf(codes.Internal, "read: %v", s.failed)
	}
	s.readers.Add(1) // Close waits for it
	s.mu.Unlock()
	v := s.eng.view()
	v.done = s.readers.Done
	head, _, found, err := readNum(v, metaKey(metaHead))
	if err != nil {
		v.close()
		return view{}, nil, status.Errorf(codes.DataLoss, "read: %v", err)
	}
	if !found {
		v.close()
		return view{}, nil, nil
	}
	return v, &head, nil
}

// FindTransaction tells where a transaction is.
func (s *Store) FindTransaction(_ context.Context, r *ordov1.FindTransactionRequest) (*ordov1.FindTransactionResponse, error) {
	if err := checkFelt("hash", r.GetHash()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "find transaction: %v", err)
	}
	v, head, err := s.read()
	if err != nil {
		return nil, err
	}
	out := &ordov1.FindTransactionResponse{}
	if head == nil {
		return out, nil
	}
	defer v.close()
	num, rest, found, err := readNum(v, key(tableTx, r.GetHash()))
	if err != nil || found && len(rest) != 4 {
		return nil, status.Errorf(codes.DataLoss, "find transaction: entry is damaged: %v", err)
	}
	if found && num <= *head {
		out.Found, out.Number, out.Index = true, num, binary.BigEndian.Uint32(rest)
	}
	return out, nil
}
