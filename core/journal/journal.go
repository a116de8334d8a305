package journal

import (
	"errors"
	"fmt"
	"sync"
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Key is the hash of a transaction.
type Key = felt.Key

// Errors that callers tell apart. Every error of the operating system stays inside: errors.Is(err, syscall.ENOSPC) says
// that the disk is full, and that the next call may succeed.
var (
	// ErrPoisoned: an fsync failed, or a write could not be taken back. What the disk holds is unknown, so nothing is
	// promised any more. Open again, after the disk is seen to.
	ErrPoisoned = errors.New("the journal can promise nothing any more: look at the disk, then start again")
	// ErrClosed: after Close.
	ErrClosed = errors.New("the journal is closed")
	// ErrDamaged: the files hold what no crash leaves behind.
	ErrDamaged = errors.New("the journal is damaged: restore the file, or move the journal away and lose the transactions that wait")
)

// Options of a journal. Zero numbers take the default.
type Options struct {
	Chain        string        // of which chain, at most 32 bytes; a journal of another one is refused
	SegmentBytes int64         // a segment that has as much is followed by the next; 32 MiB
	Garbage      int64         // released bytes that may stay before what still waits among them is copied forward; 256 MiB
	MaxDelay     time.Duration // how long a commit waits for company; 0: only while the one before it is on its way
	Unsynced     bool          // write without fsync: survives the end of the process, not of the machine
}

// Promises are what admission needs. All methods of a Journal may be called at any time from any goroutine.
type Promises interface {
	// Admit returns nil when the transaction, with its class, would survive a crash; after an error it is not promised,
	// though it may be there. The hash must be set. Neither message may change afterwards. A transaction that is there
	// already is not written again: it then has one holder more.
	Admit(tx *ordov1.Transaction, class *ordov1.Class) error
	// Drop ends one admission of each: it was refused, or left the pool without a block. What has another holder stays.
	// It becomes durable soon, not now; a crash before may bring the transaction back.
	Drop(hashes ...Key) error
	// Release ends all admissions of each: it is in a block that storage has committed. Durable like Drop.
	Release(hashes ...Key) error
}

// Heights are what the pipeline needs.
type Heights interface {
	// Mark records a step. Proposed, Decided, Ordered and Abandoned are durable when it returns; the others, which the stages
	// tell again after a crash, soon after. A step that contradicts those before it is refused and not recorded.
	Mark(step Step) error
	// Persist returns nil when bytes that consensus wants kept for a height would survive a crash. They are kept until
	// the height is committed. After an error they may be kept all the same: do not repeat them.
	Persist(height uint64, data []byte) error
	// PersistLasting returns nil when bytes that consensus wants kept over heights would survive a crash. They replace those before.
	PersistLasting(data []byte) error
}

var _ interface {
	Promises
	Heights
} = (*Journal)(nil)

// Journal is an open journal. Make one with Open.
type Journal struct {
	dir     Directory
	options Options

	mu       sync.Mutex
	live     map[Key]*entry
	bytes    int64 // of the records of live
	next     uint64
	heights  heights
	told     Heads // as the records that are written tell; a header must not know more than they do
	queue    []*batch
	segments []*segment // oldest first; the last one is written to
	first    uint64     // segments below are forgotten
	poison   error
	closed   bool
	stats    Stats

	wake    chan struct{}
	closing chan struct{}
	stopped chan struct{}

	// Of the flusher.
	file   File
	frame  []byte
	doomed []string // files that may go when the next batch is durable
	trash  []string // files that may go now
}

// entry is a promised transaction.
type entry struct {
	hash    Key
	number  uint64
	tx      *ordov1.Transaction
	class   *ordov1.Class
	size    int64
	holders int
	batch   *batch   // that made it durable
	segment *segment // that holds it; nil: not written yet
	gone    bool
}

// segment is a file.
type segment struct {
	index uint64
	flags uint32
	salt  uint64
	size  int64
	live  map[*entry]struct{}
}

// record waits to be written.
type record struct {
	bytes  []byte
	entry  *entry  // of an admission
	height *height // of a height whose records must be kept
	heads  *Heads  // after a step
	copied bool    // of what is durable elsewhere
}

// batch is made durable at once.
type batch struct {
	records []record
	size    int
	done    chan struct{}
	err     error // after done
}

func (b *batch) wait() error {
	<-b.done
	return b.err
}

// Stats are counts, for metrics.
type Stats struct {
	Segments     int
	Bytes        int64 // of all segments
	Transactions int   // that are not released
	LiveBytes    int64 // of those
	Records      uint64
	Commits      uint64 // writes; Records/Commits is how many shared one
}

const maxBatch = 4 << 20 // bytes; a larger record goes alone

// Admit is of Promises.
func (j *Journal) Admit(tx *ordov1.Transaction, class *ordov1.Class) error {
	if len(tx.GetHash()) != len(Key{}) {
		return errors.New("journal: admit: the hash is not 32 bytes")
	}
	encoded, err := encodeTransaction(tx, class)
	if err != nil {
		return fmt.Errorf("journal: admit: %w", err)
	}
	if len(encoded) > maxFrame/2 {
		return fmt.Errorf("journal: admit: the transaction has %d bytes, at most %d can be kept", len(encoded), maxFrame/2)
	}
	hash := Key(tx.Hash)
	j.mu.Lock()
	if err := j.unusable(); err != nil {
		j.mu.Unlock()
		return fmt.Errorf("journal: admit: %w", err)
	}
	e := j.live[hash]
	if e == nil {
		e = &entry{hash: hash, number: j.next, tx: tx, class: class}
		j.next++
		b := encodeAdmit(e.number, encoded)
		e.size = int64(len(b))
		j.live[hash] = e
		j.bytes += e.size
		e.batch = j.append(record{bytes: b, entry: e})
	}
	e.holders++
	b := e.batch
	j.mu.Unlock()
	if err := b.wait(); err != nil {
		return fmt.Errorf("journal: admit: %w", err)
	}
	return nil
}

// Drop is of Promises.
func (j *Journal) Drop(hashes ...Key) error {
	_, err := j.release(hashes, false)
	return err
}

// Release is of Promises.
func (j *Journal) Release(hashes ...Key) error {
	_, err := j.release(hashes, true)
	return err
}

// release returns the batch that makes it durable; nil when there is nothing to release.
func (j *Journal) release(hashes []Key, all bool) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.unusable(); err != nil {
		return nil, fmt.Errorf("journal: write the last segment anew: %w", err)
	}
	var numbers []uint64
	for _, hash := range hashes {
		e := j.live[hash]
		if e == nil {
			continue
		}
		if e.holders--; e.holders > 0 && !all {
			continue
		}
		j.forget(e)
		numbers = append(numbers, e.number)
	}
	if len(numbers) == 0 {
		return nil, nil
	}
	return j.append(record{bytes: encodeRelease(numbers)}), nil
}

