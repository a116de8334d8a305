package driver

import (
	"context"
	"fmt"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// SubmitAt admits a validated transaction: when it returns nil the pool, and the journal if there is one, have it. accountNonce is
// the sender's nonce at the tip, as the verdict of Validate tells it. The errors of package mempool come wrapped, not changed.
// SubmitAt owns tx and class afterwards.
func (d *Driver) SubmitAt(_ context.Context, tx *ordov1.Transaction, class *ordov1.Class, accountNonce uint64) error {
	if d.ctx.Err() != nil {
		return ErrStopped
	}
	if d.options.Journal != nil { // a transaction that the pool rejects costs no write
		d.pool.mu.Lock()
		err := d.pool.AddError(tx, class, accountNonce)
		d.pool.mu.Unlock()
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
	}
	if err := d.journal.admit(tx, class); err != nil {
		return err
	}
	d.pool.mu.Lock()
	_, dropped, err := d.pool.Add(d.now(), tx, class, accountNonce)
	d.reportDropped(dropped)
	if err == nil {
		d.chain.Received(tx)
	}
	d.pool.mu.Unlock()
	d.observeDropped(dropped)
	if err != nil {
		d.journal.drop(mempool.Key(tx.Hash))
		return fmt.Errorf("submit: %w", err)
	}
	d.ordering.wake()
	return nil
}

// Deploying tells whether a DEPLOY_ACCOUNT of this account waits or is being executed.
func (d *Driver) Deploying(account []byte) bool {
	if len(account) != len(mempool.Key{}) {
		return false
	}
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return d.pool.Deploying(mempool.Key(account))
}

// Waiting is one line of what the pool holds.
type Waiting struct {
	Hash  mempool.Key
	Tx    *ordov1.Transaction
	Class *ordov1.Class // of a DECLARE
	State string        // for people
}

// Pending is how many transactions wait, in constant time.
func (d *Driver) Pending() int {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return d.pool.Len()
}

// Waiting lists the pool in order of arrival.
func (d *Driver) Waiting() []Waiting {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	var all []Waiting
	for _, e := range d.pool.Snapshot() {
		all = append(all, Waiting{e.Hash, e.Tx, e.Class, d.pool.State(e)})
	}
	return all
}

// CreateBlock asks for a block now, also an empty one, and returns it when its root is known. Each call gets a block of its own,
// in the order of the calls.
func (d *Driver) CreateBlock(ctx context.Context) (number uint64, hash []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if number, err = d.createOne(ctx); err != nil {
		return 0, nil, err
	}
	var latest *ordov1.BlockHeader
	if d.chain.Await(ctx, func() bool { latest = d.chain.Latest(); return latest.Context.Number >= number }) != nil {
		return 0, nil, d.stopped(ctx, "create block")
	}
	if latest.Context.Number == number {
		return number, latest.Hash, nil
	}
	block, err := d.read.block(ctx, number, false) // others came after it already
	if err != nil {
		return 0, nil, fmt.Errorf("create block: %w", err)
	}
	return number, block.Header.Hash, nil
}

// createOne returns when the block is decided. Calls go one at a time: consensus may well answer several with one block.
func (d *Driver) createOne(ctx context.Context) (number uint64, err error) {
	select {
	case d.creating <- struct{}{}:
		defer func() { <-d.creating }()
	case <-ctx.Done():
		return 0, d.stopped(ctx, "create block")
	}
	asked := make(chan uint64, 1)
	d.inbox.push(inboxMsg{input: pipeline.BlockRequested{}, then: func(m *pipeline.Machine) { asked <- m.Height() }})
	select {
	case number = <-asked:
	case <-ctx.Done():
		return 0, d.stopped(ctx, "create block")
	}
	if d.chain.Await(ctx, func() bool { return d.chain.Next().Number > number }) != nil {
		return 0, d.stopped(ctx, "create block")
	}
	return number, nil
}

func (d *Driver) stopped(ctx context.Context, what string) error {
	if d.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ErrStopped)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}
