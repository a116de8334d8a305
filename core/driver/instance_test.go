package driver

import (
	"errors"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// load submits chains of nonces from several clients, which try again when they get no promise.
func (m *restartable) load(accounts, nonces uint64, pause time.Duration) (txs []*ordov1.Transaction, wait func()) {
	for nonce := range nonces {
		for account := range accounts {
			txs = append(txs, m.tx(account+1, nonce, nonce%3*reverts%2, 0))
		}
	}
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for j := i; j < len(txs); j += 4 {
				m.insist(txs[j])
				time.Sleep(pause)
			}
		})
	}
	return txs, clients.Wait
}

// insist submits until there is a promise.
func (m *restartable) insist(tx *ordov1.Transaction) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		err := m.submitOne(tx)
		if err == nil || errors.Is(err, mempool.ErrDuplicate) || errors.Is(err, mempool.ErrNonceTooOld) {
			return
		}
		if errors.Is(err, ErrStopped) || time.Now().After(end) {
			m.t.Errorf("submit: %v; node: %v", err, m.node.Err())
			return
		}
	}
}

// once checks that all are in the chain, each once, in the order of their nonces.
func (m *restartable) once(txs []*ordov1.Transaction) {
	m.t.Helper()
	m.storage.Mu.Lock()
	defer m.storage.Mu.Unlock()
	found, next, where := map[mempool.Key]int{}, map[mempool.Key]uint64{}, map[mempool.Key][]uint64{}
	for _, b := range m.storage.Stored {
		for _, tx := range b.Transactions {
			found[mempool.Key(tx.Hash)]++
			where[mempool.Key(tx.Hash)] = append(where[mempool.Key(tx.Hash)], b.Header.Context.Number)
			if tx.Type == ordov1.TransactionType_L1_HANDLER {
				continue
			}
			sender := mempool.Key(tx.Sender)
			if nonce, _ := mempool.Nonce(tx.Nonce); nonce != next[sender] {
				m.t.Errorf("block %d: nonce %d of %s comes after %d", b.Header.Context.Number, nonce, mempool.Hex(sender), next[sender])
			}
			next[sender]++
		}
	}
	for hash, n := range found {
		if n > 1 {
			m.t.Errorf("%s is in the chain %d times, in blocks %v", mempool.Hex(hash), n, where[hash])
		}
	}
	for _, tx := range txs {
		if n := found[mempool.Key(tx.Hash)]; n != 1 {
			m.t.Errorf("nonce %x of %x is in the chain %d times", tx.Nonce[31:], tx.Sender[30:], n)
		}
	}
}

// Every stage's plugin ends again and again under load: nothing is lost, nothing comes twice, and what clients were shown is in the
// block, in the same order.
func TestBlocksGoOnWhenStagesCrash(t *testing.T) {
	for _, seed := range []int64{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) { blocksGoOn(t, seed) })
	}
}

func blocksGoOn(t *testing.T, seed int64) {
	m := newRestartable(t)
	m.slow = 200 * time.Microsecond
	n := m.up()
	eyes := watchChain(t, n.Chain())
	r := rand.New(rand.NewSource(seed))
	txs, wait := m.load(6, 60, 4*time.Millisecond)
	for range 40 {
		time.Sleep(time.Duration(10+r.Intn(50)) * time.Millisecond)
		m.restart(all[r.Intn(len(all))])
	}
	wait()
	m.await(chainview.Accepted, txs...)
	if n.Err() != nil {
		t.Fatal(n.Err())
	}
	m.chainIsSound()
	m.once(txs)
	eyes.kept(t, m.storage.Stored)
	for _, h := range n.Health() {
		if h.Down || h.Generation != m.generations[h.Stage] {
			t.Errorf("health: %+v, generation %d", h, m.generations[h.Stage])
		}
	}
}

