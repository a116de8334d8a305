package conformance

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func storageRevert(t *testing.T, s *Storage) {
	if !s.can(sdk.CapRevert) {
		_, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{})
		mustBe(t, "revert without the capability", err, codes.Unimplemented)
		return
	}
	c := loadStorageChain(t)
	_, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{})
	mustBe(t, "revert of an empty chain", err, codes.FailedPrecondition)
	for n := len(c.blocks); n > 0; n -= 2 { // down to n blocks, and up again
		s.mustCommit(t, c.blocks[len(c.blocks)-s.missing(t, c):]...)
		_, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{Height: 0})
		mustBe(t, "revert of a block that is not the head", err, codes.FailedPrecondition)
		for k := len(c.blocks); k >= n; k-- {
			h, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{Height: uint64(k - 1)})
			if err != nil {
				t.Fatal(err)
			}
			if k == 1 != h.Empty || k > 1 && h.Height != uint64(k-2) {
				t.Fatalf("head after the revert of block %d: %s", k-1, hexed(h))
			}
		}
		if n > 1 {
			s.mustHaveState(t, c, n-1, false)
			s.mustHaveBlocks(t, c.blocks[:n-1])
			s.mustHaveRoots(t, c.blocks[:n-1], 0)
		}
	}
	last := len(c.blocks) - 1
	s.mustCommit(t, c.blocks[last-s.missing(t, c)+1:last]...)
	s.mustCommit(t, c.other)
	s.mustHaveRoots(t, append(slices.Clone(c.blocks[:last]), c.other), 0)
}

// storageRevertAgain takes 1, 2, 4.. blocks back and commits the same ones again, then others: roots, state, history
// and indexes are those of the chain that is there now, also after a restart, and nothing is left of what was taken back.
func storageRevertAgain(t *testing.T, s *Storage) {
	if !s.can(sdk.CapRevert) {
		t.Skip("no capability revert")
	}
	c := loadStorageChain(t)
	last := len(c.blocks) - 1
	other := append(slices.Clone(c.blocks[:last]), c.other)
	s.mustCommit(t, c.blocks...)
	for k := 1; k <= len(c.blocks); k *= 2 {
		s.mustRevert(t, len(c.blocks), len(c.blocks)-k)
		s.mustCommit(t, c.blocks[len(c.blocks)-k:]...)
		s.mustHaveChain(t, c, c.blocks)

		// Other blocks from the last height on: the fork of the tests differs there.
		s.mustRevert(t, len(c.blocks), last)
		s.mustCommit(t, c.other)
		s.mustHaveChain(t, c, other)
		s.mustNotFind(t, c.blocks[last], c.other)
		if s.Restart != nil && k == 4 {
			s = s.Restart(t)
			s.mustHaveChain(t, c, other)
		}
		s.mustRevert(t, len(c.blocks), last)
		s.mustCommit(t, c.blocks[last])
		s.mustNotFind(t, c.other, c.blocks[last])
	}
	s.mustHaveChain(t, c, c.blocks)
}

// mustRevert takes blocks back, from one length of the chain to another.
func (s *Storage) mustRevert(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n > to; n-- {
		if _, err := s.Storage.Revert(timeout(t), &ordov1.RevertRequest{Height: uint64(n - 1)}); err != nil {
			t.Fatalf("revert of block %d: %v", n-1, err)
		}
	}
}

// mustHaveChain compares everything that can be read with a chain: roots, blocks, state at the head and, with history, at
// every height.
func (s *Storage) mustHaveChain(t *testing.T, c *storageChain, blocks []*storageBlock) {
	t.Helper()
	s.mustHaveRoots(t, blocks, 0)
	s.mustHaveBlocks(t, blocks)
	every := modelAfter(append(slices.Clone(c.blocks), c.other))
	for n := 1; n <= len(blocks); n++ {
		if n < len(blocks) && !s.can(sdk.CapHistory) {
			continue
		}
		r, want := modelAfter(blocks[:n]).ask(every)
		want.Height = uint64(n - 1)
		r.AtHeight, r.Height = n < len(blocks), want.Height
		got, err := s.Read.State(timeout(t), r)
		if err != nil {
			t.Fatalf("state after %d of %d blocks: %v", n, len(blocks), err)
		}
		if text := difference(got, want); text != "" {
			t.Fatalf("state after %d of %d blocks: %s", n, len(blocks), text)
		}
	}
}

// mustNotFind wants nothing of a block that is gone, but what the one in its place has too.
func (s *Storage) mustNotFind(t *testing.T, gone, there *storageBlock) {
	t.Helper()
	still := map[string]bool{}
	for _, x := range there.commit.Transactions {
		still[string(x.Hash)] = true
	}
	for _, x := range gone.commit.Transactions {
		if still[string(x.Hash)] {
			continue
		}
		at, err := s.Read.FindTransaction(timeout(t), &ordov1.FindTransactionRequest{Hash: x.Hash})
		if err != nil || at.Found {
			t.Fatalf("transaction of a block that was reverted: %s, %v", hexed(at), err)
		}
	}
	if s.can(sdk.CapRoots) {
		if got := s.blocks(t, &ordov1.BlocksRequest{From: &ordov1.BlocksRequest_Hash{Hash: gone.hash}}); len(got) != 0 {
			t.Fatalf("a block that was reverted is found by its hash: %v", got)
		}
	}
}

// missing is how many blocks of the chain are not stored.
func (s *Storage) missing(t *testing.T, c *storageChain) int {
	h := s.head(t)
	if h.Empty {
		return len(c.blocks)
	}
	return len(c.blocks) - 1 - int(h.Height)
}
