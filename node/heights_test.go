package node

import (
	"testing"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/starknet/felt"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// counted counts the blocks that it is told of.
type counted struct {
	driver.Observer
	blocks int
}

func (c *counted) Decided(*chainview.Block) { c.blocks++ }

// TestHeightsKeepsTheNewest: the newest blocks are kept with the moment of their decision, in order and bounded, and the inner observer hears of all.
func TestHeightsKeepsTheNewest(t *testing.T) {
	inner := &counted{}
	h := newHeights(inner)
	clock := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return clock }
	const all = 5*keptHeights + 7
	for number := range uint64(all) {
		clock = clock.Add(time.Millisecond)
		h.Decided(&chainview.Block{Context: &ordov1.BlockContext{Number: number, Sequencer: felt.FromUint64(0x1000 + number%4).Append(nil)}, Transactions: make([]*ordov1.Transaction, number%3)})
	}
	if inner.blocks != all {
		t.Errorf("the inner observer heard of %d blocks of %d", inner.blocks, all)
	}
	if n := len(h.list(all)); n < keptHeights || n > 2*keptHeights {
		t.Errorf("%d are kept", n)
	}
	list := h.list(keptHeights)
	for i, one := range list {
		number := uint64(all - len(list) + i)
		if one.Height != number || one.Transactions != int(number%3) || one.Sequencer != felt.FromUint64(0x1000+number%4).Hex() {
			t.Fatalf("number %d of the list: %+v, want block %d", i, one, number)
		}
		if i > 0 && one.At.Sub(list[i-1].At) != time.Millisecond {
			t.Fatalf("%s after %s", one.At, list[i-1].At)
		}
	}
	if len(h.list(0)) != 0 || len(newHeights(inner).list(3)) != 0 {
		t.Error("blocks that were not asked for, or are not there")
	}
}
