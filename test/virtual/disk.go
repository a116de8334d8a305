package virtual

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet"
)

// disk is what outlives a crash: what storage has committed, and what the journal has synced.
type disk struct {
	blocks   []stored // block 1 first
	accepted uint64   // the newest with a root
	hashes   map[uint64][]byte

	admitted map[mempool.Key]bool // transactions that are in no stored block
	arrivals []uint64             // their ids, in order
	logs     map[uint64][]byte    // what was persisted for a height
	lasting  []byte
	decided  map[uint64][]byte           // notes, by height
	ordered  map[uint64]pipeline.Decided // orders that were decided, where execution is lazy
	order    *savedOrder
	process  int // counts those that began: attempts of one are not those of another
}

// stored is a block of storage.
type stored struct {
	header      *ordov1.BlockHeader
	items       []pipeline.Item
	certificate []byte
	order       *pipeline.Decided // that it comes from; nil: the block was decided
}

// value is what consensus decided.
func (b *stored) value() []byte {
	if b.order != nil {
		return b.order.Value
	}
	return b.header.PartialHash
}

// savedOrder is the newest order in the journal.
type savedOrder struct {
	id       uint64
	process  int
	height   uint64
	context  *ordov1.BlockContext
	hashes   []mempool.Key
	degraded bool
}

func newDisk() disk {
	return disk{hashes: map[uint64][]byte{0: []byte("block 0 of every run is this one")}, admitted: map[mempool.Key]bool{}, logs: map[uint64][]byte{}, decided: map[uint64][]byte{}, ordered: map[uint64]pipeline.Decided{}}
}

// stateAt is the state behind a stored block.
func (d *disk) stateAt(height uint64) state {
	s := state{}
	for _, b := range d.blocks[:height] {
		s, _ = blockOn(s, b.items)
	}
	return s
}

// journal syncs what is written, all that waits at a time.
type journal struct {
	*node
	waiting []func()
	syncing bool
}

// write calls done when what it does to the disk is synced.
func (j *journal) write(done func()) {
	j.waiting = append(j.waiting, done)
	if !j.syncing {
		j.sync()
	}
}

func (j *journal) sync() {
	batch := j.waiting
	j.waiting, j.syncing = nil, true
	j.host.After(j.host.WriteTime(), func() {
		for _, done := range batch {
			done()
		}
		if j.syncing = false; len(j.waiting) > 0 {
			j.sync()
		}
	})
}

// persist keeps data of consensus.
func (j *journal) persist(c pipeline.Persist) {
	j.write(func() {
		if c.Lasting {
			j.disk.lasting = c.Data
		} else {
			j.disk.logs[c.Height] = append(j.disk.logs[c.Height], c.Data...)
		}
		j.post(pipeline.Persisted{})
	})
}

// orders keeps the order of the open block, as core/driver does.
type orders struct {
	*node
	at *orderLog
}

type orderLog struct {
	saved       savedOrder
	build       uint64
	kept, total int
}

func (o *orders) open(c pipeline.Open) {
	if !c.Own {
		return
	}
	if o.at != nil && c.Resumes == o.at.build {
		o.at.build = c.Build // the same attempt
		return
	}
	log := &orderLog{saved: savedOrder{id: c.Build, process: o.disk.process, height: c.Context.Number, context: c.Context, degraded: c.Degraded}, build: c.Build, kept: len(c.Order), total: len(c.Order)}
	o.at = log
	o.save(log, c.Order)
}

func (o *orders) add(c pipeline.Add, handed int) {
	log := o.at
	if log == nil || log.build != c.Build {
		return
	}
	fresh := c.Items[min(len(c.Items), max(0, log.kept-handed)):]
	log.kept = max(log.kept, handed+len(c.Items))
	if log.total += len(fresh); len(fresh) > 0 {
		o.save(log, fresh)
	}
}

// drop takes back the last n.
func (o *orders) drop(n int) {
	if o.at != nil {
		o.at.kept = max(0, o.at.kept-n)
	}
}

// save writes a part of an order, which replaces that of another attempt.
func (o *orders) save(log *orderLog, items []pipeline.Item) {
	total, saved := log.total, log.saved
	o.journal.write(func() {
		if at := o.disk.order; at == nil || at.id != saved.id || at.process != saved.process {
			o.disk.order = &saved
		}
		for _, item := range items {
			o.disk.order.hashes = append(o.disk.order.hashes, mempool.Key(item.Tx.Hash))
		}
		o.post(pipeline.OrderPersisted{Build: saved.id, N: total})
	})
}

// encodeDecided is what is needed to build a block again. The node's own transactions are in the journal and need only a name.
func encodeDecided(c pipeline.Commit) []byte {
	note := &ordov1.CommitRequest{Certificate: c.Certificate, Header: c.Header}
	for _, item := range c.Items {
		if tx := item.Tx; c.Own {
			note.Transactions = append(note.Transactions, &ordov1.Transaction{Hash: tx.Hash})
		} else {
			note.Transactions = append(note.Transactions, tx)
		}
	}
	b, _ := proto.Marshal(note)
	return b
}

