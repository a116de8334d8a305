package conformance

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func storageEmpty(t *testing.T, s *Storage) {
	if h := s.head(t); !h.Empty || h.Accepted {
		t.Errorf("head of an empty store: %s", hexed(h))
	}
	r, err := s.Read.State(timeout(t), &ordov1.StateRequest{Nonces: make([]byte, 32)})
	if err != nil || !r.NotFound {
		t.Errorf("state of an empty store: %s, %v", hexed(r), err)
	}
	if r, err := s.Read.State(timeout(t), &ordov1.StateRequest{AtHeight: true, Nonces: make([]byte, 32)}); err != nil || !r.NotFound {
		t.Errorf("state at height 0 of an empty store: %s, %v", hexed(r), err)
	}
	if got := s.blocks(t, &ordov1.BlocksRequest{}); len(got) != 0 {
		t.Errorf("%d blocks of an empty store", len(got))
	}
	if got := s.classes(t, &ordov1.ClassesRequest{Hashes: make([]byte, 32)}); len(got) != 0 {
		t.Errorf("%d classes of an empty store", len(got))
	}
	stream, err := s.Storage.Snapshot(timeout(t), &ordov1.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range receive(t, "snapshot", stream.Recv) {
		if !proto.Equal(c.GetState(), &ordov1.StateDiff{}) {
			t.Errorf("snapshot of an empty store: %s", hexed(c))
		}
	}
}

func storageCommit(t *testing.T, s *Storage) {
	for _, b := range loadStorageChain(t).blocks {
		s.mustCommit(t, b)
		if h := s.head(t); h.Empty || h.Height != b.num() || !bytes.Equal(h.PartialHash, b.commit.Header.PartialHash) {
			t.Fatalf("head after block %d: %s", b.num(), hexed(h))
		}
	}
}

// storageParts sends each list one element at a time, in messages of their own.
func storageParts(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	for _, b := range c.blocks {
		messages := []*ordov1.CommitRequest{{Header: b.commit.Header}, {}, {StateDiff: b.commit.StateDiff}}
		for _, r := range b.commit.Results {
			messages = append(messages, &ordov1.CommitRequest{Results: []*ordov1.TransactionResult{r}})
		}
		for _, x := range b.commit.Transactions {
			messages = append(messages, &ordov1.CommitRequest{Transactions: []*ordov1.Transaction{x}})
		}
		for _, x := range b.commit.Classes {
			messages = append(messages, &ordov1.CommitRequest{Classes: []*ordov1.Class{x}})
		}
		messages = append(messages, &ordov1.CommitRequest{Certificate: b.commit.Certificate})
		if _, err := s.commit(t, messages...); err != nil {
			t.Fatalf("commit of block %d in %d messages: %v", b.num(), len(messages), err)
		}
	}
	s.mustHaveBlocks(t, c.blocks)
	s.mustHaveRoots(t, c.blocks, 0)
}

func storageAgain(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks...)
	for _, b := range c.blocks {
		r, err := s.commit(t, b.commit)
		if err != nil || !r.Repeated || r.Height != b.num() {
			t.Fatalf("block %d again: %v, %v", b.num(), r, err)
		}
	}
	if h := s.head(t); h.Height != uint64(len(c.blocks)-1) {
		t.Errorf("head moved: %s", hexed(h))
	}
	s.mustHaveRoots(t, c.blocks, 0)
}

