package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// BlockRef is a block that a request names: an accepted one, which is read from storage, or one of the snapshot.
type BlockRef struct {
	number   uint64
	view     *chainview.Snapshot
	accepted *ordov1.BlockHeader // nil for a block of the view
	block    *chainview.Block    // nil for an accepted one
	tip      bool                // the pre_confirmed block, the last of the view
}

// Context is what code that runs at this block sees.
func (r *BlockRef) Context() *ordov1.BlockContext {
	if r.accepted != nil {
		return r.accepted.Context
	}
	return r.block.Context
}

const (
	TagLatest       = "latest"
	TagPreConfirmed = "pre_confirmed"
	TagL1Accepted   = "l1_accepted"
)

// BlockID is a decoded BLOCK_ID: exactly one field is set.
type BlockID struct {
	Tag    string
	Number *uint64
	Hash   []byte
}

func DecodeBlockID(raw json.RawMessage) (id BlockID, err error) {
	if len(raw) > 0 && raw[0] == '"' {
		tags := []string{TagLatest, TagPreConfirmed, TagL1Accepted}
		at, err := jsonin.Enum(raw, tags)
		if err != nil {
			return id, err
		}
		return BlockID{Tag: tags[at]}, nil
	}
	o, err := jsonin.ParseObject(raw)
	if err != nil {
		return id, jsonin.Errorf("want \"latest\", \"pre_confirmed\", \"l1_accepted\", {\"block_number\": n} or {\"block_hash\": \"0x...\"}")
	}
	hasHash, hasNumber := o.Has("block_hash"), o.Has("block_number")
	switch {
	case hasHash == hasNumber:
		return id, jsonin.Errorf("want one of block_hash and block_number")
	case hasHash:
		id.Hash = o.Felt("block_hash")
	default:
		n := o.Number("block_number")
		id.Number = &n
	}
	return id, o.Done()
}

// blockParam reads a required BLOCK_ID parameter and finds the block.
func (s *Server) blockParam(ctx context.Context, p *jsonin.Object, name string) (*BlockRef, error) {
	raw := p.Raw(name)
	if err := p.Err(); err != nil {
		return nil, err
	}
	id, err := DecodeBlockID(raw)
	if err != nil {
		return nil, jsonin.In(name, err)
	}
	return s.resolve(ctx, s.Chain.Snapshot(), id)
}

func (s *Server) resolve(ctx context.Context, view *chainview.Snapshot, id BlockID) (*BlockRef, error) {
	latest := view.Latest()
	switch {
	case id.Tag == TagL1Accepted:
		return nil, errBlockNotFound // there is no L1 that would accept blocks
	case id.Tag == TagPreConfirmed:
		return preConfirmed(view), nil
	case id.Tag == TagLatest:
		if latest == nil {
			return nil, errBlockNotFound
		}
		return &BlockRef{number: latest.Context.Number, view: view, accepted: latest}, nil
	case id.Number != nil:
		return s.byNumber(ctx, view, *id.Number)
	}
	stored, err := s.stored(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Hash{Hash: id.Hash}})
	if err != nil {
		return nil, err
	}
	if stored == nil || isZero(stored.Header.Hash) {
		return nil, errBlockNotFound
	}
	return &BlockRef{number: stored.Header.Context.Number, view: view, accepted: stored.Header}, nil
}

// byNumber finds a block of that number whose hash is known: strict clients fail on a numbered block without one.
func (s *Server) byNumber(ctx context.Context, view *chainview.Snapshot, number uint64) (*BlockRef, error) {
	latest := view.Latest()
	switch {
	case latest == nil || number > latest.Context.Number:
		return nil, errBlockNotFound
	case number == latest.Context.Number:
		return &BlockRef{number: number, view: view, accepted: latest}, nil
	}
	stored, err := s.stored(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: number}})
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, errBlockNotFound
	}
	return &BlockRef{number: number, view: view, accepted: stored.Header}, nil
}

// preConfirmed is the last block of the view. Between two blocks it is an empty one in the context of the next.
func preConfirmed(view *chainview.Snapshot) *BlockRef {
	next := view.Next()
	if blocks := view.Blocks(); len(blocks) > 0 {
		last := blocks[len(blocks)-1]
		if last.Context.Number >= next.Number {
			return &BlockRef{number: last.Context.Number, view: view, block: last, tip: true}
		}
	}
	return &BlockRef{number: next.Number, view: view, block: &chainview.Block{Context: next}, tip: true}
}

// storedBody is stored for what may be large.
func (s *Server) storedBody(ctx context.Context, request *ordov1.BlocksRequest) (*ordov1.Block, error) {
	leave, err := s.reads.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.stored(ctx, request)
}

// stored reads one block from storage; nil when it is not there.
func (s *Server) stored(ctx context.Context, request *ordov1.BlocksRequest) (*ordov1.Block, error) {
	var found *ordov1.Block
	err := s.eachStored(ctx, request, func(b *ordov1.Block) bool { found = b; return false })
	return found, err
}

// eachStored streams blocks from storage until yield is false. A stream that breaks goes on behind the last block.
func (s *Server) eachStored(ctx context.Context, request *ordov1.BlocksRequest, yield func(*ordov1.Block) bool) error {
	err := s.storage.Ask(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream when not all of it is read
		stream, err := s.Storage.Blocks(ctx, request)
		for err == nil {
			var block *ordov1.Block
			if block, err = stream.Recv(); err != nil {
				break
			}
			if !yield(block) {
				return nil
			}
			if next := block.Header.GetContext().GetNumber() + 1; request.To >= next {
				request = proto.CloneOf(request)
				request.From = &ordov1.BlocksRequest_Number{Number: next}
			} else {
				return nil // all that was asked for
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read blocks: %w", err)
	}
	return nil
}

// body returns transactions and results of the block; the latter may be fewer while it is open.
func (s *Server) body(ctx context.Context, ref *BlockRef, results bool) ([]*ordov1.Transaction, []*ordov1.TransactionResult, error) {
	if ref.block != nil {
		txs, results := included(ref.block)
		return txs, results, nil
	}
	b, err := s.bodies.peek(ref.number), error(nil)
	switch {
	case b != nil:
	case results:
		b, err = s.whole(ctx, ref.number)
	default:
		b, err = s.storedBody(ctx, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: ref.number}, Transactions: true})
	}
	if err != nil {
		return nil, nil, err
	}
	if b == nil {
		return nil, nil, errBlockNotFound
	}
	if results && len(b.Transactions) != len(b.Results) {
		return nil, nil, fmt.Errorf("storage: block %d has %d transactions and %d results", ref.number, len(b.Transactions), len(b.Results))
	}
	return b.Transactions, b.Results, nil
}

// included are the transactions with a result: those of the open block without one come last and are not in it yet.
func included(b *chainview.Block) ([]*ordov1.Transaction, []*ordov1.TransactionResult) {
	return b.Transactions[:len(b.Results)], b.Results
}
