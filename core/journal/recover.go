package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Recovery is what an opened journal held.
type Recovery struct {
	Transactions []Waiting // admitted and not released, in order of admission
	Heads        Heads
	Heights      []Height // not committed, lowest first
	Lasting      []byte   // what PersistLasting was given last; nil: nothing
	Torn         *Torn    // nil: the journal ended cleanly

	// What tells the chain of this journal from others with the same id. A journal of an earlier version has no Genesis.
	Genesis []byte     // hash of block 0; nil: Mark it Founded
	Decided []Decision // of the newest height that is committed and of those that are not, lowest first
}

// Waiting is a transaction that was promised.
type Waiting struct {
	Tx    *ordov1.Transaction
	Class *ordov1.Class
}

// Torn is what a crash left of a commit that no caller was told of. It is cut off.
type Torn struct {
	File   string
	Offset int64
	Bytes  int64
}

func (t *Torn) String() string {
	return fmt.Sprintf("%s ended in a torn write: %d bytes from offset %d on are cut off", t.File, t.Bytes, t.Offset)
}

// Open reads what the directory holds, makes it durable, and goes on from there. The caller keeps the directory locked.
func Open(dir Directory, options Options) (*Journal, *Recovery, error) {
	if options.SegmentBytes <= 0 {
		options.SegmentBytes = 32 << 20
	}
	if options.Garbage <= 0 {
		options.Garbage = 256 << 20
	}
	if len(options.Chain) > chainSize || strings.HasSuffix(options.Chain, "\x00") {
		return nil, nil, fmt.Errorf("journal: chain %q: must be at most %d bytes", options.Chain, chainSize)
	}
	j := &Journal{
		dir: dir, options: options, live: map[Key]*entry{}, first: 1, heights: newHeights(),
		wake: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	r := replay{j: j, entries: map[uint64]*found{}}
	recovery, err := r.run()
	if err != nil {
		return nil, nil, fmt.Errorf("journal: open: %w", err)
	}
	go j.flush()
	return j, recovery, nil
}

// replay reads a journal back.
type replay struct {
	j       *Journal
	entries map[uint64]*found // by number of admission
	faults  []fault
	torn    *Torn
	last    []byte // the verified bytes of the last segment
}

// found is an admission on disk.
type found struct {
	number    uint64
	tx        *ordov1.Transaction
	class     *ordov1.Class
	raw       admission // until the segment is read
	size      int64
	segment   *segment
	undecoded bool
}

// fault is damage of a segment, which only counts when the segment does.
type fault struct {
	segment uint64
	err     error
}

func (r *replay) run() (*Recovery, error) {
	indexes, leftovers, err := r.list()
	if err != nil {
		return nil, err
	}
	for i, index := range indexes {
		if i > 0 && index != indexes[i-1]+1 {
			r.missing(indexes[i-1]+1, index-1)
		}
		if err := r.segment(index, i == len(indexes)-1); err != nil {
			return nil, err
		}
	}
	j := r.j
	if len(indexes) > 0 && indexes[0] > j.first {
		r.missing(j.first, indexes[0]-1)
	}
	for _, f := range r.faults {
		if f.segment >= j.first {
			return nil, fmt.Errorf("%w: %w", f.err, ErrDamaged)
		}
	}
	return r.finish(leftovers)
}

func (r *replay) missing(from, to uint64) {
	what := segmentName(from) + " is missing"
	if to > from {
		what = fmt.Sprintf("%s to %s are missing", segmentName(from), segmentName(to))
	}
	r.faults = append(r.faults, fault{to, errors.New(what)})
}

func (r *replay) list() (indexes []uint64, leftovers []string, err error) {
	names, err := r.j.dir.List()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if index, ok := segmentIndex(name); ok {
			indexes = append(indexes, index)
		} else if strings.HasSuffix(name, suffix+newSuffix) {
			leftovers = append(leftovers, name)
		}
	}
	slices.Sort(indexes)
	slices.Sort(leftovers)
	return indexes, leftovers, nil
}

// segment reads one file; an error is one of reading, damage goes to faults.
func (r *replay) segment(index uint64, last bool) error {
	name := segmentName(index)
	data, err := r.read(name)
	if err != nil {
		return err
	}
	damaged := func(offset uint64, err error) error {
		r.faults = append(r.faults, fault{index, fmt.Errorf("%s: offset %d: %w", name, offset, err)})
		return nil
	}
	h, err := parseHeader(data)
	if err != nil {
		return damaged(0, err)
	}
	if h.index != index {
		return damaged(0, fmt.Errorf("it is %s under another name", segmentName(h.index)))
	}
	if h.first > index {
		return damaged(0, errors.New("its header forgets itself"))
	}
	if h.chain != r.j.options.Chain {
		return fmt.Errorf("%s is of chain %q, not of %q: use its chain or another data directory", name, h.chain, r.j.options.Chain)
	}
	j := r.j
	if n := len(j.segments); n > 0 && j.segments[n-1].index == index-1 && j.segments[n-1].size < int64(h.before) {
		before := j.segments[n-1]
		r.faults = append(r.faults, fault{before.index, fmt.Errorf("%s: offset %d: it is cut short: it had %d bytes", segmentName(before.index), before.size, h.before)})
	}
	s := &segment{index: index, flags: h.flags, salt: h.salt, live: map[*entry]struct{}{}}
	j.segments = append(j.segments, s)
	j.first, j.next, j.heights.heads = max(j.first, h.first), max(j.next, h.next), h.heads
	j.heights.prune()

	offset := uint64(headerSize)
	for offset < uint64(len(data)) {
		payload, err := readFrame(data, h.salt, offset)
		if err != nil {
			if !last {
				return damaged(offset, err)
			}
			if at, more := frameAfter(data, h.salt, offset); more && h.flags&flagUnsynced == 0 {
				return damaged(offset, fmt.Errorf("%w, though a frame at offset %d was written after it was durable", err, at))
			}
			r.torn = &Torn{name, int64(offset), int64(len(data)) - int64(offset)}
			break
		}
		if err := eachRecord(payload, func(record []byte) error { return r.record(s, record) }); err != nil {
			return damaged(offset, err)
		}
		offset += frameHead + uint64(len(payload))
	}
	s.size = int64(offset)
	if last {
		r.last = data[:offset]
	}
	for _, f := range r.entries {
		if f.undecoded {
			if err := f.decode(); err != nil {
				return damaged(headerSize, fmt.Errorf("admission %d: %w", f.number, err))
			}
		}
	}
	return nil
}