func storageRefused(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	last := len(c.blocks) - 1
	_, err := s.commit(t, c.blocks[1].commit)
	mustBe(t, "block 1 in an empty store", err, codes.FailedPrecondition)
	s.mustCommit(t, c.blocks[:last-1]...)
	_, err = s.commit(t, c.blocks[last].commit)
	mustBe(t, "a gap", err, codes.FailedPrecondition)
	s.mustCommit(t, c.blocks[last-1:]...)
	_, err = s.commit(t, c.other.commit)
	mustBe(t, "another block at a taken height", err, codes.FailedPrecondition)
	if s.can(sdk.CapRevert) {
		if _, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{Height: uint64(last)}); err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func(r *ordov1.CommitRequest){
			"a transaction too few":      func(r *ordov1.CommitRequest) { r.Transactions = r.Transactions[1:] },
			"a result too few":           func(r *ordov1.CommitRequest) { r.Results = r.Results[1:] },
			"a diff of another length":   func(r *ordov1.CommitRequest) { r.StateDiff.Storage = r.StateDiff.Storage[1:] },
			"a felt cut short":           func(r *ordov1.CommitRequest) { r.StateDiff.Storage[0].Entries = r.StateDiff.Storage[0].Entries[1:] },
			"a rejected transaction":     func(r *ordov1.CommitRequest) { r.Results[0].Status = ordov1.TransactionResult_REJECTED },
			"no header":                  func(r *ordov1.CommitRequest) { r.Header = nil },
			"a result of something else": func(r *ordov1.CommitRequest) { r.Results[0].Hash = make([]byte, 32) },
		} {
			bad := proto.CloneOf(c.blocks[last].commit)
			change(bad)
			_, err := s.commit(t, bad)
			mustBe(t, what, err, codes.InvalidArgument)
		}
		s.mustCommit(t, c.blocks[last])
	}
	s.mustHaveBlocks(t, c.blocks)
	s.mustHaveRoots(t, c.blocks, 0)
}

func storageRoots(t *testing.T, s *Storage) {
	if !s.can(sdk.CapRoots) {
		t.Skip("no capability roots")
	}
	c := loadStorageChain(t)
	// A stream that is there first sees every root as it comes.
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	early, err := s.Storage.Roots(ctx, &ordov1.RootsRequest{From: 2})
	if err != nil {
		t.Fatal(err)
	}
	s.mustCommit(t, c.blocks...)
	for _, b := range c.blocks[2:] {
		got, err := early.Recv()
		if err != nil || got.Height != b.num() || !bytes.Equal(got.StateRoot, b.root) || !bytes.Equal(got.BlockHash, b.hash) {
			t.Fatalf("root of block %d: %s, %v, want root 0x%x and hash 0x%x", b.num(), hexed(got), err, b.root, b.hash)
		}
	}
	for from := range c.blocks {
		s.mustHaveRoots(t, c.blocks, from)
	}
	h := s.head(t)
	last := c.blocks[len(c.blocks)-1]
	if !h.Accepted || h.AcceptedHeight != last.num() || !bytes.Equal(h.StateRoot, last.root) || !bytes.Equal(h.BlockHash, last.hash) {
		t.Errorf("head with all roots known: %s", hexed(h))
	}
}

// mustHaveState compares everything that the chain ever wrote, at the head or at a height.
func (s *Storage) mustHaveState(t *testing.T, c *storageChain, blocks int, atHeight bool) {
	t.Helper()
	r, want := modelAfter(c.blocks[:blocks]).ask(modelAfter(c.blocks))
	r.AtHeight, want.Height = atHeight, uint64(blocks-1)
	if atHeight {
		r.Height = want.Height
	}
	got, err := s.Read.State(timeout(t), r)
	if err != nil {
		t.Fatalf("state: %v", err)
	}
	if text := difference(got, want); text != "" {
		t.Fatalf("state after %d blocks (at height: %v): %s", blocks, atHeight, text)
	}
}

func storageState(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	for i, b := range c.blocks {
		s.mustCommit(t, b)
		s.mustHaveState(t, c, i+1, false)
		s.mustHaveState(t, c, i+1, true)
		r, err := s.Read.State(timeout(t), &ordov1.StateRequest{AtHeight: true, Height: uint64(i + 1), Nonces: make([]byte, 32)})
		if err != nil || !r.NotFound {
			t.Fatalf("state above the head: %s, %v", hexed(r), err)
		}
	}
	_, err := s.Read.State(timeout(t), &ordov1.StateRequest{Storage: make([]byte, 63)})
	mustBe(t, "half a key", err, codes.InvalidArgument)
}

func storageHistory(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks...)
	if !s.can(sdk.CapHistory) {
		r, err := s.Read.State(timeout(t), &ordov1.StateRequest{AtHeight: true, Nonces: make([]byte, 32)})
		if err != nil || !r.NotFound {
			t.Fatalf("state of a height that is not kept: %s, %v", hexed(r), err)
		}
		return
	}
	for i := range c.blocks {
		s.mustHaveState(t, c, i+1, true)
	}
}

