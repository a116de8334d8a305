package driver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/test/fakestage"
	"github.com/ordo-sequencer/ordo/test/grammar"
)

func grammars(t *testing.T) map[string]*grammar.Grammar {
	all := map[string]*grammar.Grammar{}
	for _, page := range []string{"ordering", "execution", "storage", "consensus"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := grammar.FromPage(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, g := range found {
			all[name] = g
		}
	}
	return all
}

// Many clients at once, more blocks than the hash lag, chains of nonces, reverts and gaps filled late.
func TestChainGrows(t *testing.T) {
	for _, arrival := range []bool{true, false} {
		w := newWorld(t)
		w.execution.Limit = 7
		if arrival {
			w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
		}
		n := w.start()
		var all []*ordov1.Transaction
		for account := uint64(1); account <= 10; account++ {
			for _, nonce := range []uint64{0, 1, 3, 2, 5, 6, 4, 7, 8, 9} {
				all = append(all, w.tx(account, nonce, nonce%2*reverts, nonce))
			}
		}
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() {
				for _, tx := range all[i*10:][:10] {
					if err := w.submitOne(tx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		w.await(chainview.Accepted, all...)
		w.chainIsSound()
		if got := len(w.storage.Stored); got < 15 {
			t.Errorf("%d blocks: 100 transactions at 7 each need more", got)
		}
		if latest := n.Chain().Latest(); latest.Context.Number != uint64(len(w.storage.Stored)-1) || len(n.Waiting()) != 0 {
			t.Errorf("latest %d of %d blocks, %d wait", latest.Context.Number, len(w.storage.Stored), len(n.Waiting()))
		}
		if err := n.Stop(ctx(t)); err != nil {
			t.Error(err)
		}
		w.callsAreLawful(grammars(t))
	}
}

// TestStatusesGoForward: a client that looks after every change never sees a transaction go back, and knows why one was dropped.
func TestStatusesGoForward(t *testing.T) {
	w := newWorld(t)
	n := w.start()
	good, bad, late := w.tx(1, 0, plain, 0), w.tx(2, 0, rejects, 0), w.tx(2, 1, plain, 0)
	var path []chainview.Status
	looked := make(chan error, 1)
	go func() {
		looked <- n.Chain().Await(ctx(t), func() bool {
			status := n.Chain().Status(mempool.Key(good.Hash)).Status
			if len(path) == 0 || path[len(path)-1] != status {
				path = append(path, status)
			}
			return status == chainview.Accepted
		})
	}()
	w.submit(good, bad, late)
	w.await(chainview.Accepted, good)
	if err := <-looked; err != nil || !slices.IsSorted(path) {
		t.Errorf("it went %v: %v", path, err)
	}
	w.await(chainview.Dropped, bad)
	if why := n.Chain().Status(mempool.Key(bad.Hash)).Why; why == nil || !strings.Contains(why.Error(), "VALIDATION_FAILURE") {
		t.Errorf("dropped without its reason: %v", why)
	}
	// Rejected only because the one before it was: it waits for the nonce, and runs when it comes.
	better := w.tx(2, 0, plain, 5)
	w.submit(better)
	w.await(chainview.Accepted, better, late)
	if err := n.Chain().CatchUp(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.submitOne(good); !errors.Is(err, mempool.ErrNonceTooOld) {
		t.Errorf("the same again: %v", err)
	}
	if err := w.submitOne(w.tx(0xacc0, 2, plain, 0)); !errors.Is(err, mempool.ErrNonceTooOld) {
		t.Errorf("a nonce used in genesis: %v", err)
	}
}

func TestCreateBlock(t *testing.T) {
	w := newWorld(t)
	n := w.start()
	for want := uint64(1); want <= 12; want++ {
		number, hash, err := n.CreateBlock(ctx(t))
		if err != nil || number != want || !bytes.Equal(hash, n.Chain().Latest().Hash) {
			t.Fatalf("demand %d: block %d, %x, %v", want, number, hash, err)
		}
	}
	// Many at once: each gets a block of its own.
	var mu sync.Mutex
	var got []uint64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			number, _, err := n.CreateBlock(ctx(t))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, number)
		})
	}
	all.Wait()
	slices.Sort(got)
	for i, number := range got {
		if number != uint64(13+i) {
			t.Fatalf("50 demands got the blocks %d", got)
		}
	}
	if top := n.Chain().Latest().Context.Number; top != 62 {
		t.Errorf("50 demands on block 12 led to block %d", top)
	}
	w.chainIsSound()
}

// The view shows the open block before it is decided, and its changes.
func TestSnapshotOfTheOpenBlock(t *testing.T) {
	w := newWorld(t)
	seal := make(chan struct{})
	var built atomic.Bool
	w.consensus = func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		switch e := event.Event.(type) {
		case *ordov1.ConsensusEvent_Start_:
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 1})}
		case *ordov1.ConsensusEvent_CreateBlock_:
			return []*ordov1.Action{fakestage.Seal(1)}
		case *ordov1.ConsensusEvent_Built_:
			<-seal
			built.Store(true)
			return []*ordov1.Action{fakestage.Decide(1, e.Built.Value)}
		}
		return nil
	}
	w.options.Stages.OrderingCapabilities = []string{sdk.CapArrival}
	n := w.start()
	a, b := w.tx(1, 0, plain, 0), w.tx(1, 1, plain, 0)
	w.submit(a)
	w.await(chainview.PreConfirmed, a)
	before := n.Chain().Snapshot()
	w.submit(b)
	w.await(chainview.PreConfirmed, b)
	after := n.Chain().Snapshot()
	if nonce, ok := before.Nonce(mempool.Key(num(1))); !ok || nonce[31] != 1 || len(before.Open().Transactions) != 1 {
		t.Errorf("before: nonce %x %v, %d transactions", nonce, ok, len(before.Open().Transactions))
	}
	if nonce, ok := after.Nonce(mempool.Key(num(1))); !ok || nonce[31] != 2 || len(after.Open().Results) != 2 {
		t.Errorf("after: nonce %x %v, %d results", nonce, ok, len(after.Open().Results))
	}
	if value, ok := after.Storage(mempool.Key(num(0x100)), mempool.Key(num(1))); !ok || value[31] != 2 {
		t.Errorf("storage %x %v", value, ok)
	}
	if d := after.Open().Diff(); !bytes.Equal(d.Nonces, append(num(1), num(2)...)) {
		t.Errorf("diff %v", d)
	}
	if built.Load() || n.Chain().Latest().Context.Number != 0 {
		t.Error("decided too early")
	}
	close(seal)
	if _, _, err := n.CreateBlock(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if v := n.Chain().Snapshot(); len(v.Blocks()) != 0 || v.Next().Number != 2 {
		t.Errorf("%d blocks after latest, next is %d", len(v.Blocks()), v.Next().Number)
	}
}

