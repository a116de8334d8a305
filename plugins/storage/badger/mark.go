package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// markName is a small file beside the database that says how much of it was there at least. Badger cannot tell a log
// whose last transactions are lost from one that ended there; with the mark a start can, and refuses.
const markName = "ordo.mark"

// The file is two slots, written in turn: a torn write leaves the other.
const (
	markSlot  = 4096
	markSize  = 8 + 6*8 + 4
	markMagic = "ordomrk2"

	oldMarkSize  = 8 + 5*8 + 4 // without the chain
	oldMarkMagic = "ordomark"
)

// marked is what a slot holds.
type marked struct {
	seq      uint64
	blocks   uint64 // so many were there, and are until a revert
	manifest uint64 // length of Badger's manifest then
	synced   bool   // they were on the device, not just in the hands of the kernel
	clean    bool   // the database was closed after it
	chain    uint64 // which chain it is of, see chainMark; 0: there was no block, or an earlier version wrote it
}

// chainMark is a part of block 0's hash: a mark beside another chain's database promises nothing about it.
func chainMark(partialHash []byte) uint64 {
	if len(partialHash) < 16 {
		return 0
	}
	return binary.BigEndian.Uint64(partialHash[8:])
}

// mark is the file, open. Blocks are told as they come; a goroutine writes behind, at the pace of the device, so a mark is
// a little late and never early.
type mark struct {
	f    *os.File
	dir  string
	sync bool

	chain atomic.Uint64 // of the database beside it

	mu      sync.Mutex    // held while writing
	last    marked        // as written
	lowered atomic.Uint64 // how often the promise was taken back
	wanted  chan promise
	done    chan struct{}
	failed  func(error)
}

// promise is a number of blocks, and lowered when they were there.
type promise struct{ blocks, lowered uint64 }

// openMark opens or creates the mark; found is false when there is none that can be read.
func openMark(dir string, syncWrites bool, failed func(error)) (m *mark, found bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("mark: %w", err)
	}
	m = &mark{f: f, dir: dir, sync: syncWrites, wanted: make(chan promise, 1), done: make(chan struct{}), failed: failed}
	m.last, found = readMark(f)
	return m, found, nil
}

// readMark returns the newer of the slots that are whole.
func readMark(f *os.File) (last marked, found bool) {
	for slot := range int64(2) {
		var buf [markSize]byte
		n, err := f.ReadAt(buf[:], slot*markSlot) // an old mark ends sooner
		if err != nil && !errors.Is(err, io.EOF) {
			continue
		}
		if m, ok := decodeMark(buf[:n]); ok && (!found || m.seq > last.seq) {
			last, found = m, true
		}
	}
	return last, found
}

// peekMark reads the mark of a folder that is not opened.
func peekMark(dir string) (marked, bool) {
	f, err := os.Open(filepath.Join(dir, markName))
	if err != nil {
		return marked{}, false
	}
	defer f.Close()
	return readMark(f)
}

func decodeMark(buf []byte) (m marked, ok bool) {
	size, numbers := markSize, 6
	if len(buf) >= 8 && string(buf[:8]) == oldMarkMagic {
		size, numbers = oldMarkSize, 5
	}
	if len(buf) < size {
		return m, false
	}
	body, sum := buf[:size-4], binary.BigEndian.Uint32(buf[size-4:])
	if magic := string(buf[:8]); magic != markMagic && magic != oldMarkMagic || crc32.ChecksumIEEE(body) != sum {
		return m, false
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(body[8+8*i:]) }
	m = marked{seq: n(0), blocks: n(1), manifest: n(2), synced: n(3) != 0, clean: n(4) != 0}
	if numbers > 5 {
		m.chain = n(5)
	}
	return m, true
}

func (m marked) encode() []byte {
	out := []byte(markMagic)
	flag := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	for _, n := range []uint64{m.seq, m.blocks, m.manifest, flag(m.synced), flag(m.clean), m.chain} {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

// write replaces the mark. m.mu is held.
func (m *mark) write(next marked) error {
	if st, err := os.Stat(filepath.Join(m.dir, "MANIFEST")); err == nil {
		next.manifest = uint64(st.Size())
	}
	next.seq, next.synced, next.chain = m.last.seq+1, m.sync, m.chain.Load()
	if _, err := m.f.WriteAt(next.encode(), int64(next.seq%2)*markSlot); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	if m.sync {
		if err := m.f.Sync(); err != nil {
			return fmt.Errorf("mark: %w", err)
		}
	}
	m.last = next
	return nil
}

// begin writes the first mark of this instance and starts the goroutine. Both slots are written: their room is taken then,
// also on a disk that fills up.
func (m *mark) begin(blocks, chain uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chain.Store(chain)
	for range 2 {
		if err := m.write(marked{blocks: blocks}); err != nil {
			return err
		}
	}
	go m.run()
	return nil
}

func (m *mark) run() {
	defer close(m.done)
	for p := range m.wanted {
		m.mu.Lock()
		var err error
		if p.lowered == m.lowered.Load() && p.blocks > m.last.blocks {
			err = m.write(marked{blocks: p.blocks})
		}
		m.mu.Unlock()
		if err != nil {
			m.failed(err) // once the kernel has reported a failed sync it forgets: nothing may build on this device
		}
	}
}

// raise tells that so many blocks are durable. It does not wait. Calls come one at a time.
func (m *mark) raise(blocks uint64) {
	select {
	case <-m.wanted: // not written yet: this one says more
	default:
	}
	m.wanted <- promise{blocks, m.lowered.Load()}
}

// lower takes the promise back, before blocks are removed.
func (m *mark) lower(blocks uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lowered.Add(1)
	if blocks == 0 {
		m.chain.Store(0) // the next block 0 is of another chain
	} else if m.last.blocks <= blocks {
		return nil
	}
	for range 2 { // the older slot must not say more either
		if err := m.write(marked{blocks: blocks}); err != nil {
			return err
		}
	}
	return nil
}

// close ends the goroutine; clean says that the database was closed in order.
func (m *mark) close(blocks uint64, clean bool) error {
	close(m.wanted)
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if clean {
		err = m.write(marked{blocks: blocks, clean: true})
	}
	return errors.Join(err, m.f.Close())
}
