package felt

import (
	"bytes"
	"testing"
)

// TestPacked: whole rows are visited in order, what is left over is not, and the walk ends when it is told to.
func TestPacked(t *testing.T) {
	var packed []byte
	for i := range byte(5) {
		packed = append(packed, bytes.Repeat([]byte{i}, Size)...)
	}
	packed = append(packed, 9)
	var rows []byte
	for row := range Rows(packed) {
		if len(row) != Size || cap(row) != Size {
			t.Fatalf("a row of %d bytes with room for %d", len(row), cap(row))
		}
		rows = append(rows, row[0])
	}
	if !bytes.Equal(rows, []byte{0, 1, 2, 3, 4}) {
		t.Errorf("rows %v", rows)
	}
	var pairs []byte
	for first, second := range Pairs(packed) {
		pairs = append(pairs, first[0], second[Size-1])
	}
	if !bytes.Equal(pairs, []byte{0, 1, 2, 3}) {
		t.Errorf("pairs %v", pairs)
	}
	for range Rows(packed) {
		break
	}
	for range Pairs(packed) {
		break
	}
}
