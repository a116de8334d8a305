package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"
)

// A log is a twenty byte head (id of the encryption key, base of its IV), then entries: meta, user meta, varints of key
// length, value length and expiry, key, value, CRC. The entries of a transaction are marked and share a version, the
// last eight bytes of their keys; an entry of its own ends it, whose value is that version in decimal.
const (
	logHead  = 20
	inTxn    = 0x40
	endOfTxn = 0x80
	maxKey   = 1 << 16
)

// Log is one write-ahead log.
type Log struct {
	Name string
	Size int64 // of the file
	Used int64 // behind the last byte that is not zero
	End  int64 // behind the last whole transaction of the unbroken beginning: what Badger reads

	Transactions int // in it
	Behind       int // whole ends of transactions behind End: there was more than one torn write
	Encrypted    bool
}

// Torn says whether something follows what can be read.
func (l *Log) Torn() bool { return l.Used > l.End }

type entry struct {
	meta       byte
	key, value []byte
	length     int64
}

// readEntry reads the entry at the beginning of data; ok is false when there is none that fits its checksum.
func readEntry(data []byte) (e entry, ok bool) {
	if len(data) < 2 || data[0] == 0 && data[1] == 0 {
		return e, false
	}
	at := 2
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(data[at:])
		if n <= 0 {
			return e, false
		}
		numbers[i], at = v, at+n
	}
	klen, vlen, rest := numbers[0], numbers[1], uint64(len(data)-at)
	if klen == 0 || klen > maxKey || klen > rest || vlen > rest-klen || rest-klen-vlen < 4 {
		return e, false
	}
	end := at + int(klen+vlen)
	if crc32.Checksum(data[:end], castagnoli) != binary.BigEndian.Uint32(data[end:]) {
		return e, false
	}
	return entry{meta: data[0], key: data[at : at+int(klen)], value: data[at+int(klen) : end], length: int64(end + 4)}, true
}

// version is the version in a key, which Badger appends inverted.
func version(key []byte) (uint64, bool) {
	if len(key) <= 8 {
		return 0, false
	}
	return ^binary.BigEndian.Uint64(key[len(key)-8:]), true
}

// ReadLog finds out how far a log can be read, as Badger would, and whether there is more behind a break. f, which may be
// nil, is told of every entry of every whole transaction, without its version; the slices are those of data.
func ReadLog(name string, data []byte, f func(key, value []byte, deleted bool)) *Log {
	l := &Log{Name: name, Size: int64(len(data)), Used: int64(len(trimZeros(data)))}
	if len(data) < logHead {
		l.End, l.Used = l.Size, l.Size
		return l
	}
	l.Encrypted = binary.BigEndian.Uint64(data) != 0
	l.End, l.Used = logHead, max(l.Used, logHead)
	data = data[:min(int64(len(data)), l.Used+64)] // the last entry may end in zeros
	at := l.End
	var txn uint64
	var open []entry
	for at < int64(len(data)) {
		e, ok := readEntry(data[at:])
		if !ok {
			break
		}
		v, ok := version(e.key)
		at += e.length
		switch {
		case !ok:
		case e.meta&endOfTxn != 0:
			ok = len(open) > 0 && v == txn && string(e.value) == strconv.FormatUint(txn, 10)
			if ok {
				l.End = at
				l.Transactions++
				for _, e := range open {
					if f != nil {
						f(e.key[:len(e.key)-8], e.value, e.meta&1 != 0)
					}
				}
				open = open[:0]
			}
		case e.meta&inTxn == 0 || len(open) > 0 && v != txn:
			ok = false // ordo writes nothing outside of transactions
		default:
			txn = v
			open = append(open, e)
		}
		if !ok {
			break
		}
	}
	l.Used = max(l.Used, l.End)
	l.Behind = ends(data[l.End:])
	return l
}

// NextEnd is where the transaction that begins at an offset of a log ends; 0 when it does not.
func NextEnd(data []byte, from int64) int64 {
	for at := from; at < int64(len(data)); {
		e, ok := readEntry(data[at:])
		if !ok {
			return 0
		}
		if at += e.length; e.meta&endOfTxn != 0 {
			return at
		}
	}
	return 0
}

// ends counts the ends of transactions in what lies behind a break, wherever entries begin.
func ends(data []byte) (n int) {
	for at := 0; at < len(data); {
		b := data[at]
		if b&(inTxn|endOfTxn) != 0 && b&^(inTxn|endOfTxn|1) == 0 && at+1 < len(data) && data[at+1] == 0 {
			if e, ok := readEntry(data[at:]); ok {
				if e.meta&endOfTxn != 0 {
					n++
				}
				at += int(e.length)
				continue
			}
		}
		at++
	}
	return n
}

var zeros [4096]byte

func trimZeros(data []byte) []byte {
	for len(data) >= len(zeros) && bytes.Equal(data[len(data)-len(zeros):], zeros[:]) {
		data = data[:len(data)-len(zeros)]
	}
	return bytes.TrimRight(data, "\x00")
}
