package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

const (
	version    = 1
	magic      = "ordowal\n"
	headerSize = 8 + 4 + 4 + 8*8 + chainSize + 4
	chainSize  = 32
	frameHead  = 4 + 4 + 4
	maxFrame   = 1 << 28 // no record is near it; a length beyond is damage

	flagUnsynced = 1 // frames are written without fsync: any of them may be torn, not only the last

	suffix    = ".journal"
	newSuffix = ".new"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header begins a segment. What it says of heights and numbers holds at the moment the segment was begun, so that the
// segments before it can be forgotten.
type header struct {
	flags  uint32
	index  uint64
	salt   uint64 // random: no sender of transactions can guess what a frame looks like
	first  uint64 // segments below are forgotten, whether their files are still there or not
	next   uint64 // number of the next admission
	heads  Heads
	before uint64 // size of the segment before; 0: there is none
	chain  string
}

func (h *header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, h.flags)
	for _, v := range []uint64{h.index, h.salt, h.first, h.next, h.heads.Applied, h.heads.Committed, h.heads.Accepted, h.before} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	var chain [chainSize]byte
	copy(chain[:], h.chain)
	b = append(b, chain[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseHeader(b []byte) (h header, err error) {
	if len(b) < headerSize {
		return h, fmt.Errorf("its header is cut short: %d of %d bytes", len(b), headerSize)
	}
	b = b[:headerSize]
	if string(b[:8]) != magic {
		return h, errors.New("it is not a journal")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return h, fmt.Errorf("it has version %d of the journal's format, this program reads %d: use the program that wrote it", v, version)
	}
	end := headerSize - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return h, errors.New("the checksum of its header is wrong")
	}
	h.flags = binary.LittleEndian.Uint32(b[12:])
	for i, v := range []*uint64{&h.index, &h.salt, &h.first, &h.next, &h.heads.Applied, &h.heads.Committed, &h.heads.Accepted, &h.before} {
		*v = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	h.chain = string(bytes.TrimRight(b[end-chainSize:end], "\x00"))
	return h, nil
}

// sealFrame fills in the head of a frame: frame is frameHead bytes of room and the payload. The checksum covers where the
// frame stands, so that bytes of another place, segment or run never pass for it.
func sealFrame(frame []byte, salt, offset uint64) {
	length := uint32(len(frame) - frameHead)
	binary.LittleEndian.PutUint32(frame, uint32(salt))
	binary.LittleEndian.PutUint32(frame[4:], length)
	binary.LittleEndian.PutUint32(frame[8:], checksum(salt, offset, length, frame[frameHead:]))
}

func checksum(salt, offset uint64, length uint32, payload []byte) uint32 {
	var place [20]byte
	binary.LittleEndian.PutUint64(place[:], salt)
	binary.LittleEndian.PutUint64(place[8:], offset)
	binary.LittleEndian.PutUint32(place[16:], length)
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, payload)
}

// readFrame returns the payload of the frame that begins at offset of a segment.
func readFrame(segment []byte, salt, offset uint64) (payload []byte, err error) {
	rest := segment[offset:]
	if len(rest) < frameHead {
		return nil, errors.New("a frame is cut short")
	}
	if binary.LittleEndian.Uint32(rest) != uint32(salt) {
		return nil, errors.New("no frame begins here")
	}
	length := binary.LittleEndian.Uint32(rest[4:])
	if length == 0 || length > maxFrame {
		return nil, fmt.Errorf("a frame claims %d bytes", length)
	}
	if uint64(len(rest)-frameHead) < uint64(length) {
		return nil, fmt.Errorf("a frame of %d bytes is cut short", length)
	}
	payload = rest[frameHead : frameHead+int(length)]
	if checksum(salt, offset, length, payload) != binary.LittleEndian.Uint32(rest[8:]) {
		return nil, fmt.Errorf("the checksum of a frame of %d bytes is wrong", length)
	}
	return payload, nil
}

// frameAfter looks for a whole frame beyond a bad one, at any place, because the bad one's length cannot be believed.
func frameAfter(segment []byte, salt, offset uint64) (at uint64, found bool) {
	mark := binary.LittleEndian.AppendUint32(nil, uint32(salt))
	for at = offset + 1; at < uint64(len(segment)); at++ {
		i := bytes.Index(segment[at:], mark)
		if i < 0 {
			break
		}
		at += uint64(i)
		if _, err := readFrame(segment, salt, at); err == nil {
			return at, true
		}
	}
	return 0, false
}

func segmentName(index uint64) string { return fmt.Sprintf("%016d%s", index, suffix) }

func segmentIndex(name string) (index uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	return index, err == nil && segmentName(index) == name
}
