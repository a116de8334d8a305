package badger

import (
	"bytes"
	"context"
	"encoding/binary"

	lib "github.com/dgraph-io/badger/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// State answers a batch of reads at the head or at a height, all from one snapshot.
func (s *Store) State(_ context.Context, r *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	for _, l := range []struct {
		name   string
		packed []byte
		stride int
	}{{"storage", r.Storage, pairSize}, {"nonces", r.Nonces, feltSize}, {"class_hashes", r.ClassHashes, feltSize},
		{"compiled_class_hashes", r.CompiledClassHashes, feltSize}} {
		if len(l.packed)%l.stride != 0 {
			return nil, status.Errorf(codes.InvalidArgument, "state: %s: %d bytes are not a multiple of %d", l.name, len(l.packed), l.stride)
		}
	}
	v, head, err := s.read()
	if err != nil {
		return nil, err
	}
	out := &ordov1.StateResponse{Height: r.Height, NotFound: true}
	if head == nil {
		return out, nil
	}
	defer v.close()
	floor, _, _, err := readNum(v, metaKey(metaHistoryFloor))
	if err != nil {
		return nil, status.Errorf(codes.DataLoss, "state: %v", err)
	}
	reader := stateReader{v: v}
	switch {
	case !r.AtHeight || r.Height == *head:
		out.Height = *head
	case r.Height > *head || r.Height < floor:
		return out, nil
	default:
		reader.past, reader.height = true, r.Height
		defer reader.close()
	}
	out.NotFound = false
	for address, k := range felt.Pairs(r.Storage) {
		out.Storage = append(out.Storage, reader.value(tableStorageHistory, tableStorage, 0, address, k)...)
	}
	for address := range felt.Rows(r.Nonces) {
		out.Nonces = append(out.Nonces, reader.value(tableNonceHistory, tableContract, feltSize, address)...)
	}
	for address := range felt.Rows(r.ClassHashes) {
		out.ClassHashes = append(out.ClassHashes, reader.value(tableClassHistory, tableContract, 0, address)...)
	}
	for class := range felt.Rows(r.CompiledClassHashes) {
		out.CompiledClassHashes = append(out.CompiledClassHashes, reader.value(tableCompiledHistory, tableCompiled, 0, class)...)
	}
	if reader.err != nil {
		return nil, status.Errorf(codes.DataLoss, "state: %v", reader.err)
	}
	return out, nil
}

// stateReader reads values at the head or at a past height; after an error it answers zeros.
type stateReader struct {
	v      view
	past   bool
	height uint64
	it     *lib.Iterator
	err    error
}

func (r *stateReader) close() {
	if r.it != nil {
		r.it.Close()
	}
}

// value reads a felt: at a past height the first one that a later block replaced, or else the flat one, which begins at
// `offset` of its record.
func (r *stateReader) value(history, flat byte, offset int, parts ...[]byte) []byte {
	if r.err != nil {
		return zeroFelt
	}
	if r.past {
		if old := r.replaced(history, parts...); old != nil || r.err != nil {
			return orZero(old)
		}
	}
	record, err := r.v.get(key(flat, parts...))
	if err != nil {
		r.err = err
	}
	if len(record) < offset+feltSize {
		return zeroFelt
	}
	return record[offset : offset+feltSize]
}

// replaced returns what the first block above the height put another value in place of, nil when none did.
func (r *stateReader) replaced(table byte, parts ...[]byte) []byte {
	if r.it == nil { // one iterator serves the whole batch: opening one is what costs
		r.it = r.v.txn.NewIterator(iteratorOptions())
	}
	from := historyKey(table, r.height+1, parts...)
	r.it.Seek(from)
	if !r.it.Valid() {
		return nil
	}
	item := r.it.Item()
	if k := item.Key(); len(k) != len(from) || !bytes.Equal(k[:len(k)-8], from[:len(from)-8]) {
		return nil
	}
	value, err := item.ValueCopy(nil)
	if err != nil || len(value) != feltSize {
		r.err = errBlob
		if err != nil {
			r.err = err
		}
		return nil
	}
	return value
}

func orZero(f []byte) []byte {
	if f == nil {
		return zeroFelt
	}
	return f
}

// declaredAt splits the record of a class.
func declaredAt(record []byte) (num uint64, class []byte, ok bool) {
	if len(record) < 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(record), record[8:], true
}
