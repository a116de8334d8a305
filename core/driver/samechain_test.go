package driver

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ordo-sequencer/ordo/core/journal"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// TestAJournalOfAnotherChainIsRejected: the journal of one chain and the storage of another, with the same id and the same block 0, do not
// make a node, although storage has more blocks than the journal knows.
func TestAJournalOfAnotherChainIsRejected(t *testing.T) { synctest.Test(t, journalOfAnotherChain) }

func journalOfAnotherChain(t *testing.T) {
	chain := func(account uint64, blocks int) *computer {
		calm := newFuse(0)
		m, err := boot(t, fakestage.NewStorage(), &memory{fuse: calm, files: map[string]*page{}}, calm, fakestage.Solo())
		if err != nil {
			t.Fatal(err)
		}
		var own []*ordov1.Transaction
		for nonce := range uint64(blocks) {
			own = append(own, m.tx(account, nonce, 0, 1))
		}
		m.live([][]*ordov1.Transaction{own})
		m.stored("at first", own)
		m.off()
		m.storage.Restarted()
		return m
	}
	mine, other := chain(1, 3), chain(2, 40)
	if mine.storage.Count() >= other.storage.Count() {
		t.Fatalf("%d blocks against %d: the shorter one is to be the journal's", mine.storage.Count(), other.storage.Count())
	}
	calm := newFuse(0)
	m, err := boot(t, other.storage, mine.disk.survivor(calm, true), calm, fakestage.Solo())
	m.off()
	if err == nil || !strings.Contains(err.Error(), "of two chains") || !strings.Contains(err.Error(), "the journal saw 0x") {
		t.Errorf("started with the storage of another chain: %v", err)
	}
	other.storage.Restarted()
	calm = newFuse(0)
	m, err = boot(t, other.storage, other.disk.survivor(calm, true), calm, fakestage.Solo())
	if err != nil {
		t.Fatalf("with its own: %v", err)
	}
	defer m.off()

	// A journal of before knows no block 0, and learns it; one of another block 0 is refused.
	at, err := m.node.storage.client.Head(t.Context(), &ordov1.HeadRequest{})
	if err != nil {
		t.Fatal(err)
	}
	disk := &memory{fuse: calm, files: map[string]*page{}}
	j, r, err := journal.Open(disk, journal.Options{Chain: "SN_TEST"})
	if err != nil {
		t.Fatal(err)
	}
	n := &Driver{options: Options{Journal: j}, read: m.node.read}
	if err := n.sameChain(t.Context(), at, r); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, r, err = journal.Open(disk, journal.Options{Chain: "SN_TEST"}); err != nil || len(r.Genesis) == 0 {
		t.Fatalf("it learned %x: %v", r.Genesis, err)
	}
	defer j.Close()
	r.Genesis[0] ^= 1
	if err := n.sameChain(t.Context(), at, r); err == nil || !strings.Contains(err.Error(), "block 0 of storage") {
		t.Errorf("with another block 0: %v", err)
	}
	if errors.Is(err, journal.ErrDamaged) {
		t.Error("the journal of another chain is not a damaged one")
	}
}
