package driver

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// crashOffset is where a run that tries a part of the points begins: another one each time, or that of ORDO_CRASH_SEED.
func crashOffset(t *testing.T, stride int) int {
	seed := time.Now().UnixNano()
	if text := os.Getenv("ORDO_CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseInt(text, 10, 64); err != nil || seed < 0 {
			t.Fatalf("ORDO_CRASH_SEED: %q is no seed", text)
		}
	}
	offset := int(seed % int64(stride))
	t.Logf("every %d. point; again: ORDO_CRASH_SEED=%d, all of them: ORDO_CRASH_POINTS=all", stride, offset)
	return offset
}

// A crash at every write, sync and rename of the journal, and on both sides of every Commit and Apply: the next start has all
// that was promised, each once, in nonce order, and goes on with what clients were shown, in the same order.
func TestEveryCrashPoint(t *testing.T) { everyCrashPoint(t, 3) }

// TestEveryCrashPointOfOrders is the same where what is decided is an order, and is executed then.
func TestEveryCrashPointOfOrders(t *testing.T) {
	everyCrashPoint(t, 9, func(o *Options) { o.Lazy = true })
}

// everyCrashPoint tries each point, or one of so many.
func everyCrashPoint(t *testing.T, part int, change ...func(*Options)) {
	const accounts, nonces = 3, 6
	w := newWorld(t)
	var txs [][]*ordov1.Transaction
	var flat []*ordov1.Transaction
	for account := range uint64(accounts) {
		var own []*ordov1.Transaction
		for nonce := range uint64(nonces) {
			own = append(own, w.tx(account+1, nonce, nonce%2*reverts, (account*7+nonce*3)%5))
		}
		txs, flat = append(txs, own), append(flat, own...)
	}
	var handlers []*ordov1.Transaction // without a nonce: nothing but their hash keeps them from coming twice
	for i := range uint64(4) {
		handlers = append(handlers, &ordov1.Transaction{Type: ordov1.TransactionType_L1_HANDLER, Hash: num(0xabc00 + i), Sender: num(0x100)})
	}
	kinds := map[string]int{}
	stride, offset := 1, 0
	if os.Getenv("ORDO_CRASH_POINTS") == "" {
		stride, offset = part, crashOffset(t, part)
	}
	points := 0
	for at, blown := 1+offset, true; blown; at += stride {
		synctest.Test(t, func(t *testing.T) {
			var what string
			what, blown = crashAt(t, at, txs, handlers, flat, change...)
			kinds[what]++
			points++
		})
	}
	t.Logf("%d crash points: %v", points, kinds)
}

// crashAt ends a computer at one of its writes, and holds the next one against it. blown is false when there were fewer writes.
func crashAt(t *testing.T, at int, txs [][]*ordov1.Transaction, handlers, flat []*ordov1.Transaction, change ...func(*Options)) (what string, blown bool) {
	first := newFuse(at)
	storage := fakestage.NewStorage()
	m, err := boot(t, storage, &memory{fuse: first, files: map[string]*page{}}, first, fakestage.Solo(), change...)
	if err == nil {
		m.live(append(slices.Clip(txs), handlers))
		if !first.reached() { // it lived to the end, or has a moment more
			select {
			case <-first.blown:
			case <-time.After(30 * time.Millisecond):
			}
		}
	}
	m.off()
	first.mu.Lock()
	blown = first.count == at
	what = first.names[len(first.names)-1]
	first.mu.Unlock()
	name := fmt.Sprintf("crash at %d (%s)", at, what)
	if at%4 > 1 { // and once more, while it comes back or soon after
		fuse := newFuse(1 + at*7%30)
		storage.Restarted()
		had := storage.Count()
		second, err := boot(t, storage, m.disk.survivor(fuse, at%2 == 0), fuse, fakestage.Solo(), change...)
		if err == nil {
			second.live(txs)
		}
		second.off()
		second.told = append(second.told, m.told...)
		second.earlier = append(m.earlier, m.eyes)
		m, name = second, name+fmt.Sprintf(" with %d blocks, and at %d with %d", had, fuse.at, storage.Count())
	}
	m.again(t, name, storage, txs, flat, at%2 == 0, change...)
	if t.Failed() {
		t.Fatalf("after %s", name)
	}
	return what, blown
}

