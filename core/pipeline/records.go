package pipeline

import (
	"encoding/binary"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// write is something of consensus that is to be durable. Writes are given to the driver one at a time, in order.
type write struct {
	kind   writeKind
	height uint64
	data   []byte
	sign   *ordov1.Action_Sign // of a guard: what waits for it; nil: nothing does any more
}

// writeKind says what a write is; the first two are the tags of the records of a height, on the disk: never renumber.
type writeKind byte

const (
	recordWrite  writeKind = 1 // what a protocol persists for a height
	guardWrite   writeKind = 2 // what this node is about to sign at a height
	lastingWrite writeKind = 3 // what a protocol persists over heights; a record of its own
)

// barrier says whether the actions that follow have to wait for the disk.
func (c *consensus) barrier() bool {
	for _, w := range c.writes {
		if w.kind != guardWrite {
			return true
		}
	}
	return false
}

// write queues a write, and gives it to the driver when none is on its way.
func (m *Machine) write(w write) {
	w.height = m.height
	m.consensus.writes = append(m.consensus.writes, w)
	if len(m.consensus.writes) == 1 {
		m.nextWrite()
	}
}

func (m *Machine) nextWrite() {
	w := m.consensus.writes[0]
	if w.kind == lastingWrite {
		m.emit(Persist{Height: w.height, Data: w.data, Lasting: true})
		return
	}
	m.emit(Persist{Height: w.height, Data: appendRecord(nil, w.kind, w.data)})
}

// persisted takes that the oldest write is durable. An instance of consensus that came up meanwhile is told of the bytes like any that came before.
func (m *Machine) persisted() error {
	c := &m.consensus
	if len(c.writes) == 0 {
		return nil
	}
	w := c.writes[0]
	c.writes = c.writes[1:]
	switch {
	case w.kind == lastingWrite:
		c.state = w.data
	case w.kind == recordWrite && w.height == m.height:
		c.records = append(c.records, w.data)
	case w.kind == guardWrite && w.sign != nil:
		m.tellSigned(w.sign, w.height, true)
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

// readRecords splits what was persisted for a height. Bytes that are no records were written before there were any kinds: they are one.
func readRecords(log []byte) (records [][]byte, guards []*ordov1.Action_Sign) {
	for rest := log; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size == 0 || size > uint64(len(rest)-n) {
			return [][]byte{log}, nil
		}
		kind, data := writeKind(rest[n]), rest[n+1:n+int(size)]
		rest = rest[n+int(size):]
		switch kind {
		case recordWrite:
			records = append(records, data)
		case guardWrite:
			if g := readGuard(data); g != nil {
				guards = append(guards, g)
			}
		default:
			return [][]byte{log}, nil
		}
	}
	return records, guards
}
