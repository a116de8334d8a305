package mempool

import (
	"bytes"
	"testing"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

func words(numbers ...uint64) (packed []byte) {
	for _, n := range numbers {
		b := make([]byte, 32)
		for i := range 8 {
			b[31-i] = byte(n >> (8 * i))
		}
		packed = append(packed, b...)
	}
	return packed
}

// A policy sees the calls of a multicall, and nothing where the encoding is another one.
func TestCalls(t *testing.T) {
	for _, c := range []struct {
		name     string
		calldata []byte
		want     int
	}{
		{"none", words(0), 0},
		{"two", words(2, 100, 200, 3, 1, 2, 3, 101, 201, 0), 2},
		{"one word too many", words(1, 100, 200, 0, 9), 0},
		{"cut", words(1, 100, 200, 2, 9), 0},
		{"cairo 0 call array", words(1, 100, 200, 0, 3, 3, 1, 2, 3), 0},
		{"count beyond all", words(1<<63, 1, 2, 3), 0},
		{"length beyond all", words(1, 1, 2, 1<<63), 0},
		{"count over 64 bits", append(bytes.Repeat([]byte{1}, 32), words(1)...), 0},
		{"not whole words", words(1, 100, 200, 0)[:127], 0},
		{"empty", nil, 0},
	} {
		got := Calls(&ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Calldata: c.calldata})
		if len(got) != c.want {
			t.Errorf("%s: %d calls, want %d", c.name, len(got), c.want)
		}
	}
	two := Calls(&ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Calldata: words(2, 100, 200, 1, 7, 101, 201, 0)})
	if !bytes.Equal(two[1].To, words(101)) || !bytes.Equal(two[1].Selector, words(201)) {
		t.Errorf("second call: %v", two[1])
	}
}

func TestMaxFee(t *testing.T) {
	price := func(n uint64) []byte { return words(n)[16:] }
	tx := &ordov1.Transaction{Tip: 5, ResourceBounds: &ordov1.ResourceBounds{L1GasAmount: 2, L1GasPrice: price(3), L2GasAmount: 10, L2GasPrice: price(7), L1DataGasAmount: 1, L1DataGasPrice: price(1)}}
	if got := maxFee(tx); !bytes.Equal(got, price(2*3+10*(7+5)+1)) {
		t.Errorf("max fee %x", got)
	}
	tx.ResourceBounds.L2GasPrice = bytes.Repeat([]byte{0xff}, 16)
	if got := maxFee(tx); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 16)) {
		t.Errorf("a fee that does not fit: %x", got)
	}
}

func FuzzCalls(f *testing.F) {
	f.Add(words(2, 100, 200, 3, 1, 2, 3, 101, 201, 0))
	f.Add(words(1<<63, 1, 2, 3))
	f.Fuzz(func(t *testing.T, calldata []byte) {
		size := 32
		for _, c := range Calls(&ordov1.Transaction{Type: ordov1.TransactionType_INVOKE, Calldata: calldata}) {
			if len(c.To) != 32 || len(c.Selector) != 32 {
				t.Fatalf("a call of %d and %d bytes", len(c.To), len(c.Selector))
			}
			size += 96
		}
		if size > len(calldata) && size > 32 {
			t.Fatalf("%d bytes of calls out of %d", size, len(calldata))
		}
	})
}
