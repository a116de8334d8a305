package pipeline

import (
	"encoding/binary"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// write is something of consensus that is to be durable. Writes are given to the driver in order, as many at a time as wait.
type write struct {
	kind   writeKind
	height uint64
	data   []byte
	sign   *ordov1.Action_Sign // of a guard: what waits for it; nil: nothing does any more
}

// writeKind says what a write is; those of records of a height are their tags on the disk: never renumber.
type writeKind byte

const (
	recordWrite  writeKind = 1 // what a protocol persists for a height
	guardWrite   writeKind = 2 // what this node is about to sign at a height
	lastingWrite writeKind = 3 // what a protocol persists over heights; no record of a height
	bodyWrite    writeKind = 4 // the body of a proposal
)

// waits says whether the actions that follow have to wait for the disk.
func (c *consensus) waits() bool {
	for _, w := range c.writes {
		if w.kind == recordWrite || w.kind == lastingWrite {
			return true
		}
	}
	return false
}

// barrier says whether actions of consensus have to wait: for the disk, for a learned block, or for a decided order.
func (m *Machine) barrier() bool { return m.consensus.waits() || m.learning() || m.ordered != nil }

// write queues a write, behind the bodies that are not written yet, and gives it to the driver when none is on its way.
func (m *Machine) write(w write) {
	c := &m.consensus
	for _, body := range c.bodies.unwritten {
		c.writes = append(c.writes, write{kind: bodyWrite, height: m.height, data: body})
	}
	c.bodies.unwritten = nil
	w.height = m.height
	c.writes = append(c.writes, w)
	if c.writing == 0 {
		m.nextWrite()
	}
}

// maxWrite is how many bytes are written at a time, if it is more than one write.
const maxWrite = 1 << 20

// nextWrite gives the oldest writes to the driver: those that can go together.
func (m *Machine) nextWrite() {
	c := &m.consensus
	w := c.writes[0]
	if c.writing = 1; w.kind == lastingWrite {
		m.emit(Persist{Height: w.height, Data: w.data, Lasting: true})
		return
	}
	data := appendRecord(nil, w.kind, w.data)
	for _, next := range c.writes[1:] {
		if next.kind == lastingWrite || next.height != w.height || len(data)+len(next.data) > maxWrite {
			break
		}
		data = appendRecord(data, next.kind, next.data)
		c.writing++
	}
	m.emit(Persist{Height: w.height, Data: data})
}

// persisted takes that what was given to the driver is durable. An instance of consensus that came up meanwhile is told of the bytes like any
// that came before.
func (m *Machine) persisted() error {
	c := &m.consensus
	done := c.writes[:c.writing]
	c.writes, c.writing = c.writes[c.writing:], 0
	for _, w := range done {
		switch {
		case w.kind == lastingWrite:
			c.state = w.data
		case w.kind == recordWrite && w.height == m.height:
			c.records = append(c.records, w.data)
		case w.kind == guardWrite && w.sign != nil:
			m.tellSigned(w.sign, w.height, true)
		}
	}
	if len(c.writes) > 0 {
		m.nextWrite()
	} else if c.startDeferred {
		m.beginConsensus()
	}
	return m.runActions()
}

// appendRecord appends a record of a height: its length, its kind, its bytes.
func appendRecord(b []byte, kind writeKind, data []byte) []byte {
	b = binary.AppendUvarint(b, uint64(1+len(data)))
	return append(append(b, byte(kind)), data...)
}

// heightLog is what was written for a height.
type heightLog struct {
	records [][]byte
	guards  []*ordov1.Action_Sign
	bodies  []keptBody
}

// readRecords splits what was written for a height. Bytes that are no records were written before there were any kinds: they are one.
func readRecords(log []byte) (h heightLog) {
	for rest := log; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size == 0 || size > uint64(len(rest)-n) {
			return heightLog{records: [][]byte{log}}
		}
		kind, data := writeKind(rest[n]), rest[n+1:n+int(size)]
		rest = rest[n+int(size):]
		switch kind {
		case recordWrite:
			h.records = append(h.records, data)
		case guardWrite:
			if g := readGuard(data); g != nil {
				h.guards = append(h.guards, g)
			}
		case bodyWrite:
			if k, ok := readBody(data); ok {
				h.bodies = append(h.bodies, k)
			}
		default:
			return heightLog{records: [][]byte{log}}
		}
	}
	return h
}
