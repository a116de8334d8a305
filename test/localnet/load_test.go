package localnet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/client"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// load sends transfers to a network until it is stopped, and keeps what was acknowledged. Each account has one transaction on its way: the next
// one is sent when the one before is accepted at any node.
type load struct {
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	holding chan struct{}  // closed when senders may go on; nil: they were never held
	targets []client.Node  // that transactions are sent to
	readers []client.Node  // that are asked for them
	acked   []string       // hashes, in the order of their answers
	nonces  map[int]uint64 // by account: transactions that are acknowledged
	refused map[string]int // answers that were errors, by their text
}

// pause is how long a sender waits before it asks or tries again.
const pause = 40 * time.Millisecond

// answerTime is how long a node may take for an answer before another one is asked.
const answerTime = 5 * time.Second

func startLoad(ctx context.Context, nodes []client.Node, accounts int) *load {
	l := &load{targets: nodes, readers: nodes, nonces: make(map[int]uint64), refused: make(map[string]int)}
	ctx, l.stop = context.WithCancel(ctx)
	for i, a := range genesis.Accounts(0, accounts) {
		l.work.Go(func() { l.send(ctx, i, client.NewAccount(a, chainID)) })
	}
	return l
}

// end stops the senders, and waits for them.
func (l *load) end() {
	l.stop()
	l.work.Wait()
}

// hold has the senders wait before their next transaction; release lets them go on.
func (l *load) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	holding := make(chan struct{})
	l.holding = holding
	return sync.OnceFunc(func() { close(holding) })
}

// held waits while the senders are held.
func (l *load) held(ctx context.Context) {
	l.mu.Lock()
	holding := l.holding
	l.mu.Unlock()
	if holding != nil {
		select {
		case <-holding:
		case <-ctx.Done():
		}
	}
}

// to names the nodes that transactions are sent to from now on, and those that are asked.
func (l *load) to(targets, readers []client.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.targets, l.readers = slices.Clone(targets), slices.Clone(readers)
}

func (l *load) pick(turn int, readers bool) client.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.targets
	if readers {
		list = l.readers
	}
	return list[turn%len(list)]
}

// acknowledged are the hashes so far.
func (l *load) acknowledged() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked)
}

// send sends the transactions of one account.
func (l *load) send(ctx context.Context, account int, a *client.Account) {
	for nonce := uint64(0); ctx.Err() == nil; nonce++ {
		tx := a.Invoke(nonce, client.Transfer(genesis.STRKAddress(), felt.FromUint64(uint64(700+account)), 1))
		if l.held(ctx); !l.submit(ctx, account, tx) {
			return
		}
		l.mu.Lock()
		l.acked = append(l.acked, tx.ID())
		l.nonces[account] = nonce + 1
		l.mu.Unlock()
		l.accepted(ctx, account, tx.ID())
	}
}

// submit sends a transaction until a node says that it has it. An error does not say that it has not: the answer of a node that is killed is lost.
func (l *load) submit(ctx context.Context, turn int, tx *client.Tx) bool {
	for try := turn; ; try++ {
		limited, cancel := context.WithTimeout(ctx, answerTime)
		hash, err := l.pick(try, false).Submit(limited, tx)
		cancel()
		if err == nil && hash == tx.ID() {
			return true
		}
		if said := (*client.Error)(nil); errors.As(err, &said) {
			l.mu.Lock()
			l.refused[said.Message]++
			l.mu.Unlock()
		}
		if try > turn && l.known(ctx, try, tx.ID()) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func (l *load) known(ctx context.Context, turn int, hash string) bool {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := l.pick(turn, true).Status(limited, hash)
	return err == nil && s.Finality != "" && s.Finality != "REJECTED"
}

// accepted waits until a node has the transaction in a block with a root.
func (l *load) accepted(ctx context.Context, turn int, hash string) {
	for try := turn; ctx.Err() == nil; try++ {
		limited, cancel := context.WithTimeout(ctx, answerTime)
		s, err := l.pick(try, true).Status(limited, hash)
		cancel()
		if err == nil && s.Finality == "ACCEPTED_ON_L2" {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
