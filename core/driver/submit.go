package driver

import (
	"context"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Submit admits a validated transaction: when it returns nil the pool, and the journal if there is one, have it. The
// errors of package pool come wrapped, not changed. It owns tx and class afterwards.
func (n *Driver) Submit(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class) error {
	if len(tx.Hash) != len(mempool.Key{}) || len(tx.Sender) != len(mempool.Key{}) {
		return fmt.Errorf("submit: %w: hash or sender is not 32 bytes", mempool.ErrMalformed)
	}
	nonce, err := n.accountNonce(ctx, tx)
	if err != nil {
		return err
	}
	return n.admit(tx, class, nonce)
}

// SubmitAt is Submit for a caller who knows the sender's nonce at the tip: a Validate verdict tells it.
func (n *Driver) SubmitAt(tx *ordov1.Transaction, class *ordov1.Class, accountNonce []byte) error {
	nonce, ok := mempool.Nonce(accountNonce)
	if !ok {
		return fmt.Errorf("submit: account nonce 0x%x is out of range", accountNonce)
	}
	return n.admit(tx, class, nonce)
}

func (n *Driver) admit(tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	if n.ctx.Err() != nil {
		return ErrStopped
	}
	if n.options.Journal != nil {
		n.mu.Lock()
		err := n.pool.Refuses(tx, class, accountNonce)
		n.mu.Unlock()
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
	}
	if err := n.promised(tx, class); err != nil {
		return err
	}
	n.mu.Lock()
	_, dropped, err := n.pool.Add(n.now(), tx, class, accountNonce)
	n.left(dropped)
	if err == nil {
		n.chain.Received(tx)
	}
	n.mu.Unlock()
	n.logLeft(dropped)
	if err != nil {
		n.unpromise(mempool.Key(tx.Hash))
		return fmt.Errorf("submit: %w", err)
	}
	n.ring()
	return nil
}

// accountNonce is the sender's nonce after the last decided block. An account that the pool knows needs no look-up: the
// pool follows every block.
func (n *Driver) accountNonce(ctx context.Context, tx *ordov1.Transaction) (uint64, error) {
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return 0, nil
	}
	sender := mempool.Key(tx.Sender)
	n.mu.Lock()
	_, known := n.pool.NextNonce(sender)
	n.mu.Unlock()
	if known {
		return 0, nil
	}
	value, decided := n.chain.DecidedNonce(sender)
	if !decided {
		state, err := n.read.State(ctx, &ordov1.StateRequest{Nonces: tx.Sender})
		if err != nil {
			return 0, fmt.Errorf("submit: storage: nonce of the sender: %w", err)
		}
		if len(state.Nonces) == len(value) {
			value = mempool.Key(state.Nonces)
		}
	}
	nonce, ok := mempool.Nonce(value[:])
	if !ok {
		return 0, fmt.Errorf("submit: storage: the sender's nonce 0x%x is out of range", value)
	}
	return nonce, nil
}

// Deploying says whether a DEPLOY_ACCOUNT of this account waits or is being executed.
func (n *Driver) Deploying(account []byte) bool {
	if len(account) != len(mempool.Key{}) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pool.Deploying(mempool.Key(account))
}

// NextNonce is the nonce that the next transaction of an account should have when it follows all that waits here; ok is
// false for an account that the pool knows nothing of.
func (n *Driver) NextNonce(account []byte) (nonce uint64, ok bool) {
	if len(account) != len(mempool.Key{}) {
		return 0, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pool.NextNonce(mempool.Key(account))
}

// Next is the context of the open block, or of the one that would be opened next.
func (n *Driver) Next() *ordov1.BlockContext { return n.chain.Next() }

// Waiting is one line of what the pool holds.
type Waiting struct {
	Hash  mempool.Key
	Tx    *ordov1.Transaction
	State string // for people
}

// Pending is how many transactions wait. It takes no time, however many they are.
func (n *Driver) Pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pool.Len()
}

// Waiting lists the pool in order of arrival.
func (n *Driver) Waiting() []Waiting {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []Waiting
	for _, e := range n.pool.Snapshot() {
		all = append(all, Waiting{e.Hash, e.Tx, n.pool.State(e)})
	}
	return all
}

// Demand asks for a block now, also an empty one, and returns it when its root is known. Each demand gets a block of its
// own, in the order of asking.
func (n *Driver) Demand(ctx context.Context) (number uint64, hash []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if number, err = n.demandOne(ctx); err != nil {
		return 0, nil, err
	}
	var latest *ordov1.BlockHeader
	if n.chain.Await(ctx, func() bool { latest = n.chain.Latest(); return latest.Context.Number >= number }) != nil {
		return 0, nil, n.stopped(ctx, "demand")
	}
	if latest.Context.Number == number {
		return number, latest.Hash, nil
	}
	block, err := n.block(ctx, number, false) // others came after it already
	if err != nil {
		return 0, nil, fmt.Errorf("demand: %w", err)
	}
	return number, block.Header.Hash, nil
}

// demandOne returns when the block is decided. Demands go one at a time: consensus may well answer several with one block.
func (n *Driver) demandOne(ctx context.Context) (number uint64, err error) {
	select {
	case n.demanding <- struct{}{}:
		defer func() { <-n.demanding }()
	case <-ctx.Done():
		return 0, n.stopped(ctx, "demand")
	}
	asked := make(chan uint64, 1)
	n.inbox.push(letter{input: pipeline.Demanded{}, then: func(m *pipeline.Machine) { asked <- m.Height() }})
	select {
	case number = <-asked:
	case <-ctx.Done():
		return 0, n.stopped(ctx, "demand")
	}
	if n.chain.Await(ctx, func() bool { return n.chain.Next().Number > number }) != nil {
		return 0, n.stopped(ctx, "demand")
	}
	return number, nil
}

func (n *Driver) stopped(ctx context.Context, what string) error {
	if n.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ErrStopped)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}
