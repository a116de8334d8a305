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
func (d *Driver) Submit(ctx context.Context, tx *ordov1.Transaction, class *ordov1.Class) error {
	if len(tx.Hash) != len(mempool.Key{}) || len(tx.Sender) != len(mempool.Key{}) {
		return fmt.Errorf("submit: %w: hash or sender is not 32 bytes", mempool.ErrMalformed)
	}
	nonce, err := d.accountNonce(ctx, tx)
	if err != nil {
		return err
	}
	return d.admit(tx, class, nonce)
}

// SubmitAt is Submit for a caller who knows the sender's nonce at the tip: a Validate verdict tells it.
func (d *Driver) SubmitAt(tx *ordov1.Transaction, class *ordov1.Class, accountNonce []byte) error {
	nonce, ok := mempool.Nonce(accountNonce)
	if !ok {
		return fmt.Errorf("submit: account nonce 0x%x is out of range", accountNonce)
	}
	return d.admit(tx, class, nonce)
}

func (d *Driver) admit(tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	if d.ctx.Err() != nil {
		return ErrStopped
	}
	if d.options.Journal != nil {
		d.mu.Lock()
		err := d.pool.AddError(tx, class, accountNonce)
		d.mu.Unlock()
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
	}
	if err := d.journalAdmit(tx, class); err != nil {
		return err
	}
	d.mu.Lock()
	_, dropped, err := d.pool.Add(d.now(), tx, class, accountNonce)
	d.reportDropped(dropped)
	if err == nil {
		d.chain.Received(tx)
	}
	d.mu.Unlock()
	d.logDropped(dropped)
	if err != nil {
		d.journalDrop(mempool.Key(tx.Hash))
		return fmt.Errorf("submit: %w", err)
	}
	d.wakeScorer()
	return nil
}

// accountNonce is the sender's nonce after the last decided block. An account that the pool knows needs no look-up: the
// pool follows every block.
func (d *Driver) accountNonce(ctx context.Context, tx *ordov1.Transaction) (uint64, error) {
	if tx.Type == ordov1.TransactionType_L1_HANDLER {
		return 0, nil
	}
	sender := mempool.Key(tx.Sender)
	d.mu.Lock()
	_, known := d.pool.NextNonce(sender)
	d.mu.Unlock()
	if known {
		return 0, nil
	}
	value, decided := d.chain.DecidedNonce(sender)
	if !decided {
		state, err := d.read.State(ctx, &ordov1.StateRequest{Nonces: tx.Sender})
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
func (d *Driver) Deploying(account []byte) bool {
	if len(account) != len(mempool.Key{}) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pool.Deploying(mempool.Key(account))
}

// NextNonce is the nonce that the next transaction of an account should have when it follows all that waits here; ok is
// false for an account that the pool knows nothing of.
func (d *Driver) NextNonce(account []byte) (nonce uint64, ok bool) {
	if len(account) != len(mempool.Key{}) {
		return 0, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pool.NextNonce(mempool.Key(account))
}

// Next is the context of the open block, or of the one that would be opened next.
func (d *Driver) Next() *ordov1.BlockContext { return d.chain.Next() }

// Waiting is one line of what the pool holds.
type Waiting struct {
	Hash  mempool.Key
	Tx    *ordov1.Transaction
	State string // for people
}

// Pending is how many transactions wait. It takes no time, however many they are.
func (d *Driver) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pool.Len()
}

// Waiting lists the pool in order of arrival.
func (d *Driver) Waiting() []Waiting {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Waiting
	for _, e := range d.pool.Snapshot() {
		all = append(all, Waiting{e.Hash, e.Tx, d.pool.State(e)})
	}
	return all
}

// CreateBlock asks for a block now, also an empty one, and returns it when its root is known. Each demand gets a block of its
// own, in the order of asking.
func (d *Driver) CreateBlock(ctx context.Context) (number uint64, hash []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if number, err = d.createOne(ctx); err != nil {
		return 0, nil, err
	}
	var latest *ordov1.BlockHeader
	if d.chain.Await(ctx, func() bool { latest = d.chain.Latest(); return latest.Context.Number >= number }) != nil {
		return 0, nil, d.stopped(ctx, "demand")
	}
	if latest.Context.Number == number {
		return number, latest.Hash, nil
	}
	block, err := d.block(ctx, number, false) // others came after it already
	if err != nil {
		return 0, nil, fmt.Errorf("demand: %w", err)
	}
	return number, block.Header.Hash, nil
}

// createOne returns when the block is decided. Demands go one at a time: consensus may well answer several with one block.
func (d *Driver) createOne(ctx context.Context) (number uint64, err error) {
	select {
	case d.creating <- struct{}{}:
		defer func() { <-d.creating }()
	case <-ctx.Done():
		return 0, d.stopped(ctx, "demand")
	}
	asked := make(chan uint64, 1)
	d.inbox.push(inboxMsg{input: pipeline.BlockRequested{}, then: func(m *pipeline.Machine) { asked <- m.Height() }})
	select {
	case number = <-asked:
	case <-ctx.Done():
		return 0, d.stopped(ctx, "demand")
	}
	if d.chain.Await(ctx, func() bool { return d.chain.Next().Number > number }) != nil {
		return 0, d.stopped(ctx, "demand")
	}
	return number, nil
}

func (d *Driver) stopped(ctx context.Context, what string) error {
	if d.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ErrStopped)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}
