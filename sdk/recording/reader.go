package recording

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// maxRecord is the most bytes of a record: a proposal in an event, and some.
const maxRecord = 256 << 20

// Recording is one file.
type Recording struct {
	Path   string
	Header Header
	Torn   bool // it ends in the middle of a record: the node was killed
	Full   bool // it had reached its size: what came later is not there
	Runs   []*Instance
}

// Instance is what went between the core and one instance of the plugin.
type Instance struct {
	Number  uint64
	Events  []Timed[*ordov1.ConsensusEvent]
	Answers map[uint64]Timed[*ordov1.Actions] // by seq of their event
}

// Timed is something with its time.
type Timed[M any] struct {
	At      time.Time
	Message M
}

// Read reads a file. Of one that is torn all whole records are there.
func Read(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	defer f.Close()
	r, err := read(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("recording: %s: %w", path, err)
	}
	r.Path = path
	return r, nil
}

// maxLine bounds the two lines at the beginning.
const maxLine = 1 << 16

func read(in *bufio.Reader) (*Recording, error) {
	foreign := errors.New("it is no recording of ordo: ordo localnet --record and the setting consensus.record make them")
	first, err := in.ReadSlice('\n')
	version, ours := strings.CutPrefix(string(first), magic)
	if err != nil || !ours {
		return nil, foreign
	}
	if n, err := strconv.Atoi(strings.TrimSpace(version)); err != nil || n != Version {
		return nil, fmt.Errorf("it is of version %s, this ordo reads version %d: use the ordo that made it", strings.TrimSpace(version), Version)
	}
	r := &Recording{}
	head, err := in.ReadSlice('\n')
	if err != nil || len(head) > maxLine || json.Unmarshal(head, &r.Header) != nil {
		return nil, errors.New("it is damaged: its second line is not JSON")
	}
	at := int64(len(magic) + len(version) + len(head))
	runs := map[uint64]*Instance{}
	for {
		payload, size, err := next(in)
		switch {
		case errors.Is(err, io.EOF) && size == 0:
			return r, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			r.Torn = true
			return r, nil
		case err == nil:
			err = r.take(runs, payload)
		}
		if err != nil {
			return nil, fmt.Errorf("it is damaged at byte %d: %w", at, err)
		}
		at += size
	}
}

// next reads a record: its payload, and how many bytes it has in the file.
func next(in *bufio.Reader) (payload []byte, size int64, err error) {
	length, err := binary.ReadUvarint(in)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, 1, err
		}
		return nil, 0, err
	}
	if length == 0 || length > maxRecord {
		return nil, 1, fmt.Errorf("a record of %d bytes", length)
	}
	var body bytes.Buffer // not made at once: the length may be wrong
	if n, err := io.CopyN(&body, in, int64(length)+4); err != nil {
		return nil, 1 + n, err
	}
	b := body.Bytes()
	payload = b[:length]
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(b[length:]) {
		return nil, 1, errors.New("a checksum is wrong")
	}
	return payload, int64(len(binary.AppendUvarint(nil, length))) + int64(length) + 4, nil
}

// take takes a record.
func (r *Recording) take(runs map[uint64]*Instance, payload []byte) error {
	k, rest := kind(payload[0]), payload[1:]
	number, n := binary.Uvarint(rest)
	if n <= 0 {
		return errors.New("a record without a number of its run")
	}
	rest = rest[n:]
	micros, n := binary.Uvarint(rest)
	if n <= 0 {
		return errors.New("a record without a time")
	}
	rest = rest[n:]
	at, run := time.UnixMicro(int64(micros)), runs[number]
	if k == runRecord && run == nil {
		run = &Instance{Number: number, Answers: map[uint64]Timed[*ordov1.Actions]{}}
		runs[number] = run
		r.Runs = append(r.Runs, run)
		return nil
	}
	if run == nil && k != fullRecord {
		return fmt.Errorf("a record of run %d, which has not begun", number)
	}
	switch k {
	case eventRecord:
		e := &ordov1.ConsensusEvent{}
		if err := proto.Unmarshal(rest, e); err != nil {
			return fmt.Errorf("an event: %w", err)
		}
		run.Events = append(run.Events, Timed[*ordov1.ConsensusEvent]{at, e})
	case actionsRecord:
		a := &ordov1.Actions{}
		if err := proto.Unmarshal(rest, a); err != nil {
			return fmt.Errorf("an answer: %w", err)
		}
		run.Answers[a.Seq] = Timed[*ordov1.Actions]{at, a}
	case fullRecord:
		r.Full = true
	default:
		return fmt.Errorf("a record of kind %d", k)
	}
	return nil
}
