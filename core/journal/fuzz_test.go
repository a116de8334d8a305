package journal

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
)

func seeds(f *testing.F) [][]byte {
	var all [][]byte
	for i := range 5 {
		encoded, err := encodeTransaction(transaction(i))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, encodeAdmit(uint64(i)<<(7*i), encoded))
	}
	return append(all,
		encodeRelease(nil), encodeRelease([]uint64{0, 300, 1 << 63}),
		encodeStep(Step{Kind: Decided, Height: 7, Block: []byte("id"), Note: []byte("note")}), encodeStep(Step{Kind: Accepted, Height: 1 << 40}),
		encodePersist(9, []byte("vote")), encodeHeight(&Height{Number: 3, Proposed: []byte("a"), Decided: []byte("b"), Log: []byte("log")}),
		encodeOrigin(origin{genesis: []byte("genesis"), height: 5}), encodeForget(12), encodeLasting([]byte("term 3")), []byte{kindAdmit, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte{0}, nil)
}

// FuzzRecord: what decodes says the same after encoding it again.
func FuzzRecord(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		decoded, err := decodeRecord(record)
		if err != nil {
			return
		}
		var again []byte
		switch b := decoded.(type) {
		case admission:
			encoded := append([]byte{0}, b.tx...)
			if b.class != nil {
				encoded = append(appendBytes([]byte{1}, b.class), b.tx...)
			}
			again = encodeAdmit(b.number, encoded)
		case release:
			again = encodeRelease(b.numbers)
		case Step:
			again = encodeStep(b)
		case persisted:
			again = encodePersist(b.height, b.data)
		case Height:
			again = encodeHeight(&b)
		case forget:
			again = encodeForget(b.below)
		case origin:
			again = encodeOrigin(b)
		case lasting:
			again = encodeLasting(b.data)
		default:
			t.Fatalf("%T", b)
		}
		// Numbers may have been written longer than need be; what we write is a fixed point.
		if len(again) > len(record) {
			t.Fatalf("%x became %x", record, again)
		}
		if second, err := decodeRecord(again); err != nil {
			t.Fatalf("%x became %x: %v", record, again, err)
		} else if a, ok := decoded.(admission); ok {
			b := second.(admission)
			if a.number != b.number || !bytes.Equal(a.tx, b.tx) || !bytes.Equal(a.class, b.class) || (a.class == nil) != (b.class == nil) {
				t.Fatalf("%x became %x", record, again)
			}
		}
	})
}

// FuzzSegment: frames are built around the input, so that the reader behind the checksum is reached.
func FuzzSegment(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(appendBytes(nil, seed), seed)
	}
	f.Fuzz(func(t *testing.T, payload, tail []byte) {
		h := header{index: 1, salt: 0x1122334455667788, first: 1, chain: "TEST"}
		data := h.append(nil)
		if len(payload) > 0 {
			frame := append(make([]byte, frameHead), payload...)
			sealFrame(frame, h.salt, uint64(len(data)))
			data = append(data, frame...)
		}
		data = append(data, tail...)
		d := newDisk(1)
		n := &inode{data, data}
		d.names[segmentName(1)], d.durable[segmentName(1)] = n, n
		j, r, err := Open(d, tiny)
		if err != nil {
			return
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, again, err := Open(d.after(synced, 0), tiny)
		if err != nil {
			t.Fatalf("opened once, then: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if again.Torn != nil || digest(r) != digest(again) {
			t.Fatalf("opened as\n%sthen as\n%s", digest(r), digest(again))
		}
		for i, w := range r.Transactions {
			if !proto.Equal(w.Tx, again.Transactions[i].Tx) {
				t.Fatal("a transaction changed")
			}
		}
	})
}