// forget takes an entry out of everything.
func (j *Journal) forget(e *entry) {
	delete(j.live, e.hash)
	j.bytes -= e.size
	if e.segment != nil {
		delete(e.segment.live, e)
	}
	e.gone = true
}

// Mark is of Heights.
func (j *Journal) Mark(step Step) error {
	b, err := j.mark(step)
	if err != nil || step.Kind == Applied || step.Kind == Committed || step.Kind == Accepted {
		return err
	}
	if err := b.wait(); err != nil {
		return fmt.Errorf("journal: height %d: %s: %w", step.Height, step.Kind, err)
	}
	return nil
}

func (j *Journal) mark(step Step) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.unusable(); err != nil {
		return nil, fmt.Errorf("journal: %s: %w", step.Kind, err)
	}
	if err := j.heights.admissible(step); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	touched := j.heights.take(step)
	heads := j.heights.heads
	return j.append(record{bytes: encodeStep(step), height: touched, heads: &heads}), nil
}

// Persist is of Heights.
func (j *Journal) Persist(number uint64, data []byte) error {
	if len(data) > maxFrame/2 {
		return fmt.Errorf("journal: persist: %d bytes, at most %d can be kept", len(data), maxFrame/2)
	}
	j.mu.Lock()
	if err := j.unusable(); err != nil {
		j.mu.Unlock()
		return fmt.Errorf("journal: persist: %w", err)
	}
	h := j.heights.persist(number, data)
	if h == nil {
		j.mu.Unlock()
		return nil // committed: it is not asked for again
	}
	b := j.append(record{bytes: encodePersist(number, data), height: h})
	j.mu.Unlock()
	if err := b.wait(); err != nil {
		return fmt.Errorf("journal: height %d: persist: %w", number, err)
	}
	return nil
}

// PersistLasting implements Heights. A caller has one call under way at a time.
func (j *Journal) PersistLasting(data []byte) error {
	if len(data) > maxLasting {
		return fmt.Errorf("journal: persist: %d lasting bytes, at most %d can be kept", len(data), maxLasting)
	}
	j.mu.Lock()
	if err := j.unusable(); err != nil {
		j.mu.Unlock()
		return fmt.Errorf("journal: persist: %w", err)
	}
	j.heights.lasting = append([]byte{}, data...)
	b := j.append(record{bytes: encodeLasting(data)})
	j.mu.Unlock()
	if err := b.wait(); err != nil {
		return fmt.Errorf("journal: persist lasting: %w", err)
	}
	return nil
}

// maxLasting is small because each segment begins with what lasts.
const maxLasting = 1 << 20

// Stats counts.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Segments, s.Transactions, s.LiveBytes = len(j.segments), len(j.live), j.bytes
	for _, g := range j.segments {
		s.Bytes += g.size
	}
	return s
}

// Close writes what waits and ends the journal. Its Directory stays open.
func (j *Journal) Close() error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.closing)
	}
	j.mu.Unlock()
	<-j.stopped
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.poison != nil {
		return fmt.Errorf("journal: close: %w", j.poison)
	}
	if len(j.queue) > 0 {
		return fmt.Errorf("journal: close: what was released last is not written: %w", j.queue[0].err)
	}
	return nil
}

func (j *Journal) unusable() error {
	if j.poison != nil {
		return j.poison
	}
	if j.closed {
		return ErrClosed
	}
	return nil
}

// append queues a record and wakes the flusher.
func (j *Journal) append(r record) *batch {
	var b *batch
	if n := len(j.queue); n > 0 && j.queue[n-1].err == nil && j.queue[n-1].size+len(r.bytes) <= maxBatch {
		b = j.queue[n-1]
	} else {
		b = &batch{done: make(chan struct{})}
		j.queue = append(j.queue, b)
	}
	b.records = append(b.records, r)
	b.size += len(r.bytes)
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return b
}