// The chain outlives its processes, and another execution reaches the same blocks.
func TestRestartAndReexecute(t *testing.T) {
	w := newWorld(t)
	w.storage.RootDelay = 3 * time.Millisecond
	n := w.start()
	var all []*ordov1.Transaction
	for nonce := range uint64(14) {
		all = append(all, w.tx(1, nonce, nonce%3, 0))
		if nonce%3 == rejects {
			all[nonce] = w.tx(1, nonce, plain, 0)
		}
		w.submit(all[nonce])
		w.await(chainview.PreConfirmed, all[nonce])
	}
	// Decided is enough: Stop waits for commits and roots. What is not decided would end with the pool.
	if err := n.Chain().Await(ctx(t), func() bool { return n.Chain().Next().Number >= 15 }); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(ctx(t)); err != nil {
		t.Fatal(err)
	}
	head := n.Chain().Latest()
	if head.Context.Number < 10 || head.Context.Number != uint64(len(w.storage.Stored)-1) {
		t.Fatalf("stopped at %d of %d blocks", head.Context.Number, len(w.storage.Stored))
	}

	w.execution = fakestage.NewExecution()
	w.consensus = fakestage.Solo()
	n = w.start()
	if !bytes.Equal(n.Chain().Latest().Hash, head.Hash) {
		t.Fatal("another head after the restart")
	}
	next := w.tx(1, 14, plain, 0)
	w.submit(next)
	w.await(chainview.Accepted, next)
	if err := n.Stop(ctx(t)); err != nil {
		t.Fatal(err)
	}
	w.chainIsSound()

	fresh := newWorld(t)
	fresh.make()
	var heights []uint64
	o := fresh.options
	o.Block.Prices.L2Fri = 5 // the node's own prices do not matter
	found, err := Reexecute(ctx(t), w.execution.Read, o, func(h uint64) { heights = append(heights, h) })
	if err != nil {
		t.Fatal(err)
	}
	if found.Transactions != 15 || found.Blocks != uint64(len(w.storage.Stored)-1) || len(heights) != int(found.Blocks) || !bytes.Equal(found.Head.Hash, w.storage.Stored[found.Blocks].Header.Hash) {
		t.Errorf("%+v, progress %v", found, heights)
	}

	// A stored chain that was tampered with is found.
	w.storage.Stored[5].StateDiff.Nonces[63]++
	w.storage.Stored[5].Header.PartialHash = num(1)
	fresh = newWorld(t)
	fresh.make()
	if _, err := Reexecute(ctx(t), w.execution.Read, fresh.options, nil); err == nil || !strings.Contains(err.Error(), "block 5") {
		t.Errorf("a changed block: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	w := newWorld(t)
	if err := w.start().Stop(ctx(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.ChainID = "SN_OTHER" }, "the stored chain is SN_TEST, not SN_OTHER"},
		{func(o *Options) { o.Genesis = &Genesis{Diff: &ordov1.StateDiff{Nonces: append(num(1), num(1)...)}} }, "another genesis"},
		{func(o *Options) { o.Genesis = nil }, ""},
	} {
		o := w.options
		c.change(&o)
		n, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		err = n.Start(ctx(t))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		n.stop(nil)
		n.work.Wait()
	}
	empty := newWorld(t)
	empty.options.Genesis = nil
	empty.make()
	n, err := New(empty.options)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(ctx(t)); err == nil || !strings.Contains(err.Error(), "storage is empty") {
		t.Errorf("no genesis: %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no chain id was accepted")
	}
}

// A ranking policy decides among what waits, whatever came first.
func TestRanking(t *testing.T) { synctest.Test(t, ranking) }

func ranking(t *testing.T) {
	w := newWorld(t)
	w.consensus = func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		switch e := event.Event.(type) {
		case *ordov1.ConsensusEvent_CreateBlock_:
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 1, AllowEmpty: true}), fakestage.Seal(1)}
		case *ordov1.ConsensusEvent_Built_:
			return []*ordov1.Action{fakestage.Decide(1, e.Built.Value)}
		}
		return nil
	}
	n := w.start()
	tips := []uint64{3, 9, 1, 7}
	for i, tip := range tips {
		w.submit(w.tx(uint64(i+1), 0, plain, tip))
	}
	synctest.Wait()
	for _, x := range n.Waiting() {
		if x.State != "ready" {
			t.Fatalf("not ready: %v", n.Waiting())
		}
	}
	if _, _, err := n.CreateBlock(ctx(t)); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, tx := range w.storage.Stored[1].Transactions {
		got = append(got, tx.Tip)
	}
	if len(got) != 4 || got[0] != 9 || got[1] != 7 || got[2] != 3 || got[3] != 1 {
		t.Errorf("order by tip: %v", got)
	}
}

type ledger struct {
	nothing
	mu   sync.Mutex
	txs  int
	full bool
}

func (j *ledger) Admit(*ordov1.Transaction, *ordov1.Class) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.full {
		return errors.New("disk full")
	}
	j.txs++
	return nil
}

// nothing is a journal that forgets.
type nothing struct{}

func (nothing) Admit(*ordov1.Transaction, *ordov1.Class) error { return nil }
func (nothing) Drop(...journal.Key) error                      { return nil }
func (nothing) Release(...journal.Key) error                   { return nil }
func (nothing) Mark(journal.Step) error                        { return nil }
func (nothing) Persist(uint64, []byte) error                   { return nil }
func (nothing) PersistLasting([]byte) error                    { return nil }

func TestJournal(t *testing.T) {
	w := newWorld(t)
	j := &ledger{}
	w.options.Journal = j
	w.start()
	a := w.tx(1, 0, plain, 0)
	w.submit(a)
	if j.txs != 1 {
		t.Error("answered before the journal had it")
	}
	j.mu.Lock()
	j.full = true
	j.mu.Unlock()
	if err := w.submitOne(w.tx(1, 1, plain, 0)); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("promised without a journal: %v", err)
	}
	w.await(chainview.Accepted, a)
}
