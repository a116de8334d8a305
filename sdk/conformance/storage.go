package conformance

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Storage is a storage plugin under test: configured for chain SN_TEST, and empty.
type Storage struct {
	Storage      ordov1.StorageClient
	Read         ordov1.StorageReadClient
	Capabilities []string // as the plugin describes itself

	// Restart stops the plugin, the harder the better, and starts it again on the same data. nil: tests that need it are skipped.
	Restart func(t *testing.T) *Storage
}

func (s *Storage) can(capability string) bool { return slices.Contains(s.Capabilities, capability) }

// StorageTests are what every storage plugin must pass, by name. Each wants a store of its own:
//
//	for name, test := range conformance.StorageTests() {
//		t.Run(name, func(t *testing.T) { test(t, start(t)) })
//	}
//
// The blocks are fixed (storage_chain.json): real hashes and commitments of protocol version 0.14.1, with roots that
// were computed apart from any store.
func StorageTests() map[string]func(t *testing.T, s *Storage) {
	return map[string]func(t *testing.T, s *Storage){
		"empty":                     storageEmpty,
		"commit":                    storageCommit,
		"commit in parts":           storageParts,
		"commit again":              storageAgain,
		"commit refused":            storageRefused,
		"roots":                     storageRoots,
		"state":                     storageState,
		"state at height":           storageHistory,
		"blocks":                    storageBlocks,
		"classes":                   storageClasses,
		"snapshot":                  storageSnapshot,
		"restart":                   storageRestart,
		"revert":                    storageRevert,
		"reads while blocks arrive": storageConcurrent,
	}
}

// ---- calls ----

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// commit sends a block in the messages given.
func (s *Storage) commit(t *testing.T, messages ...*ordov1.CommitRequest) (*ordov1.CommitResponse, error) {
	t.Helper()
	stream, err := s.Storage.Commit(timeout(t))
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := stream.Send(m); errors.Is(err, io.EOF) {
			break // refused already; CloseAndRecv says why
		} else if err != nil {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

// mustCommit sends blocks, each in one message, and wants them to be new.
func (s *Storage) mustCommit(t *testing.T, blocks ...*storageBlock) {
	t.Helper()
	for _, b := range blocks {
		r, err := s.commit(t, b.commit)
		if err != nil {
			t.Fatalf("commit of block %d: %v", b.num(), err)
		}
		if r.Repeated || r.Height != b.num() {
			t.Fatalf("commit of block %d: answer %v", b.num(), r)
		}
	}
}

func (s *Storage) head(t *testing.T) *ordov1.HeadResponse {
	t.Helper()
	h, err := s.Storage.Head(timeout(t), &ordov1.HeadRequest{})
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

// roots reads the roots of the blocks in order, starting at the first of them.
func (s *Storage) mustHaveRoots(t *testing.T, all []*storageBlock, from int) {
	t.Helper()
	if !s.can("roots") {
		return
	}
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	stream, err := s.Storage.Roots(ctx, &ordov1.RootsRequest{From: uint64(from)})
	if err != nil {
		t.Fatalf("roots: %v", err)
	}
	parent := make([]byte, 32)
	if from > 0 {
		parent = all[from-1].hash
	}
	for _, b := range all[from:] {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("root of block %d: %v", b.num(), err)
		}
		want := &ordov1.Root{Height: b.num(), StateRoot: b.root, BlockHash: b.hash, ParentHash: parent}
		if !proto.Equal(got, want) {
			t.Fatalf("root of block %d:\n got %v\nwant %v", b.num(), got, want)
		}
		parent = b.hash
	}
}

// receive reads a stream to its end.
func receive[M any](t *testing.T, what string, recv func() (M, error)) []M {
	t.Helper()
	var out []M
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		out = append(out, m)
	}
}

func (s *Storage) blocks(t *testing.T, r *ordov1.BlocksRequest) []*ordov1.Block {
	t.Helper()
	stream, err := s.Read.Blocks(timeout(t), r)
	if err != nil {
		t.Fatalf("blocks: %v", err)
	}
	return receive(t, "blocks", stream.Recv)
}

func (s *Storage) classes(t *testing.T, r *ordov1.ClassesRequest) []*ordov1.Class {
	t.Helper()
	stream, err := s.Read.Classes(timeout(t), r)
	if err != nil {
		t.Fatalf("classes: %v", err)
	}
	return receive(t, "classes", stream.Recv)
}

func mustBe(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: want %s, got %v", what, code, err)
	}
}
