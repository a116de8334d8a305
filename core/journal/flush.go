package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// flush is the one goroutine that writes: what came while a commit was on its way shares the next.
func (j *Journal) flush() {
	defer close(j.stopped)
	for {
		closing := false
		select {
		case <-j.wake:
		case <-j.closing:
			closing = true
		}
		if j.options.MaxDelay > 0 && !closing {
			wait := time.NewTimer(j.options.MaxDelay)
			select {
			case <-wait.C:
			case <-j.closing:
			}
			wait.Stop()
		}
		for j.commit() {
		}
		if closing {
			_ = j.file.Close() // it is synced, or the journal is poisoned
			return
		}
	}
}

// commit makes the first batch durable; more says that another one is worth a try.
func (j *Journal) commit() (more bool) {
	j.mu.Lock()
	if len(j.queue) == 0 {
		j.mu.Unlock()
		return false
	}
	full := j.active().size >= j.options.SegmentBytes
	j.mu.Unlock()
	var err error
	if full {
		err = j.rotate()
	}

	j.mu.Lock()
	b := j.queue[0]
	j.queue = j.queue[1:]
	if err != nil {
		j.failed(b, err)
		j.mu.Unlock()
		return false
	}
	j.carry(b)
	j.trim(b)
	active := j.active()
	j.mu.Unlock()

	err = j.write(active, b, len(j.doomed) > 0)

	j.mu.Lock()
	if err != nil {
		j.failed(b, err)
		j.mu.Unlock()
		return false
	}
	j.written(active, b)
	more = len(j.queue) > 0
	j.mu.Unlock()
	j.trash, j.doomed = append(j.trash, j.doomed...), nil
	j.remove()
	return more
}

func (j *Journal) active() *segment { return j.segments[len(j.segments)-1] }

// write appends a batch as one frame. A write that fails is taken back; an fsync that fails cannot be.
func (j *Journal) write(active *segment, b *batch, sync bool) error {
	frame := append(j.frame[:0], make([]byte, frameHead)...)
	for _, r := range b.records {
		frame = appendBytes(frame, r.bytes)
	}
	if cap(frame) <= 2*maxBatch {
		j.frame = frame
	}
	sealFrame(frame, active.salt, uint64(active.size))
	if _, err := j.file.Write(frame); err != nil {
		err = fmt.Errorf("write %s: %w", segmentName(active.index), err)
		if undo := j.file.Truncate(active.size); undo != nil {
			return j.spoil(errors.Join(err, undo))
		}
		return err
	}
	if !j.options.Unsynced || sync {
		if err := j.file.Sync(); err != nil {
			return j.spoil(fmt.Errorf("sync %s: %w", segmentName(active.index), err))
		}
	}
	j.mu.Lock()
	active.size += int64(len(frame))
	j.mu.Unlock()
	return nil
}

// spoil ends all promises.
func (j *Journal) spoil(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.poison = fmt.Errorf("%w: %w", ErrPoisoned, err)
	return j.poison
}

// written is the bookkeeping after a batch became durable.
func (j *Journal) written(active *segment, b *batch) {
	for _, r := range b.records {
		if e := r.entry; e != nil {
			if e.gone {
				continue
			}
			if e.segment != nil {
				delete(e.segment.live, e)
			}
			e.segment = active
			active.live[e] = struct{}{}
		}
		if r.heads != nil {
			j.told = *r.heads
		}
		if h := r.height; h != nil && (r.copied || h.segment == 0) {
			h.segment = active.index
		}
	}
	j.stats.Records += uint64(len(b.records))
	j.stats.Commits++
	b.records = nil
	close(b.done)
}

// failed gives every waiting caller the error, of later batches too: the disk would not take those either. Admissions are
// undone; what happened all the same, releases and steps, stays in the queue for the next attempt.
func (j *Journal) failed(first *batch, err error) {
	again := &batch{done: make(chan struct{}), err: err}
	for _, b := range append([]*batch{first}, j.queue...) {
		for _, r := range b.records {
			switch e := r.entry; {
			case r.copied:
			case e != nil:
				if !e.gone {
					j.forget(e)
				}
			default:
				again.records = append(again.records, r)
				again.size += len(r.bytes)
			}
		}
		b.fail(err)
	}
	j.queue = nil
	if len(again.records) > 0 && j.poison == nil {
		j.queue = []*batch{again}
	}
}

// fail wakes the callers that wait. A batch that has failed before has none.
func (b *batch) fail(err error) {
	if b.err == nil {
		b.err, b.records = err, nil
		close(b.done)
	}
}

// rotate begins the next segment. A disk that is full for it is no worse than one that is full for a write.
func (j *Journal) rotate() error {
	j.mu.Lock()
	active := j.active()
	j.mu.Unlock()
	if j.options.Unsynced {
		if err := j.file.Sync(); err != nil {
			return j.spoil(fmt.Errorf("sync %s: %w", segmentName(active.index), err))
		}
	}
	old := j.file
	if err := j.begin(active.index + 1); err != nil {
		return err
	}
	_ = old.Close() // synced
	return nil
}