// An execution that hangs is suspected, and the block goes on in the next instance.
func TestExecutionHangs(t *testing.T) {
	m := newRestartable(t)
	m.options.BuildStall = 100 * time.Millisecond
	n := m.up()
	eyes := watchChain(t, n.Chain())
	txs := []*ordov1.Transaction{m.tx(1, 0, plain, 0), m.tx(2, 0, hangs, 0), m.tx(1, 1, plain, 0)}
	m.submit(txs...)
	m.await(chainview.Accepted, txs...)
	eyes.kept(t, m.storage.Stored)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.suspects) == 0 || !strings.Contains(m.suspects[0], "execution: no result of what it was given to run for 100ms") {
		t.Errorf("suspected: %q", m.suspects)
	}
}

// A transaction that ends its process is found and dropped with its reason; the others go on.
func TestTransactionThatCrashesExecutionIsDropped(t *testing.T) {
	m := newRestartable(t)
	n := m.up()
	killer, after := m.tx(2, 0, kills, 0), m.tx(2, 1, plain, 0)
	var others []*ordov1.Transaction
	for nonce := range uint64(5) {
		others = append(others, m.tx(1, nonce, plain, 0), m.tx(3, nonce, plain, 0))
	}
	m.submit(others[:5]...)
	m.submit(killer, after)
	m.submit(others[5:]...)
	m.await(chainview.Accepted, others...)
	m.await(chainview.Dropped, killer)
	if why := n.Chain().Status(mempool.Key(killer.Hash)).Why; !strings.Contains(why.Error(), "times while running this transaction") {
		t.Errorf("dropped because: %v", why)
	}
	better := m.tx(2, 0, plain, 1)
	m.submit(better)
	m.await(chainview.Accepted, better, after)
	m.chainIsSound()
	if ends := m.generations[ordov1.Stage_STAGE_EXECUTION] - 1; ends > 5 {
		t.Errorf("it took %d ends of the process", ends)
	}
}

// Storage without room: blocks stop, the node goes on serving, says why, and resumes.
func TestBlocksWaitForSpaceInStorage(t *testing.T) { synctest.Test(t, blocksWaitForSpace) }

func blocksWaitForSpace(t *testing.T) {
	m := newRestartable(t)
	n := m.up()
	m.storage.Mu.Lock()
	m.storage.Full = true
	m.storage.Mu.Unlock()
	first := m.tx(1, 0, plain, 0)
	m.submit(first)
	m.await(chainview.PreConfirmed, first)
	time.Sleep(time.Second)
	synctest.Wait()
	if h := n.Health()[2]; h.Down || !strings.Contains(h.Why, "make room") {
		t.Errorf("health: %+v", h)
	}
	second := m.tx(1, 1, plain, 0)
	m.submit(second)
	synctest.Wait()
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
	if got := n.Chain().Status(mempool.Key(second.Hash)).Status; got != chainview.Received {
		t.Errorf("a block is built though storage has no room: %s", got)
	}
	m.storage.Mu.Lock()
	m.storage.Full = false
	m.storage.Mu.Unlock()
	m.await(chainview.Accepted, first, second)
	if h := n.Health()[2]; h.Why != "" || n.Err() != nil {
		t.Errorf("health: %+v, %v", h, n.Err())
	}
}

// A stage cannot be back before it is lost, and a storage that lost blocks is not taken back.
func TestAnInstanceThatCannotBeUsedIsRejected(t *testing.T) {
	m := newRestartable(t)
	n := m.up()
	if err := n.StageUp(ordov1.Stage_STAGE_ORDERING, Instance{}); err == nil || !strings.Contains(err.Error(), "was not lost") {
		t.Errorf("back without loss: %v", err)
	}
	if err := n.StageUp(99, Instance{}); err == nil {
		t.Error("an unknown stage is back")
	}
	tx := m.tx(1, 0, plain, 0)
	m.submit(tx)
	m.await(chainview.Accepted, tx)
	n.StageDown(ordov1.Stage_STAGE_STORAGE, errors.New("killed"), true)
	n.StageDown(ordov1.Stage_STAGE_STORAGE, errors.New("killed again"), true)
	m.storage.Mu.Lock()
	m.storage.Stored = m.storage.Stored[:1]
	m.storage.Mu.Unlock()
	if err := n.StageUp(ordov1.Stage_STAGE_STORAGE, Instance{Generation: 2}); err != nil {
		t.Fatal(err)
	}
	stopsWith(t, n, "storage came back at block 0")
}