// mustHaveBlocks compares blocks as a whole; root, hash and parent only where they are known already.
func (s *Storage) mustHaveBlocks(t *testing.T, blocks []*storageBlock) {
	t.Helper()
	got := s.blocks(t, &ordov1.BlocksRequest{To: uint64(len(blocks) - 1), Transactions: true, Results: true, StateDiff: true})
	if len(got) != len(blocks) {
		t.Fatalf("%d blocks, want %d", len(got), len(blocks))
	}
	for i, b := range blocks {
		h := proto.CloneOf(b.commit.Header)
		if len(got[i].Header.GetHash()) > 0 {
			h.Hash, h.StateRoot, h.ParentHash = b.hash, b.root, make([]byte, 32)
			if i > 0 {
				h.ParentHash = blocks[i-1].hash
			}
		}
		want := &ordov1.Block{Header: h, Transactions: b.commit.Transactions, Results: b.commit.Results, StateDiff: b.commit.StateDiff, Certificate: b.commit.Certificate}
		if text := difference(got[i], want); text != "" {
			t.Fatalf("block %d: %s", i, text)
		}
	}
}

func storageBlocks(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks...)
	s.mustHaveBlocks(t, c.blocks)
	s.mustHaveRoots(t, c.blocks, 0)
	s.mustHaveBlocks(t, c.blocks) // now with roots
	if got := s.blocks(t, &ordov1.BlocksRequest{}); len(got) != 1 || got[0].Header.GetContext().GetNumber() != 0 {
		t.Errorf("a request without from: %d blocks, want block 0 alone", len(got))
	}
	for i, b := range c.blocks {
		byNumber := s.blocks(t, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: b.num()}})
		if len(byNumber) != 1 || byNumber[0].Header.GetContext().GetNumber() != b.num() || len(byNumber[0].Transactions)+len(byNumber[0].Results) != 0 || byNumber[0].StateDiff != nil {
			t.Errorf("header of block %d alone: %v", i, byNumber)
		}
		if s.can(sdk.CapRoots) {
			byHash := s.blocks(t, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Hash{Hash: b.hash}})
			if len(byHash) != 1 || byHash[0].Header.GetContext().GetNumber() != b.num() {
				t.Errorf("block %d by hash: %v", i, byHash)
			}
		}
		for k, x := range b.commit.Transactions {
			at, err := s.Read.FindTransaction(timeout(t), &ordov1.FindTransactionRequest{Hash: x.Hash})
			if err != nil || !at.Found || at.Number != b.num() || at.Index != uint32(k) {
				t.Errorf("transaction %d of block %d: %s, %v", k, i, hexed(at), err)
			}
		}
	}
	unknown := bytes.Repeat([]byte{1}, 32)
	if got := s.blocks(t, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Hash{Hash: unknown}}); len(got) != 0 {
		t.Errorf("block of an unknown hash: %v", got)
	}
	if got := s.blocks(t, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Number{Number: 1000}}); len(got) != 0 {
		t.Errorf("block above the head: %v", got)
	}
	if at, err := s.Read.FindTransaction(timeout(t), &ordov1.FindTransactionRequest{Hash: unknown}); err != nil || at.Found {
		t.Errorf("unknown transaction: %s, %v", hexed(at), err)
	}
}

func storageClasses(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks...)
	var hashes []byte
	var all []*ordov1.Class
	for _, b := range c.blocks {
		all = append(all, b.commit.Classes...)
	}
	hashes = append(hashes, bytes.Repeat([]byte{1}, 32)...) // one that does not exist
	for _, x := range all {
		hashes = append(hashes, x.Hash...)
	}
	if len(all) == 0 {
		t.Fatal("the chain of the tests declares no class")
	}
	whole := s.classes(t, &ordov1.ClassesRequest{Hashes: hashes, Definition: true, Casm: true})
	bare := s.classes(t, &ordov1.ClassesRequest{Hashes: hashes})
	if len(whole) != len(all) || len(bare) != len(all) {
		t.Fatalf("%d and %d classes, want %d", len(whole), len(bare), len(all))
	}
	for i, want := range all {
		if text := difference(whole[i], want); text != "" {
			t.Errorf("class %x: %s", want.Hash, text)
		}
		without := proto.CloneOf(want)
		without.Definition, without.Casm = nil, nil
		if text := difference(bare[i], without); text != "" {
			t.Errorf("class %x without its parts: %s", want.Hash, text)
		}
	}
	for _, b := range c.blocks {
		got := s.classes(t, &ordov1.ClassesRequest{Hashes: hashes, AtHeight: true, Height: b.num()})
		if want := len(modelAfter(c.blocks[:b.num()+1]).declaredAt); len(got) != want {
			t.Errorf("%d classes at height %d, want %d", len(got), b.num(), want)
		}
	}
}