func (n *node) decodeDecided(b []byte) (*pipeline.Decided, error) {
	note := &ordov1.CommitRequest{}
	if err := proto.Unmarshal(b, note); err != nil {
		return nil, err
	}
	d := &pipeline.Decided{Context: note.Header.Context, Value: note.Header.PartialHash, Round: note.Header.Round, Degraded: note.Header.Degraded, Certificate: note.Certificate}
	for _, tx := range note.Transactions {
		if tx.Type != ordov1.TransactionType_TRANSACTION_TYPE_UNSPECIFIED {
			d.FromPeer = true
		} else if e := n.pool.Get(mempool.Key(tx.Hash)); e != nil {
			tx = e.Tx
		} else {
			return nil, fmt.Errorf("transaction %s is not in the journal", hex(tx.Hash))
		}
		d.Items = append(d.Items, pipeline.Item{Tx: tx})
	}
	return d, nil
}

// head is where a process begins, by what is on the disk.
func (n *node) head() *pipeline.Head {
	d := &n.disk
	head := &pipeline.Head{Height: uint64(len(d.blocks)), Accepted: d.accepted, Hashes: map[uint64][]byte{}, Config: n.host.Config(), State: d.lasting}
	for height := d.accepted - min(d.accepted, starknet.BlockHashLag); height <= d.accepted; height++ {
		head.Hashes[height] = d.hashes[height]
	}
	if head.Height > 0 {
		last := d.blocks[head.Height-1]
		head.Timestamp, head.Block = last.header.Context.Timestamp, last.header.PartialHash
		head.Parent = &ordov1.ConsensusEvent_Parent{Value: last.value(), Certificate: last.certificate}
	}
	height := head.Height + 1
	for order, known := d.ordered[height]; known; order, known = d.ordered[height] {
		order.FromPeer = true
		head.Decided = append(head.Decided, order)
		height++
	}
	for ; d.decided[height] != nil; height++ {
		one, err := n.decodeDecided(d.decided[height])
		if err != nil {
			n.fault("block %d was decided and cannot be built again: %v", height, err)
			return head
		}
		head.Decided = append(head.Decided, *one)
	}
	head.Log = slices.Clone(d.logs[height])
	if o := d.order; o != nil && o.height == height {
		head.Order = &pipeline.Order{Context: o.context, Degraded: o.degraded}
		for _, hash := range o.hashes {
			if e := n.pool.Get(hash); e != nil {
				head.Order.Items = append(head.Order.Items, pipeline.Item{Tx: e.Tx})
			}
		}
	}
	return head
}

// commit takes a decision: it becomes durable, and then storage gets the block.
func (n *node) commit(c pipeline.Commit) {
	b := stored{header: c.Header, items: c.Items, certificate: c.Certificate}
	if c.Order != nil {
		order := c.Decided()
		b.order = &order
	}
	value := b.value()
	learned := n.peers.learning == c.Height
	n.peers.learning = 0
	n.decided(c, learned)
	note := encodeDecided(c)
	n.journal.write(func() {
		if b.order != nil {
			n.disk.ordered[c.Height] = *b.order
		} else {
			n.disk.decided[c.Height] = note
		}
		n.host.Durable(c.Height, value)
		n.storage.put(n.host.WriteTime, func() {
			n.disk.blocks = append(n.disk.blocks, b)
			n.post(pipeline.Committed{Height: c.Height})
			n.followRoot(c.Height)
		})
	})
}

// record makes a decided order durable before it is executed.
func (n *node) record(c pipeline.RecordDecision) {
	n.journal.write(func() {
		n.disk.ordered[c.Height] = c.Decided
		n.host.Durable(c.Height, c.Value)
		n.post(pipeline.DecisionRecorded{Height: c.Height})
	})
}

// stored releases what the journal kept for a block.
func (n *node) stored(c pipeline.Stored) {
	d := &n.disk
	for _, item := range c.Items {
		delete(d.admitted, mempool.Key(item.Tx.Hash))
	}
	d.arrivals = slices.DeleteFunc(d.arrivals, func(id uint64) bool { return !d.admitted[keyOf(id)] })
	maps.DeleteFunc(d.logs, func(height uint64, _ []byte) bool { return height <= c.Height })
	maps.DeleteFunc(d.ordered, func(height uint64, _ pipeline.Decided) bool { return height <= c.Height })
	maps.DeleteFunc(d.decided, func(height uint64, _ []byte) bool { return height <= c.Height })
	n.toldStored()
}

// rootTime is the longest time that storage takes for a root.
const rootTime = 10 * time.Millisecond

// followRoot has storage compute the root of a block, behind those before it.
func (n *node) followRoot(height uint64) {
	n.roots.put(func() time.Duration { return n.host.Between(0, rootTime) }, func() {
		hash := blockHash(n.disk.blocks[height-1].header.PartialHash, n.disk.hashes[height-1])
		n.disk.hashes[height], n.disk.accepted = hash, height
		n.post(pipeline.RootComputed{Root: &ordov1.Root{Height: height, BlockHash: hash}})
	})
}
