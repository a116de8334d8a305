package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// A table is blocks, then its index, u32 length of the index, the checksum of the index, u32 length of the checksum.
// A block is entries, u32 offsets of them, u32 their number, the checksum of all that, u32 length of the checksum.

// blockRef is where a block lies.
type blockRef struct{ offset, length int64 }

// CheckTable reads every block of a table and its index, and returns how many keys it has.
func CheckTable(f io.ReaderAt, size int64) (keys uint32, err error) {
	blocks, keys, err := tableIndex(f, size)
	if err != nil {
		return 0, err
	}
	// Blocks lie one after the other: read many at once.
	buf := make([]byte, min(size, 1<<20))
	for len(blocks) > 0 {
		first := blocks[0].offset
		n := 1
		for n < len(blocks) && blocks[n].offset+blocks[n].length-first <= int64(len(buf)) && blocks[n].offset >= first {
			n++
		}
		need := blocks[n-1].offset + blocks[n-1].length - first
		if need > int64(len(buf)) {
			buf = make([]byte, need)
		}
		if _, err := f.ReadAt(buf[:need], first); err != nil {
			return 0, fmt.Errorf("blocks at %d cannot be read: %w", first, err)
		}
		for _, b := range blocks[:n] {
			if err := checkBlock(buf[b.offset-first : b.offset-first+b.length]); err != nil {
				return 0, fmt.Errorf("the block at %d is damaged: %w", b.offset, err)
			}
		}
		blocks = blocks[n:]
	}
	return keys, nil
}

// tableIndex reads the index of a table and checks that it names blocks of the file.
func tableIndex(f io.ReaderAt, size int64) (blocks []blockRef, keys uint32, err error) {
	at := size
	take := func(n int64, what string) []byte {
		if err != nil {
			return nil
		}
		if n < 0 || n > at {
			err = fmt.Errorf("its %s has length %d in a file of %d bytes", what, n, size)
			return nil
		}
		at -= n
		buf := make([]byte, n)
		if _, e := f.ReadAt(buf, at); e != nil {
			err = fmt.Errorf("its %s cannot be read: %w", what, e)
			return nil
		}
		return buf
	}
	number := func(what string) int64 {
		if b := take(4, what); b != nil {
			return int64(binary.BigEndian.Uint32(b))
		}
		return 0
	}
	sum := take(number("end"), "checksum")
	index := take(number("length of the index"), "index")
	if err != nil {
		return nil, 0, err
	}
	if err := checkSum(index, sum); err != nil {
		return nil, 0, fmt.Errorf("its index is damaged: %w", err)
	}
	defer func() { // the index fits its checksum, so this is one that Badger could not read either
		if r := recover(); r != nil {
			err = fmt.Errorf("its index cannot be read: %v", r)
		}
	}()
	root := fb.GetRootAsTableIndex(index, 0)
	n := root.OffsetsLength()
	if n == 0 {
		return nil, 0, errors.New("its index is empty")
	}
	next := int64(0)
	for i := range n {
		var b fb.BlockOffset
		if !root.Offsets(&b, i) {
			return nil, 0, fmt.Errorf("its index lacks block %d", i)
		}
		r := blockRef{int64(b.Offset()), int64(b.Len())}
		if r.offset < next || r.length <= 0 || r.offset+r.length > at {
			return nil, 0, fmt.Errorf("its index puts block %d at %d, of length %d", i, r.offset, r.length)
		}
		next = r.offset + r.length
		blocks = append(blocks, r)
	}
	return blocks, root.KeyCount(), nil
}

func checkBlock(block []byte) error {
	tail := func(n int) ([]byte, error) {
		if n < 0 || n > len(block) {
			return nil, fmt.Errorf("a part of %d bytes in a rest of %d", n, len(block))
		}
		part := block[len(block)-n:]
		block = block[:len(block)-n]
		return part, nil
	}
	number, err := tail(4)
	if err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(number)
	if n > math.MaxInt32 {
		return fmt.Errorf("a checksum of %d bytes", n)
	}
	sum, err := tail(int(n))
	if err != nil {
		return err
	}
	if err := checkSum(block, sum); err != nil {
		return err
	}
	if number, err = tail(4); err != nil {
		return err
	}
	if entries := int64(binary.BigEndian.Uint32(number)); entries*4 > int64(len(block)) {
		return fmt.Errorf("%d entries", entries)
	}
	return nil
}

func checkSum(data, encoded []byte) error {
	var sum pb.Checksum
	if err := proto.Unmarshal(encoded, &sum); err != nil {
		return fmt.Errorf("its checksum cannot be read: %w", err)
	}
	if sum.Algo != pb.Checksum_CRC32C && sum.Algo != pb.Checksum_XXHash64 {
		return fmt.Errorf("its checksum is of an unknown kind, %d", sum.Algo)
	}
	if got := y.CalculateChecksum(data, sum.Algo); got != sum.Sum {
		return fmt.Errorf("it does not fit its checksum (%x, want %x)", got, sum.Sum)
	}
	return nil
}

// checkTableFile is CheckTable of a file, as Damage.
func checkTableFile(path, name string) (size int64, keys uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if keys, err = CheckTable(f, st.Size()); err != nil {
		return st.Size(), 0, &Damage{File: name, Text: err.Error()}
	}
	return st.Size(), keys, nil
}
