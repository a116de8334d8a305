package network

import (
	"context"
	"errors"
	"testing"
)

// TestCatchUp: a node that is far behind gets all blocks in order from several peers, one of which serves wrong blocks and one of which has
// less than it says.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	nodes := newMesh(t, 5, nil)
	for _, n := range nodes[:2] {
		n.grow(700, 3000)
	}
	nodes[2].grow(700, 3000)
	nodes[2].mu.Lock()
	for _, b := range nodes[2].chain {
		wrong := *b
		wrong.Body = []byte("something else")
		nodes[2].chain[b.Height] = &wrong
	}
	nodes[2].mu.Unlock()
	nodes[3].grow(100, 3000)
	nodes[3].Announce(Head{Height: 699})
	late := nodes[4]
	late.wait("heads", func() bool { return len(late.heads) == 4 })
	if err := late.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(late.chain) != 700 {
		t.Errorf("%d blocks", len(late.chain))
	}
	if s := stateOf(late, nodes[2].ID()); s.State != "banned" || s.Bans != 1 {
		t.Errorf("the peer with wrong blocks: %+v", s)
	}
	for _, i := range []int{0, 1, 3} {
		if s := stateOf(late, nodes[i].ID()); s.State != "linked" {
			t.Errorf("peer %d: %+v", i, s)
		}
	}
	if late.Stats().WrongBlocks == 0 {
		t.Error("no wrong block is counted")
	}
	// It ends with an error of its own, and with its context.
	nodes[0].grow(10, 10)
	late.wait("the new head", func() bool { return late.heads[nodes[0].ID()].Height == 709 })
	failed := errors.New("disk full")
	if err := late.CatchUp(t.Context(), 700, func(context.Context, ID, *Block) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}
