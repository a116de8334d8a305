package driver

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// ErrNoRoom is why Submit refuses when the disk of the journal is full. The next one may be taken.
var ErrNoRoom = errors.New("the disk of the journal is full: make room")

// journalAdmit makes a transaction durable before its sender is told that it is admitted.
func (d *Driver) journalAdmit(tx *ordov1.Transaction, class *ordov1.Class) error {
	if d.options.Journal == nil {
		return nil
	}
	err := d.options.Journal.Admit(tx, class)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrPoisoned):
		d.halt("journal", err)
	case errors.Is(err, journal.ErrClosed):
		return ErrStopped
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("submit: %w: %w", ErrNoRoom, err)
	}
	return fmt.Errorf("submit: journal: %w", err)
}

// journalDrop lets go of one admission of each.
func (d *Driver) journalDrop(hashes ...mempool.Key) {
	if d.options.Journal != nil && len(hashes) > 0 {
		d.checkJournal(d.options.Journal.Drop(hashes...))
	}
}

// mark notes a step that needs no waiting: the stages tell it again after a crash.
func (d *Driver) mark(step journal.Step) {
	if d.options.Journal != nil {
		d.checkJournal(d.options.Journal.Mark(step))
	}
}

func (d *Driver) checkJournal(err error) {
	if err != nil && !errors.Is(err, journal.ErrClosed) {
		d.halt("journal", err)
	}
}

// blockStored: storage has a block.
func (d *Driver) blockStored(c pipeline.Stored) {
	delete(d.marks, c.Height)
	d.storedTo = c.Height
	if d.options.Journal == nil {
		return
	}
	d.checkJournal(d.options.Journal.Release(hashes(c.Items)...))
	d.mark(journal.Step{Kind: journal.Committed, Height: c.Height})
	d.markAccepted()
}

// markAccepted notes roots in the order of the journal: a root may well come before the answer to its Commit.
func (d *Driver) markAccepted() {
	if height := min(d.storedTo, d.acceptedTo); height > d.markedTo {
		d.markedTo = height
		d.mark(journal.Step{Kind: journal.Accepted, Height: height})
	}
}

func hashes(items []pipeline.Item) []mempool.Key {
	all := make([]mempool.Key, len(items))
	for i, item := range items {
		all[i] = mempool.Key(item.Tx.Hash)
	}
	return all
}

// retryUntilSpace repeats what the journal has no room for until it has. What has failed is kept there and goes with the next one,
// so the repetition may be less than the first try.
func (d *Driver) retryUntilSpace(first, again func() error) (ok bool) {
	err := first()
	for pause, told := firstRoomPause, false; err != nil; pause = min(2*pause, lastRoomPause) {
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			d.checkJournal(err)
			return false
		}
		if !told {
			told = true
			d.log.Error("the disk of the journal is full: no blocks are made until there is room; reads go on", "error", err)
		}
		d.pause(pause)
		if d.ctx.Err() != nil {
			return false
		}
		err = again()
	}
	return true
}

// persist keeps what consensus wants kept, beside the loop.
func (d *Driver) persist(height uint64, data []byte) {
	j := d.options.Journal
	if j == nil {
		d.input(pipeline.Persisted{})
		return
	}
	d.spawn(func() {
		if d.retryUntilSpace(func() error { return j.Persist(height, data) }, func() error { return j.Persist(height, nil) }) {
			d.input(pipeline.Persisted{})
		}
	})
}

// markDecided makes a decision durable, beside the loop; the block leaves for storage afterwards.
func (d *Driver) markDecided(c pipeline.Commit) {
	if d.options.Journal == nil {
		return
	}
	step := journal.Step{Kind: journal.Decided, Height: c.Height, Block: c.Header.PartialHash, Note: encodeDecided(c)}
	marked := make(chan struct{})
	d.marks[c.Height] = marked
	d.spawn(func() {
		mark := func() error { return d.options.Journal.Mark(step) }
		if d.retryUntilSpace(mark, mark) {
			close(marked)
		}
	})
}