func (r *replay) read(name string) ([]byte, error) {
	file, err := r.j.dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), data); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func (r *replay) record(s *segment, record []byte) error {
	decoded, err := decodeRecord(record)
	if err != nil {
		return err
	}
	j := r.j
	var touched *height
	switch b := decoded.(type) {
	case admission:
		if b.number == ^uint64(0) {
			return errRecord
		}
		j.next = max(j.next, b.number+1)
		r.entries[b.number] = &found{number: b.number, raw: b, size: int64(len(record)), segment: s, undecoded: true}
	case release:
		for _, number := range b.numbers {
			delete(r.entries, number)
		}
	case Step:
		touched = j.heights.take(b)
	case persisted:
		touched = j.heights.persist(b.height, b.data)
	case Height:
		touched = j.heights.replace(b)
	case origin:
		if len(b.genesis) > 0 {
			j.heights.genesis = slices.Clone(b.genesis)
		}
		if len(b.block) > 0 {
			j.heights.decided[b.height] = slices.Clone(b.block)
			j.heights.prune()
		}
	case lasting:
		j.heights.lasting = slices.Clone(b.data)
	case forget:
		if b.below > s.index {
			return errRecord
		}
		j.first = max(j.first, b.below)
	}
	if touched != nil && touched.segment == 0 {
		touched.segment = s.index
	}
	return nil
}

func (f *found) decode() error {
	f.tx = &ordov1.Transaction{}
	if err := proto.Unmarshal(f.raw.tx, f.tx); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if len(f.tx.Hash) != len(Key{}) {
		return errors.New("transaction: its hash is not 32 bytes")
	}
	if f.raw.class != nil {
		f.class = &ordov1.Class{}
		if err := proto.Unmarshal(f.raw.class, f.class); err != nil {
			return fmt.Errorf("class: %w", err)
		}
	}
	f.raw, f.undecoded = admission{}, false
	return nil
}

// finish makes what was read durable and the journal ready to go on.
func (r *replay) finish(leftovers []string) (*Recovery, error) {
	j := r.j
	recovery := &Recovery{Torn: r.torn}
	durable := &batch{done: make(chan struct{})}
	close(durable.done)
	var all []*found
	for _, f := range r.entries {
		if f.segment.index >= j.first {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *found) int { return cmp.Compare(a.number, b.number) })
	for _, f := range all {
		hash := Key(f.tx.Hash)
		if j.live[hash] != nil {
			return nil, fmt.Errorf("%s: transaction 0x%x is promised twice: %w", segmentName(f.segment.index), hash, ErrDamaged)
		}
		e := &entry{hash: hash, number: f.number, tx: f.tx, class: f.class, size: f.size, holders: 1, segment: f.segment, batch: durable}
		j.live[hash] = e
		j.bytes += e.size
		f.segment.live[e] = struct{}{}
		recovery.Transactions = append(recovery.Transactions, Waiting{f.tx, f.class})
	}
	for number, h := range j.heights.open {
		if h.segment < j.first {
			delete(j.heights.open, number)
		}
	}
	j.told = j.heights.heads
	recovery.Heads, recovery.Heights = j.heights.heads, j.heights.sorted()
	recovery.Lasting = slices.Clone(j.heights.lasting)
	recovery.Genesis, recovery.Decided = slices.Clone(j.heights.genesis), j.heights.decisions()

	for len(j.segments) > 0 && j.segments[0].index < j.first {
		leftovers = append(leftovers, segmentName(j.segments[0].index))
		j.segments = j.segments[1:]
	}
	if err := r.rewriteLast(); err != nil {
		return nil, err
	}
	j.trash = leftovers
	j.remove()
	return recovery, nil
}

// rewriteLast writes the last segment anew. What was read from it may be in memory only: the process before may have ended before
// its fsync, or after one that failed, and then not even another fsync of that file would write it.
func (r *replay) rewriteLast() error {
	j := r.j
	if len(j.segments) == 0 {
		return j.begin(j.first)
	}
	active := j.active()
	file, err := j.place(segmentName(active.index), r.last)
	if err != nil {
		return err
	}
	j.file = file
	if unsynced := active.flags&flagUnsynced != 0; unsynced != j.options.Unsynced {
		return j.begin(active.index + 1)
	}
	return nil
}