func storageSnapshot(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	for i, b := range c.blocks {
		s.mustCommit(t, b)
		stream, err := s.Storage.Snapshot(timeout(t), &ordov1.SnapshotRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got := modelAfter(nil)
		chunks := receive(t, "snapshot", stream.Recv)
		if len(chunks) == 0 {
			t.Fatal("a snapshot of a chain with blocks has no chunk")
		}
		var order []string
		for _, chunk := range chunks {
			if chunk.Height != b.num() {
				t.Fatalf("chunk of height %d in a snapshot of %d", chunk.Height, b.num())
			}
			d := chunk.GetState()
			part := modelAfter([]*storageBlock{{commit: &ordov1.CommitRequest{StateDiff: d}}})
			for k, v := range part.storage {
				got.storage[k] = v
			}
			for k, v := range part.nonces {
				got.nonces[k] = v
			}
			for k, v := range part.classes {
				got.classes[k] = v
			}
			for k, v := range part.compiled {
				got.compiled[k] = v
			}
			for k := range part.deprecated {
				got.deprecated[k] = true
			}
			for _, contract := range d.GetStorage() {
				for pair := range slices.Chunk(contract.Entries, 64) {
					order = append(order, string(contract.Address)+string(pair[:32]))
				}
			}
		}
		if want := modelAfter(c.blocks[:i+1]); got.flat() != want.flat() {
			t.Fatalf("snapshot after block %d:\n%s\nwant\n%s", i, got.flat(), want.flat())
		}
		if !slices.IsSorted(order) {
			t.Error("the storage of a snapshot is not in key order")
		}
	}
}

func storageRestart(t *testing.T, s *Storage) {
	if s.Restart == nil {
		t.Skip("this store cannot be restarted")
	}
	c := loadStorageChain(t)
	for i, b := range c.blocks {
		s.mustCommit(t, b)
		s = s.Restart(t)
		if h := s.head(t); h.Empty || h.Height != b.num() || !bytes.Equal(h.PartialHash, b.commit.Header.PartialHash) {
			t.Fatalf("head after a restart behind block %d: %s", b.num(), hexed(h))
		}
		if r, err := s.commit(t, b.commit); err != nil || !r.Repeated {
			t.Fatalf("block %d again after a restart: %v, %v", b.num(), r, err)
		}
		s.mustHaveState(t, c, i+1, false)
		s.mustHaveRoots(t, c.blocks[:i+1], 0)
	}
	s.mustHaveBlocks(t, c.blocks)
}

// storageConcurrent reads whole states while blocks arrive: every answer must be that of one height.
func storageConcurrent(t *testing.T, s *Storage) {
	c := loadStorageChain(t)
	s.mustCommit(t, c.blocks[0])
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, b := range c.blocks[1:] {
			if _, err := s.commit(t, b.commit); err != nil {
				t.Errorf("commit: %v", err)
				return
			}
		}
	}()
	request, _ := modelAfter(nil).ask(modelAfter(c.blocks))
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		got, err := s.Read.State(timeout(t), request)
		if err != nil {
			t.Fatalf("state: %v", err)
		}
		_, want := modelAfter(c.blocks[:got.Height+1]).ask(modelAfter(c.blocks))
		want.Height = got.Height
		if text := difference(got, want); text != "" {
			t.Fatalf("a read while blocks arrive is not the state of height %d: %s", got.Height, text)
		}
	}
}