// encodeDecided is what is needed to build a block again. Its own transactions are in the journal and need only a name.
func encodeDecided(c pipeline.Commit) []byte {
	h := c.Header
	note := &ordov1.CommitRequest{Certificate: c.Certificate, Header: &ordov1.BlockHeader{Context: h.Context, Round: h.Round, Degraded: h.Degraded}}
	for _, item := range c.Items {
		if c.Own {
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

// ---- the order of the open attempt ----

// orders keeps what was handed to execution, and is written to the journal by a goroutine of its own.
type orders struct {
	salt  [8]byte // attempts of this process are not those of the one before
	queue queue[order]
	// of the loop
	leases map[uint64]*lease // by build
}

// lease is an attempt, whatever its builds.
type lease struct {
	id     uint64 // its first build
	height uint64
	handed int  // to the build that runs
	kept   int  // how many of them the journal was given
	total  int  // that it was ever given
	marked bool // the journal knows that it is degraded
}

// degraded stands among the hashes of an order for the attempt's mark: no felt has these bytes, so no transaction is meant.
var degraded = mempool.Key(bytes.Repeat([]byte{0xff}, len(mempool.Key{})))

// order is what was handed over next.
type order struct {
	lease  uint64
	height uint64
	total  int
	bytes  []byte
}

func (o *orders) begin() {
	_, _ = rand.Read(o.salt[:]) // never fails
	o.leases = map[uint64]*lease{}
}

func (o *orders) open(c pipeline.Open) {
	if !c.Own {
		return
	}
	if l := o.leases[c.Resumes]; l != nil {
		l.handed = 0
		o.leases = map[uint64]*lease{c.Build: l}
		return
	}
	l := &lease{id: c.Build, height: c.Context.Number, kept: len(c.Order), total: len(c.Order), marked: c.Degraded}
	o.leases = map[uint64]*lease{c.Build: l}
	context, _ := proto.Marshal(c.Context)
	note := append(binary.AppendUvarint(nil, uint64(len(context))), context...)
	if c.Degraded {
		note = append(note, degraded[:]...)
	}
	o.queue.push(order{l.id, l.height, l.total, names(note, c.Order)})
}

func (o *orders) add(c pipeline.Add) {
	l := o.leases[c.Build]
	if l == nil {
		return
	}
	fresh := c.Items[min(len(c.Items), max(0, l.kept-l.handed)):]
	l.handed += len(c.Items)
	l.kept = max(l.kept, l.handed)
	if l.total += len(fresh); len(fresh) > 0 {
		var note []byte
		if c.Degraded && !l.marked {
			l.marked, note = true, append(note, degraded[:]...)
		}
		o.queue.push(order{l.id, l.height, l.total, names(note, fresh)})
	}
}

func (o *orders) drop(c pipeline.DropCandidates) {
	if l := o.leases[c.Build]; l != nil {
		l.kept = max(0, l.kept-len(c.Items))
	}
}

func names(b []byte, items []pipeline.Item) []byte {
	for _, item := range items {
		b = append(b, item.Tx.Hash...)
	}
	return b
}

// writeOrders writes what came while it wrote before together.
func (d *Driver) writeOrders() {
	j := d.options.Journal
	for d.ctx.Err() == nil {
		all := d.orders.queue.take(d.ctx)
		for len(all) > 0 {
			o := all[0]
			for all = all[1:]; len(all) > 0 && all[0].lease == o.lease; all = all[1:] {
				o.bytes, o.total = append(o.bytes, all[0].bytes...), all[0].total
			}
			if j != nil {
				step := journal.Step{Kind: journal.Ordered, Height: o.height, Block: binary.BigEndian.AppendUint64(d.orders.salt[:8:8], o.lease), Note: o.bytes}
				rest := step
				rest.Note = nil
				if !d.retryUntilSpace(func() error { return j.Mark(step) }, func() error { return j.Mark(rest) }) {
					continue
				}
			}
			d.input(pipeline.OrderPersisted{Build: o.lease, N: o.total})
		}
	}
}

// pause waits, or until the node ends.
func (d *Driver) pause(span time.Duration) {
	select {
	case <-time.After(span):
	case <-d.ctx.Done():
	}
}
