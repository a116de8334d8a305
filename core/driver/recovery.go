package driver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// restart brings journal, storage and pool together again: what storage has is settled, what waits is in the pool in order
// of admission, what was decided is to be built again, and the order of the open block is kept.
func (d *Driver) restart(ctx context.Context, at *ordov1.HeadResponse, head *pipeline.Head) error {
	j, r := d.options.Journal, d.options.Recovery
	if j == nil || r == nil {
		return nil
	}
	if r.Torn != nil {
		d.log.Warn("the journal ended in the middle of a write that nobody was told of", "torn", r.Torn.String())
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

// sameChain refuses a journal and a storage that come from two chains: what one promised is not in the other, and blocks
// that were decided would be built again on a foreign state. A journal that does not know its chain yet learns it.
func (d *Driver) sameChain(ctx context.Context, at *ordov1.HeadResponse, r *journal.Recovery) error {
	const remedy = "journal and storage are of two chains: put the folders of one data folder together again, or move the folder journal away and lose what waits in it"
	zero, err := d.block(ctx, 0, false)
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
		b, err := d.block(ctx, one.Height, false)
		if err != nil {
			return err
		}
		if !bytes.Equal(b.Header.PartialHash, one.Block) {
			return fmt.Errorf("block %d of storage is 0x%x, the journal saw 0x%x decided there: %s", one.Height, b.Header.PartialHash, one.Block, remedy)
		}
		break
	}
	if len(r.Genesis) > 0 {
		return nil
	}
	return d.options.Journal.Mark(journal.Step{Kind: journal.Founded, Block: zero.Header.Hash})
}

// reconcile settles what storage committed and the journal had no time to note.
func (d *Driver) reconcile(ctx context.Context, at *ordov1.HeadResponse, r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting) error {
	for height := max(1, r.Heads.Committed); height <= at.Height && len(waiting) > 0; height++ {
		b, err := readBlock(ctx, d.read, height, true)
		if err == nil && b == nil {
			err = errors.New("it is missing: the store is damaged: restore a backup")
		}
		if err != nil {
			return fmt.Errorf("storage: block %d: %w", height, err)
		}
		var settled []mempool.Key
		for _, tx := range b.Transactions {
			if hash := mempool.Key(tx.Hash); waiting[hash] != nil {
				settled = append(settled, hash)
				delete(waiting, hash)
			}
		}
		if err := d.options.Journal.Release(settled...); err != nil {
			return err
		}
	}
	for _, kind := range []journal.Kind{journal.Committed, journal.Accepted} {
		height := at.Height
		if kind == journal.Accepted {
			height = at.RootHeight
		}
		if err := d.options.Journal.Mark(journal.Step{Kind: kind, Height: height}); err != nil {
			return err
		}
	}
	return nil
}

// nonceBatch is how many nonces are asked for together.
const nonceBatch = 1024

// refill puts what waits into the pool, in order of admission. They were taken in before: no limit refuses them now.
func (d *Driver) refill(ctx context.Context, r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting) error {
	nonces := map[mempool.Key]uint64{}
	var ask []byte
	flush := func() error {
		if len(ask) == 0 {
			return nil
		}
		state, err := d.read.State(ctx, &ordov1.StateRequest{Nonces: ask})
		if err != nil {
			return fmt.Errorf("storage: nonces of those who wait: %w", err)
		}
		if len(state.Nonces) != len(ask) {
			return fmt.Errorf("storage: %d bytes of nonces for %d accounts", len(state.Nonces), len(ask)/felt.Size)
		}
		for i := 0; i < len(ask); i += felt.Size {
			nonce, ok := mempool.Nonce(state.Nonces[i:][:felt.Size])
			if !ok {
				return fmt.Errorf("storage: the nonce of 0x%x is out of range", ask[i:][:felt.Size])
			}
			nonces[mempool.Key(ask[i:][:felt.Size])] = nonce
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
	d.mu.Lock()
	defer d.mu.Unlock()
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
		d.logDropped(dropped)
		if err != nil {
			continue
		}
		back++
		d.chain.Received(w.Tx)
	}
	if back > 0 {
		d.log.Info("transactions admitted before the restart wait again", "count", back)
		d.wakeScorer()
	}
	return nil
}

// redecide reads what was decided, and in which order the open block was built.
func (d *Driver) redecide(r *journal.Recovery, waiting map[mempool.Key]*journal.Waiting, head *pipeline.Head) error {
	open := make(map[uint64]*journal.Height, len(r.Heights))
	for i := range r.Heights {
		open[r.Heights[i].Number] = &r.Heights[i]
	}
	height := head.Height + 1
	for ; open[height] != nil && len(open[height].Decided) > 0; height++ {
		one, err := decodeDecided(open[height], waiting)
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

func decodeDecided(h *journal.Height, waiting map[mempool.Key]*journal.Waiting) (*pipeline.Decided, error) {
	note := &ordov1.CommitRequest{}
	if err := proto.Unmarshal(h.Note, note); err != nil {
		return nil, err
	}
	if note.Header.GetContext().GetNumber() != h.Number {
		return nil, fmt.Errorf("its note is of block %d", note.Header.GetContext().GetNumber())
	}
	one := &pipeline.Decided{Context: note.Header.Context, Value: h.Decided, Round: note.Header.Round, Degraded: note.Header.Degraded, Certificate: note.Certificate}
	classes := map[string]*ordov1.Class{}
	for _, class := range note.Classes {
		classes[string(class.Hash)] = class
	}
	for _, tx := range note.Transactions {
		if len(tx.Hash) != felt.Size {
			return nil, errors.New("a hash in its note is not 32 bytes")
		}
		item := pipeline.Item{Tx: tx}
		if tx.Type != ordov1.TransactionType_TRANSACTION_TYPE_UNSPECIFIED {
			// Another node proposed it. What waits here under the same hash may have another signature.
			one.FromPeer = true
			if tx.Type == ordov1.TransactionType_DECLARE {
				item.Class = classes[string(tx.ClassHash)]
			}
		} else if w := waiting[mempool.Key(tx.Hash)]; w != nil {
			item = pipeline.Item{Tx: w.Tx, Class: w.Class}
		} else {
			return nil, fmt.Errorf("transaction 0x%x is not in the journal", tx.Hash)
		}
		one.Items = append(one.Items, item)
	}
	return one, nil
}

func decodeOrder(b []byte, waiting map[mempool.Key]*journal.Waiting) (*pipeline.Order, error) {
	size, used := binary.Uvarint(b)
	if used <= 0 || size > uint64(len(b)-used) || (uint64(len(b)-used)-size)%felt.Size != 0 {
		return nil, errors.New("it is malformed")
	}
	o := &pipeline.Order{Context: &ordov1.BlockContext{}}
	if err := proto.Unmarshal(b[used:][:size], o.Context); err != nil {
		return nil, err
	}
	for b = b[uint64(used)+size:]; len(b) > 0; b = b[felt.Size:] {
		hash := mempool.Key(b[:felt.Size])
		if w := waiting[hash]; w != nil { // else it was rejected, or dropped
			o.Items = append(o.Items, pipeline.Item{Tx: w.Tx, Class: w.Class})
		}
		o.Degraded = o.Degraded || hash == degraded
	}
	return o, nil
}
