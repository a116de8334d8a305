package driver

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/journal"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// orders writes the order of the open block to the journal, in a goroutine of its own: what came while it wrote is written
// together.
type orders struct {
	salt  [8]byte // the attempts of this process are not those of the one before
	queue queue[order]
}

// orderLog is what the journal was given of the order of one attempt, whatever its builds. Its methods do nothing on nil.
type orderLog struct {
	queue  *queue[order]
	id     uint64 // its first build
	height uint64
	kept   int  // how many transactions of the build that runs the journal was given
	total  int  // how many it was ever given
	marked bool // the journal knows that the attempt is degraded
}

// degraded stands among the hashes of an order for the attempt's mark: no felt has these bytes, so no transaction is meant.
var degraded = mempool.Key(bytes.Repeat([]byte{0xff}, len(mempool.Key{})))

// order is a part of an orderLog on its way to the journal.
type order struct {
	id     uint64
	height uint64
	total  int
	bytes  []byte
}

func newOrders() *orders {
	o := &orders{}
	_, _ = rand.Read(o.salt[:]) // never fails
	return o
}

// open begins the log of a block, or carries on that of the block which it resumes. The one before gets no more entries.
func (o *orders) open(c pipeline.Open, before *openBlock) *orderLog {
	if before != nil {
		log := before.order
		before.order = nil
		if log != nil && c.Resumes == before.build {
			return log
		}
	}
	l := &orderLog{queue: &o.queue, id: c.Build, height: c.Context.Number, kept: len(c.Order), total: len(c.Order), marked: c.Degraded}
	context, _ := proto.Marshal(c.Context)
	note := append(binary.AppendUvarint(nil, uint64(len(context))), context...)
	if c.Degraded {
		note = append(note, degraded[:]...)
	}
	l.push(appendHashes(note, c.Order))
	return l
}

// add logs what is given to the build that runs, after the first handed ones.
func (l *orderLog) add(c pipeline.Add, handed int) {
	if l == nil {
		return
	}
	fresh := c.Items[min(len(c.Items), max(0, l.kept-handed)):]
	l.kept = max(l.kept, handed+len(c.Items))
	if l.total += len(fresh); len(fresh) > 0 {
		var note []byte
		if c.Degraded && !l.marked {
			l.marked, note = true, append(note, degraded[:]...)
		}
		l.push(appendHashes(note, fresh))
	}
}

// drop takes back the last n.
func (l *orderLog) drop(n int) {
	if l != nil {
		l.kept = max(0, l.kept-n)
	}
}

func (l *orderLog) push(note []byte) { l.queue.push(order{l.id, l.height, l.total, note}) }

func appendHashes(b []byte, items []pipeline.Item) []byte {
	for _, item := range items {
		b = append(b, item.Tx.Hash...)
	}
	return b
}

// writeOrders writes what came while it wrote before together.
func (j *journaling) writeOrders() {
	for j.ctx.Err() == nil {
		all := j.orders.queue.take(j.ctx)
		for len(all) > 0 {
			o := all[0]
			for all = all[1:]; len(all) > 0 && all[0].id == o.id; all = all[1:] {
				o.bytes, o.total = append(o.bytes, all[0].bytes...), all[0].total
			}
			if j.journal != nil {
				step := journal.Step{Kind: journal.Ordered, Height: o.height, Block: binary.BigEndian.AppendUint64(j.orders.salt[:8:8], o.id), Note: o.bytes}
				rest := step
				rest.Note = nil
				if !j.retryUntilSpace(func() error { return j.journal.Mark(step) }, func() error { return j.journal.Mark(rest) }) {
					continue
				}
			}
			j.port.post(pipeline.OrderPersisted{Build: o.id, N: o.total})
		}
	}
}

// decodeOrder reads what the journal was given of an order.
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