// stored waits until storage has all of them in blocks with a root: what was accepted before the crash the node does not
// know any more.
func (m *computer) stored(name string, txs []*ordov1.Transaction) {
	m.t.Helper()
	missing := 0
	err := m.node.Chain().Await(ctx(m.t), func() bool {
		latest := m.node.Chain().Latest().Context.Number
		m.storage.Mu.Lock()
		defer m.storage.Mu.Unlock()
		found := map[mempool.Key]bool{}
		for _, b := range m.storage.Stored[:latest+1] {
			for _, tx := range b.Transactions {
				found[mempool.Key(tx.Hash)] = true
			}
		}
		missing = 0
		for _, tx := range txs {
			if !found[mempool.Key(tx.Hash)] {
				missing++
			}
		}
		return missing == 0
	})
	if err != nil {
		m.t.Fatalf("%s: %d transactions were promised and are in no block: %v; node: %v", name, missing, err, m.node.Err())
	}
}

// again turns the computer on after a crash and holds it against what was promised and shown.
func (m *computer) again(t *testing.T, name string, storage *fakestage.Storage, txs [][]*ordov1.Transaction, flat []*ordov1.Transaction, keep bool, change ...func(*Options)) {
	t.Helper()
	storage.Restarted()
	fuse := newFuse(0)
	next, err := boot(t, storage, m.disk.survivor(fuse, keep), fuse, fakestage.Solo(), change...)
	defer next.off()
	if err != nil {
		t.Fatalf("%s: start: %v", name, err)
	}
	next.stored(name, m.told)
	// What was shown before the crash comes first in its block.
	storage.Mu.Lock()
	for _, eyes := range append(m.earlier, m.eyes) {
		if eyes != nil {
			eyes.kept(t, storage.Stored)
		}
	}
	storage.Mu.Unlock()
	next.live(txs)
	next.stored(name, flat)
	next.chainIsSound()
	(&restartable{world: next.world}).once(flat)
	if waiting := next.node.Waiting(); len(waiting) > 0 {
		t.Errorf("%s: %d transactions wait for nothing", name, len(waiting))
	}
}

// What was decided is built again as it was, certificate and all, before consensus is asked for anything: a decision may have
// left the computer.
func TestDecidedBlockComesBack(t *testing.T) { synctest.Test(t, decidedBlockComesBack) }

func decidedBlockComesBack(t *testing.T) {
	storage := fakestage.NewStorage()
	fuse := newFuse(0)
	protocol := fakestage.Solo()
	m, err := boot(t, storage, &memory{fuse: fuse, files: map[string]*page{}}, fuse, func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		actions := protocol(event)
		for _, a := range actions {
			if d := a.GetDecide(); d != nil {
				d.Certificate = []byte("signed")
			}
		}
		return actions
	})
	if err != nil {
		t.Fatal(err)
	}
	storage.Mu.Lock()
	storage.Full = true
	storage.Mu.Unlock()
	txs := []*ordov1.Transaction{m.tx(1, 0, plain, 1), m.tx(2, 0, rejects, 3), m.tx(1, 1, reverts, 2), m.tx(3, 0, plain, 9)}
	m.live([][]*ordov1.Transaction{txs})
	time.Sleep(time.Second)
	synctest.Wait()
	if m.node.Health()[2].Why == "" {
		t.Fatal("storage was never asked")
	}
	decided := m.node.Chain().Unaccepted(1)
	m.off()

	storage.Restarted()
	storage.Mu.Lock()
	storage.Full = false
	storage.Mu.Unlock()
	next, err := boot(t, storage, m.disk.survivor(fuse, false), fuse, func(*ordov1.ConsensusEvent) []*ordov1.Action { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer next.off()
	if err := next.node.Chain().Await(ctx(t), func() bool { return next.node.Chain().Latest().Context.Number == 1 }); err != nil {
		t.Fatal("the block does not come back")
	}
	storage.Mu.Lock()
	got := storage.Stored[1]
	storage.Mu.Unlock()
	if !bytes.Equal(got.Header.PartialHash, decided.Header.PartialHash) || string(got.Certificate) != "signed" {
		t.Errorf("block 0x%x with certificate %q came back, 0x%x was decided", got.Header.PartialHash, got.Certificate, decided.Header.PartialHash)
	}
	if len(next.node.Waiting())+len(got.Transactions) < 3 {
		t.Errorf("%d in the block, %d wait", len(got.Transactions), len(next.node.Waiting()))
	}
}
