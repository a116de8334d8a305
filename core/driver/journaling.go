package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// ErrNoRoom is why SubmitAt rejects a transaction when the disk of the journal is full. The next one may be taken.
var ErrNoRoom = errors.New("the disk of the journal is full: make room")

// journaling makes durable what the node promises: admissions, decisions, the order of the open block. Without a journal it does
// nothing, and says so to the machine at once.
type journaling struct {
	port    port
	log     hclog.Logger
	ctx     context.Context
	journal Journal // nil: none
	orders  *orders

	// The fields below are the loop's.
	decided  map[uint64]chan struct{} // decisions on their way to the journal, by height; closed when durable
	accepted uint64                   // the newest block that the journal knows to be accepted
	recorded uint64                   // height of the order that was given to the journal last, before it was executed
}

// admit makes a transaction durable before its sender is told that it is admitted.
func (j *journaling) admit(tx *ordov1.Transaction, class *ordov1.Class) error {
	if j.journal == nil {
		return nil
	}
	err := j.journal.Admit(tx, class)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrPoisoned):
		j.port.halt("journal", err)
	case errors.Is(err, journal.ErrClosed):
		return ErrStopped
	case noSpace(err):
		return fmt.Errorf("submit: %w: %w", ErrNoRoom, err)
	}
	return fmt.Errorf("submit: journal: %w", err)
}

// drop releases one admission of a transaction.
func (j *journaling) drop(hash mempool.Key) {
	if j.journal != nil {
		j.check(j.journal.Drop(hash))
	}
}

// mark notes a step that needs no waiting: the stages tell it again after a crash.
func (j *journaling) mark(step journal.Step) {
	if j.journal != nil {
		j.check(j.journal.Mark(step))
	}
}

// check halts the node when the journal has failed.
func (j *journaling) check(err error) {
	if err != nil && !errors.Is(err, journal.ErrClosed) {
		j.port.halt("journal", err)
	}
}

// stored notes that storage has a block.
func (j *journaling) stored(c pipeline.Stored) {
	delete(j.decided, c.Height)
	if j.journal == nil {
		return
	}
	hashes := make([]mempool.Key, len(c.Items))
	for i, item := range c.Items {
		hashes[i] = mempool.Key(item.Tx.Hash)
	}
	j.check(j.journal.Release(hashes...))
	j.mark(journal.Step{Kind: journal.Committed, Height: c.Height})
}

// accept notes that all blocks up to a height are stored and accepted. A root may well come before the answer to its Commit: the
// caller passes the height that both have reached.
func (j *journaling) accept(height uint64) {
	if height > j.accepted {
		j.accepted = height
		j.mark(journal.Step{Kind: journal.Accepted, Height: height})
	}
}

// retryUntilSpace repeats what the disk of the journal has no room for until it has. What has failed is kept there and goes with
// the next one, so the repetition may be less than the first try.
func (j *journaling) retryUntilSpace(first, again func() error) (ok bool) {
	err := first()
	for wait, told := firstRoomPause, false; err != nil; wait = min(2*wait, lastRoomPause) {
		if !noSpace(err) {
			j.check(err)
			return false
		}
		if !told {
			told = true
			j.log.Error("the disk of the journal is full: no blocks are made until there is room; reads go on", "error", err)
		}
		pause(j.ctx, wait)
		if j.ctx.Err() != nil {
			return false
		}
		err = again()
	}
	return true
}

// persist keeps data of consensus, beside the loop.
func (j *journaling) persist(c pipeline.Persist) {
	if j.journal == nil {
		j.port.post(pipeline.Persisted{})
		return
	}
	first, again := func() error { return j.journal.Persist(c.Height, c.Data) }, func() error { return j.journal.Persist(c.Height, nil) }
	if c.Lasting {
		first = func() error { return j.journal.PersistLasting(c.Data) }
		again = first
	}
	j.port.spawn(func() {
		if j.retryUntilSpace(first, again) {
			j.port.post(pipeline.Persisted{})
		}
	})
}

// decide makes a decision durable, beside the loop; the block goes to storage afterwards.
func (j *journaling) decide(c pipeline.Commit) {
	if j.journal == nil || c.Order != nil && j.recorded == c.Height {
		return
	}
	h := c.Header
	what, own := pipeline.Decided{Context: h.Context, Items: c.Items, Value: h.PartialHash, Round: h.Round, Degraded: h.Degraded, Certificate: c.Certificate}, c.Own
	if c.Order != nil {
		what, own = c.Decided(), false
	}
	step := journal.Step{Kind: journal.Decided, Height: c.Height, Block: what.Value, Note: encodeDecided(what, own)}
	marked := make(chan struct{})
	j.decided[c.Height] = marked
	j.port.spawn(func() {
		mark := func() error { return j.journal.Mark(step) }
		if j.retryUntilSpace(mark, mark) {
			close(marked)
		}
	})
}

// encodeDecided is what is needed to build a block again, or to execute an order. The node's own transactions are in the journal and need only a
// name; those of an order may leave it before the block is stored.
func encodeDecided(d pipeline.Decided, own bool) []byte {
	note := &ordov1.CommitRequest{Certificate: d.Certificate, Header: &ordov1.BlockHeader{Context: d.Context, Round: d.Round, Degraded: d.Degraded}}
	if d.Parent != nil {
		noteOrder(note, &d)
	}
	for _, item := range d.Items {
		if own {
			note.Transactions = append(note.Transactions, &ordov1.Transaction{Hash: item.Tx.Hash})
			continue
		}
		note.Transactions = append(note.Transactions, item.Tx)
		if item.Class != nil {
			note.Classes = append(note.Classes, item.Class)
		}
	}
	b, _ := proto.Marshal(note) // fails only on invalid UTF-8 in a string field, and those are ours
	return b
}

func decodeDecided(h *journal.Height, waiting map[mempool.Key]*journal.Waiting, order bool) (*pipeline.Decided, error) {
	note := &ordov1.CommitRequest{}
	if err := proto.Unmarshal(h.Note, note); err != nil {
		return nil, err
	}
	if note.Header.GetContext().GetNumber() != h.Number {
		return nil, fmt.Errorf("its note is of block %d", note.Header.GetContext().GetNumber())
	}
	one := &pipeline.Decided{Context: note.Header.Context, Value: h.Decided, Round: note.Header.Round, Degraded: note.Header.Degraded, Certificate: note.Certificate}
	if order {
		if err := readNote(one); err != nil {
			return nil, err
		}
	}
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

// pause waits for a time, or until the context is done.
func pause(ctx context.Context, span time.Duration) {
	select {
	case <-time.After(span):
	case <-ctx.Done():
	}
}
