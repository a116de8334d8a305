package badger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

const (
	chunkSize = 256 << 10
	// blobLimit bounds what a damaged or hostile blob may unpack to.
	blobLimit = 1 << 30
)

var errBlob = errors.New("blob is damaged")

// blobs packs and unpacks. Both halves may be used by several goroutines at once.
type blobs struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newBlobs() (*blobs, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(blobLimit), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &blobs{enc, dec}, nil
}

func (b *blobs) close() {
	_ = b.enc.Close()
	b.dec.Close()
}

// put appends the chunks of a blob. Chunk 0 begins with the number of chunks, so leftovers of a longer blob under the
// same prefix are never read.
func (b *blobs) put(writes []write, prefix, data []byte) []write {
	packed := b.enc.EncodeAll(data, make([]byte, 2, 2+len(data)/2+64))
	n := max(1, (len(packed)+chunkSize-1)/chunkSize)
	binary.BigEndian.PutUint16(packed, uint16(n))
	for i := range n {
		writes = append(writes, write{chunkKey(prefix, i), packed[i*chunkSize : min(len(packed), (i+1)*chunkSize)]})
	}
	return writes
}

func chunkKey(prefix []byte, chunk int) []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, len(prefix)+2), prefix...), uint16(chunk))
}

// get returns nil, nil when the blob is not there.
func (b *blobs) get(v view, prefix []byte) ([]byte, error) {
	return b.unpack(prefix, func(n int) ([]byte, error) { return v.get(chunkKey(prefix, n)) })
}

// unpack puts a blob together from its chunks; a chunk that is not there is nil.
func (b *blobs) unpack(prefix []byte, chunk func(n int) ([]byte, error)) ([]byte, error) {
	first, err := chunk(0)
	if err != nil || first == nil {
		return nil, err
	}
	if len(first) < 2 {
		return nil, fmt.Errorf("%w: %x", errBlob, prefix)
	}
	packed := first[2:]
	for i := 1; i < int(binary.BigEndian.Uint16(first)); i++ {
		next, err := chunk(i)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, fmt.Errorf("%w: %x: chunk %d is missing", errBlob, prefix, i)
		}
		packed = append(packed, next...)
	}
	out, err := b.dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %x: %w", errBlob, prefix, err)
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}

func (b *blobs) putMessage(writes []write, prefix []byte, m proto.Message) ([]write, error) {
	data, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %x: %w", prefix, err)
	}
	return b.put(writes, prefix, data), nil
}

// getMessage reports whether the blob is there.
func (b *blobs) getMessage(v view, prefix []byte, m proto.Message) (bool, error) {
	data, err := b.get(v, prefix)
	if err != nil || data == nil {
		return false, err
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return false, fmt.Errorf("%w: %x: %w", errBlob, prefix, err)
	}
	return true, nil
}

// remove appends the deletion of every chunk.
func (b *blobs) remove(v view, writes []write, prefix []byte) ([]write, error) {
	err := v.scan(prefix, nil, true, func(k, _ []byte) (bool, error) {
		if len(k) == len(prefix)+2 {
			writes = append(writes, write{key: append([]byte(nil), k...)})
		}
		return true, nil
	})
	return writes, err
}
