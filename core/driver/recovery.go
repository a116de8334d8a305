package driver

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// recover brings journal, storage and pool together after a restart: the journal releases what storage has, the pool gets what waits
// in order of admission, the machine gets what was decided, to be built again, and the order of the open block.
func (d *Driver) recover(ctx context.Context, at *ordov1.HeadResponse, head *pipeline.Head) error {
	j, r := d.options.Journal, d.options.Recovery
	if j == nil || r == nil {
		return nil
	}
	if r.Torn != nil {
		d.log.Warn("the journal ended in the middle of a write that was never confirmed", "torn", r.Torn.String())
	}
	if at.Height+1 < r.Heads.Committed {
		return fmt.Errorf("storage is at block %d, the journal saw it commit block %d: storage has lost blocks: restore its backup, or move the journal away and lose what waits in it", at.Height, r.Heads.Committed-1)
	}
	if err := d.sameChain(ctx, at, r); err != nil {
		return err
	}
	waiting := make(map[mempool.Key]*journal.Waiting, len(r.Transactions))
	for i := range r.Transactions {
		waiting[mempool.Key(r.Transactions[i].Tx.Hash)] = &r.Transactions[i]
	}
	if err := d.reconcile(ctx, at, r, waiting); err != nil {
		return err
	}
	if err := d.refill(ctx, r, waiting); err != nil {
		return err
	}
	return d.redecide(r, waiting, head)
}

// sameChain rejects a journal and a storage that come from two chains: what one promised is not in the other, and blocks that were
// decided would be built again on the state of the other chain. A journal that does not know its chain yet learns it.
func (d *Driver) sameChain(ctx context.Context, at *ordov1.HeadResponse, r *journal.Recovery) error {
	const remedy = "journal and storage are of two chains: put the folders of one data folder together again, or move the folder journal away and lose what waits in it"
	zero, err := d.read.block(ctx, 0, false)
	if err != nil {
		return err
	}
	if len(r.Genesis) > 0 && !bytes.Equal(r.Genesis, zero.Header.Hash) {
		return fmt.Errorf("block 0 of storage is 0x%x, the journal belongs to the chain of block 0 0x%x: %s", zero.Header.Hash, r.Genesis, remedy)
	}
	for _, one := range slices.Backward(r.Decided) {
		if one.Height > at.Height {
			continue
		}
		b, err := d.read.block(ctx, one.Height, false)
		if err != nil {
			return err
		}
		value, _, err := d.decidedAs(b)
		if err != nil {
			return err
		}
		if !bytes.Equal(value, one.Block) {
			return fmt.Errorf("block %d of storage is 0x%x, the journal saw 0x%x decided there: %s", one.Height, value, one.Block, remedy)
		}
		break
	}
	if len(r.Genesis) > 0 {
		return nil
	}
	return d.options.Journal.Mark(journal.Step{Kind: journal.Founded, Block: zero.Header.Hash})
}

// reconcile releases from the journal what storage committed and the journal had no time to note.
func (d *Driver) reconcile(ctx context.Context, at *ordov1.HeadResponse, r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting) error {
	for height := max(1, r.Heads.Committed); height <= at.Height && len(waiting) > 0; height++ {
		b, err := d.read.block(ctx, height, true)
		if err != nil {
			return err
		}
		var released []mempool.Key
		for _, tx := range b.Transactions {
			if hash := mempool.Key(tx.Hash); waiting[hash] != nil {
				released = append(released, hash)
				delete(waiting, hash)
			}
		}
		if err := d.options.Journal.Release(released...); err != nil {
			return err
		}
	}
	for _, kind := range []journal.Kind{journal.Committed, journal.Accepted} {
		height := at.Height
		if kind == journal.Accepted {
			height = at.AcceptedHeight
		}
		if err := d.options.Journal.Mark(journal.Step{Kind: kind, Height: height}); err != nil {
			return err
		}
	}
	return nil
}

// nonceBatch is how many nonces are asked for together.
const nonceBatch = 1024

// refill puts what waits into the pool, in order of admission. The transactions were admitted before: no limit rejects them now.
func (d *Driver) refill(ctx context.Context, r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting) error {
	nonces := map[mempool.Key]uint64{}
	var ask []byte
	flush := func() error {
		if len(ask) == 0 {
			return nil
		}
		state, err := d.read.client.State(ctx, &ordov1.StateRequest{Nonces: ask})
		if err != nil {
			return fmt.Errorf("storage: nonces of the accounts with waiting transactions: %w", err)
		}
		if len(state.Nonces) != len(ask) {
			return fmt.Errorf("storage: %d bytes of nonces for %d accounts", len(state.Nonces), len(ask)/felt.Size)
		}
		answers := state.Nonces
		for sender := range felt.Rows(ask) {
			nonce, ok := mempool.Nonce(answers[:felt.Size])
			if !ok {
				return fmt.Errorf("storage: the nonce of 0x%x is out of range", sender)
			}
			nonces[mempool.Key(sender)], answers = nonce, answers[felt.Size:]
		}
		ask = ask[:0]
		return nil
	}
	for _, w := range r.Transactions {
		if waiting[mempool.Key(w.Tx.Hash)] == nil || w.Tx.Type == ordov1.TransactionType_L1_HANDLER || len(w.Tx.Sender) != felt.Size {
			continue
		}
		sender := mempool.Key(w.Tx.Sender)
		if _, asked := nonces[sender]; !asked {
			nonces[sender] = 0
			ask = append(ask, sender[:]...)
		}
		if len(ask) >= nonceBatch*felt.Size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	back := 0
	for _, w := range r.Transactions {
		hash := mempool.Key(w.Tx.Hash)
		if waiting[hash] == nil {
			continue
		}
		var nonce uint64
		if len(w.Tx.Sender) == felt.Size {
			nonce = nonces[mempool.Key(w.Tx.Sender)]
		}
		_, dropped, err := d.pool.Restore(d.now(), w.Tx, w.Class, nonce)
		if err != nil {
			dropped = append(dropped, mempool.Dropped{Hash: hash, Why: err})
		}
		d.reportDropped(dropped)
		d.observeDropped(dropped)
		if err != nil {
			continue
		}
		back++
		d.chain.Received(w.Tx)
	}
	if back > 0 {
		d.log.Info("transactions admitted before the restart wait again", "count", back)
		d.ordering.wake()
	}
	return nil
}

// redecide reads what was decided, and in which order the open block was built.
func (d *Driver) redecide(r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting, head *pipeline.Head) error {
	head.State = r.Lasting
	open := make(map[uint64]*journal.Height, len(r.Heights))
	for i := range r.Heights {
		open[r.Heights[i].Number] = &r.Heights[i]
	}
	height := head.Height + 1
	for ; open[height] != nil && len(open[height].Decided) > 0; height++ {
		one, err := decodeDecided(open[height], waiting, d.options.Lazy)
		if err != nil {
			return fmt.Errorf("journal: block %d was decided and cannot be built again: %w", height, err)
		}
		head.Decided = append(head.Decided, *one)
	}
	h := open[height]
	if h == nil {
		return nil
	}
	head.Log = h.Log
	if len(h.Order) == 0 {
		return nil
	}
	o, err := decodeOrder(h.Order, waiting)
	if err != nil {
		return fmt.Errorf("journal: the order of block %d: %w", height, err)
	}
	head.Order = o
	d.log.Info("going on after a restart", "block", height, "decided before", len(head.Decided), "transactions under way", len(o.Items))
	return nil
}
