// Package recording keeps what goes between a core and a hosted protocol in a file, and plays it again: the same events to a fresh plugin, whose
// actions must be the same.
//
// A file begins with a line "ordo-recording 1" and a line of JSON (Header). Records follow: the length of the payload (uvarint), the payload,
// and its CRC-32C (4 bytes, big-endian). A payload is the kind (1 byte: 1 a run begins, 2 an event, 3 the answer to one, 4 the file is full), the
// number of the run (uvarint; each instance of the plugin has one), the time in microseconds since 1970 (uvarint), and the message, an
// ordo.v1.ConsensusEvent or an ordo.v1.Actions. A file may end in the middle of a record: its node was killed.
package recording

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Version is that of the format.
const Version = 1

// magic is the first line of a file, before its version.
const magic = "ordo-recording "

// Header says what was recorded.
type Header struct {
	Key      string `json:"key"` // public key of the node, hexadecimal
	ChainID  string `json:"chain_id"`
	Plugin   string `json:"plugin"` // name and version, as it describes itself
	Software string `json:"software,omitempty"`
	Began    int64  `json:"began"` // microseconds since 1970
}

type kind byte

const (
	runRecord     kind = 1
	eventRecord   kind = 2
	actionsRecord kind = 3
	fullRecord    kind = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// flushEvery is how long a record may stay in memory.
const flushEvery = 100 * time.Millisecond

// Writer writes a recording. Its methods are safe for concurrent use; they do not wait for the disk to sync. After an error, or when the file
// is full, it writes nothing more and says so once, by Options.Ended.
type Writer struct {
	o    Options
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	left int64
	over bool
	runs uint64
	stop chan struct{}
	done chan struct{}
}

// Options are what a Writer is made with.
type Options struct {
	Dir    string // each process writes a file of its own there
	Bytes  int64  // most bytes of all files in Dir
	Header Header
	Ended  func(why error) // told once when nothing more is recorded before Close
	Now    func() time.Time
}

// Files are the recordings in a folder, in the order in which they were made.
func Files(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, "*.rec")) }

// Create makes the next file of a folder.
func Create(o Options) (*Writer, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	before, err := Files(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	w := &Writer{o: o, left: o.Bytes, stop: make(chan struct{}), done: make(chan struct{})}
	for _, path := range before {
		if info, err := os.Stat(path); err == nil {
			w.left -= info.Size()
		}
	}
	path := filepath.Join(o.Dir, fmt.Sprintf("%06d.rec", len(before)+1))
	if w.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	w.out = bufio.NewWriterSize(w.file, 64<<10)
	o.Header.Began = o.Now().UnixMicro()
	head, err := json.Marshal(o.Header)
	if err == nil {
		w.left -= int64(len(head)) + 20
		_, err = fmt.Fprintf(w.out, "%s%d\n%s\n", magic, Version, head)
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		w.file.Close()
		return nil, fmt.Errorf("recording: %w", err)
	}
	go w.flush()
	return w, nil
}

// Run is one instance of the plugin.
type Run struct {
	writer *Writer
	number uint64
}

// Begin notes that an instance of the plugin begins.
func (w *Writer) Begin() *Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs++
	w.record(runRecord, w.runs, nil)
	return &Run{w, w.runs}
}

// Event notes an event that is sent. It does nothing on nil.
func (r *Run) Event(e *ordov1.ConsensusEvent) { r.add(eventRecord, e) }

// Actions notes an answer. It does nothing on nil.
func (r *Run) Actions(a *ordov1.Actions) { r.add(actionsRecord, a) }

func (r *Run) add(k kind, m proto.Message) {
	if r == nil {
		return
	}
	r.writer.mu.Lock()
	defer r.writer.mu.Unlock()
	r.writer.record(k, r.number, m)
}

// record writes a record. The lock is held.
func (w *Writer) record(k kind, run uint64, m proto.Message) {
	if w.over {
		return
	}
	payload := append(make([]byte, 0, 64), byte(k))
	payload = binary.AppendUvarint(payload, run)
	payload = binary.AppendUvarint(payload, uint64(w.o.Now().UnixMicro()))
	var err error
	if m != nil {
		payload, err = proto.MarshalOptions{}.MarshalAppend(payload, m)
	}
	if err == nil && w.left < int64(len(payload))+64 && k != fullRecord {
		w.record(fullRecord, run, nil)
		err = fmt.Errorf("the files in %s have %d bytes together, the most that they may have", w.o.Dir, w.o.Bytes)
	}
	if err == nil {
		w.left -= int64(len(payload)) + 8
		head := binary.AppendUvarint(nil, uint64(len(payload)))
		tail := binary.BigEndian.AppendUint32(nil, crc32.Checksum(payload, castagnoli))
		for _, part := range [][]byte{head, payload, tail} {
			if _, err = w.out.Write(part); err != nil {
				break
			}
		}
	}
	if err != nil {
		w.end(err)
	}
}

// end stops the recording. The lock is held.
func (w *Writer) end(err error) {
	w.over = true
	_ = w.out.Flush()
	if w.o.Ended != nil {
		go w.o.Ended(err)
	}
}

func (w *Writer) flush() {
	defer close(w.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.stop:
			return
		}
		w.mu.Lock()
		if !w.over {
			if err := w.out.Flush(); err != nil {
				w.end(err)
			}
		}
		w.mu.Unlock()
	}
}

// Close ends the file.
func (w *Writer) Close() error {
	close(w.stop)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	err := w.out.Flush()
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	return err
}