// begin makes a segment, which has its name only when it is whole.
func (j *Journal) begin(index uint64) error {
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	s := &segment{index: index, salt: binary.LittleEndian.Uint64(salt[:]), live: map[*entry]struct{}{}}
	if j.options.Unsynced {
		s.flags |= flagUnsynced
	}
	j.mu.Lock()
	h := header{flags: s.flags, index: index, salt: s.salt, first: j.first, next: j.next, heads: j.told, chain: j.options.Chain}
	if len(j.segments) > 0 {
		h.before = uint64(j.active().size)
	}
	of, kept := j.heights.origin(), j.heights.lasting
	j.mu.Unlock()
	contents := h.append(nil)
	// What the segments before said first may be forgotten with them.
	var first []byte
	if len(of.genesis)+len(of.block) > 0 {
		first = appendBytes(first, encodeOrigin(of))
	}
	if kept != nil {
		first = appendBytes(first, encodeLasting(kept))
	}
	if len(first) > 0 {
		frame := append(make([]byte, frameHead), first...)
		sealFrame(frame, s.salt, headerSize)
		contents = append(contents, frame...)
	}
	file, err := j.place(segmentName(index), contents)
	if err != nil {
		return err
	}
	s.size = int64(len(contents))
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	j.file = file
	return nil
}

// place writes a whole file under a name: it is there with all its contents or not at all.
func (j *Journal) place(name string, contents []byte) (File, error) {
	temporary := name + newSuffix
	file, err := j.dir.Create(temporary)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", temporary, err)
	}
	if _, err := file.Write(contents); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write %s: %w", temporary, err) // the next try overwrites it, Open removes it
	}
	if err = file.Sync(); err == nil {
		if err = j.dir.Rename(temporary, name); err == nil {
			err = j.dir.Sync()
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, j.spoil(fmt.Errorf("begin %s: %w", name, err))
	}
	return file, nil
}

// carry adds to a batch copies of what still waits in the oldest segment, when too much of the journal is released: one
// transaction that waits for ever must not keep all that came after it.
func (j *Journal) carry(b *batch) {
	oldest := j.segments[0]
	var total int64
	for _, s := range j.segments {
		total += s.size
	}
	if oldest == j.active() || total-j.bytes <= max(j.options.Garbage, j.bytes) {
		return
	}
	size := 0
	for e := range oldest.live {
		if size > maxBatch/4 {
			return
		}
		encoded, err := encodeTransaction(e.tx, e.class)
		if err != nil {
			return // it was encoded before: its holder changed it, and the first copy stays
		}
		r := record{bytes: encodeAdmit(e.number, encoded), entry: e, copied: true}
		size += len(r.bytes)
		b.records = append(b.records, r)
	}
	if len(j.queue) > 0 {
		return // a copy must not run ahead of records that are still to come
	}
	for _, h := range j.heights.open {
		if h.segment == oldest.index {
			b.records = append(b.records, record{bytes: encodeHeight(&h.Height), height: h, copied: true})
			if len(h.Attempt) > 0 { // goes by its own kind, after the one that replaces all
				b.records = append(b.records, record{bytes: encodeStep(Step{Ordered, h.Number, h.Attempt, h.Order}), height: h, copied: true})
			}
		}
	}
}

// trim finds the segments at the front that nothing needs and adds to the batch that they are forgotten. Their files go when
// the batch is durable: however few of them are gone after a crash, the rest is then not taken for a journal with a hole.
func (j *Journal) trim(b *batch) {
	before := len(j.segments)
	for len(j.segments) > 1 && len(j.segments[0].live) == 0 && !j.needed(j.segments[0].index) {
		j.doomed = append(j.doomed, segmentName(j.segments[0].index))
		j.segments = j.segments[1:]
	}
	if len(j.segments) < before {
		j.first = j.segments[0].index
		b.records = append(b.records, record{bytes: encodeForget(j.first)})
	}
}

// needed says whether a height has records in a segment or before it.
func (j *Journal) needed(index uint64) bool {
	for _, h := range j.heights.open {
		if h.segment != 0 && h.segment <= index {
			return true
		}
	}
	return false
}

// remove deletes forgotten files. What cannot be deleted now is tried again with the next ones, and by Open.
func (j *Journal) remove() {
	if len(j.trash) == 0 {
		return
	}
	kept := j.trash[:0]
	for _, name := range j.trash {
		if err := j.dir.Remove(name); err != nil {
			kept = append(kept, name)
		}
	}
	j.trash = kept
	_ = j.dir.Sync() // files that come back are forgotten already
}
