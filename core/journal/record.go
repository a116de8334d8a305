package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Kinds of record, the first byte of one. They are on disk: never renumber.
const (
	kindAdmit   = 1 // number, class?, transaction: a promise
	kindRelease = 2 // numbers: admissions that are in blocks or dropped
	kindStep    = 3 // step, height, block, note
	kindPersist = 4 // height, bytes of consensus
	kindHeight  = 5 // height, all that is known of it: replaces every record before
	kindForget  = 6 // index: segments below are forgotten
	kindOrigin  = 7 // genesis, height, block: what the segments before said of which chain this is
	kindLasting = 8 // bytes of consensus that replace those before
)

// body is a decoded record: one of admission, release, Step, persisted, Height, forget, origin, lasting. Its bytes alias the input.
type body interface{}

type (
	admission struct {
		number    uint64
		tx, class []byte // class is nil where there is none
	}
	release   struct{ numbers []uint64 }
	persisted struct {
		height uint64
		data   []byte
	}
	forget  struct{ below uint64 }
	lasting struct{ data []byte }
	origin  struct {
		genesis []byte // empty: not known
		height  uint64
		block   []byte // decided there and committed; empty: not known
	}
)

var errRecord = errors.New("a record is malformed")

func encodeTransaction(tx *ordov1.Transaction, class *ordov1.Class) ([]byte, error) {
	size := proto.Size(tx)
	b := make([]byte, 0, size+proto.Size(class)+16)
	if class == nil {
		b = append(b, 0)
	} else {
		encoded, err := proto.Marshal(class)
		if err != nil {
			return nil, fmt.Errorf("encode class: %w", err)
		}
		b = appendBytes(append(b, 1), encoded)
	}
	b, err := proto.MarshalOptions{}.MarshalAppend(b, tx)
	if err != nil {
		return nil, fmt.Errorf("encode transaction: %w", err)
	}
	return b, nil
}

func encodeAdmit(number uint64, encoded []byte) []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(encoded))
	return append(binary.AppendUvarint(append(b, kindAdmit), number), encoded...)
}

func encodeRelease(numbers []uint64) []byte {
	b := []byte{kindRelease}
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func encodeStep(s Step) []byte {
	b := binary.AppendUvarint([]byte{kindStep, byte(s.Kind)}, s.Height)
	return append(appendBytes(b, s.Block), s.Note...)
}

func encodePersist(height uint64, data []byte) []byte {
	return append(binary.AppendUvarint([]byte{kindPersist}, height), data...)
}

func encodeHeight(h *Height) []byte {
	b := binary.AppendUvarint([]byte{kindHeight}, h.Number)
	for _, part := range [][]byte{h.Proposed, h.Decided, h.Note} {
		b = appendBytes(b, part)
	}
	return append(b, h.Log...)
}

func encodeLasting(data []byte) []byte { return append([]byte{kindLasting}, data...) }

func encodeForget(below uint64) []byte {
	return binary.AppendUvarint([]byte{kindForget}, below)
}

func encodeOrigin(o origin) []byte {
	b := appendBytes([]byte{kindOrigin}, o.genesis)
	return append(binary.AppendUvarint(b, o.height), o.block...)
}

func appendBytes(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// eachRecord splits the payload of a frame.
func eachRecord(payload []byte, visit func(record []byte) error) error {
	c := cursor{rest: payload}
	for len(c.rest) > 0 {
		record := c.bytes()
		if c.bad || len(record) == 0 {
			return errRecord
		}
		if err := visit(record); err != nil {
			return err
		}
	}
	return nil
}

func decodeRecord(record []byte) (body, error) {
	if len(record) == 0 {
		return nil, errRecord
	}
	c := cursor{rest: record[1:]}
	var decoded body
	switch kind := record[0]; kind {
	case kindAdmit:
		a := admission{number: c.number()}
		switch c.byte() {
		case 0:
		case 1:
			a.class = c.bytes()
		default:
			c.bad = true
		}
		a.tx = c.rest
		decoded = a
	case kindRelease:
		var r release
		for len(c.rest) > 0 && !c.bad {
			r.numbers = append(r.numbers, c.number())
		}
		decoded = r
	case kindStep:
		s := Step{Kind: Kind(c.byte()), Height: c.number(), Block: c.bytes()}
		s.Note = c.rest
		c.bad = c.bad || s.Kind < Proposed || s.Kind > Founded || s.Height == ^uint64(0)
		decoded = s
	case kindPersist:
		p := persisted{height: c.number()}
		p.data = c.rest
		decoded = p
	case kindHeight:
		h := Height{Number: c.number(), Proposed: c.bytes(), Decided: c.bytes(), Note: c.bytes()}
		h.Log = c.rest
		decoded = h
	case kindForget:
		decoded = forget{c.number()}
		c.bad = c.bad || len(c.rest) > 0
	case kindOrigin:
		o := origin{genesis: c.bytes(), height: c.number()}
		o.block = c.rest
		decoded = o
	case kindLasting:
		decoded = lasting{c.rest}
	default:
		return nil, fmt.Errorf("a record has the unknown kind %d", kind)
	}
	if c.bad {
		return nil, errRecord
	}
	return decoded, nil
}

// cursor reads from the front; bad says that something did not fit.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) byte() byte {
	if len(c.rest) == 0 {
		c.bad = true
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

func (c *cursor) number() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// bytes returns a non-nil slice unless the input is bad.
func (c *cursor) bytes() []byte {
	n := c.number()
	if c.bad || n > uint64(len(c.rest)) {
		c.bad, c.rest = true, nil
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}
