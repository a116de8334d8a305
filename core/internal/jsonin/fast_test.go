package jsonin

import (
	"bytes"
	"encoding/json"
	"testing"
)

var quickSeeds = []string{
	`["0x1","0xABCdef","0x0000000000000000000000000000000000000000000000000000000000000007"]`, `[]`, ` [ "0x7" ] `, `["0x1",]`, `["0x"]`, `["0X1"]`, `["0xg"]`,
	`["0x80000000000000000000000000000000000000000000000000000000000000"]`, `["0x800000000000000000000000000000000000000000000000000000000000000"]`,
	`["0x00000000000000000000000000000000000000000000000000000000000000001"]`, `"0x1"`, `{"a":[1,-2,0],"b":{"c":null}}`, `[01]`, `-`, `1.5`, `truex`, `["a" "b"]`, `{"a":1,}`, `{"a"}`, `["]"]`,
}

// quickly holds what Quick reads beside what encoding/json and the careful functions read.
func quickly(t *testing.T, raw []byte) {
	t.Helper()
	q := NewFast(raw)
	if v := q.Value(); q.Ended() && (!json.Valid(raw) || !bytes.Equal(v, bytes.TrimSpace(raw))) {
		t.Fatalf("%q is read as %q", raw, v)
	}
	q = NewFast(raw)
	if list := q.Felts(); q.Ended() {
		if want, err := feltsCarefully(raw); err != nil || !json.Valid(raw) || !bytes.Equal(list, want) {
			t.Fatalf("%q is read as %x, the careful reader has %x, %v", raw, list, want, err)
		}
	}
	q = NewFast(raw)
	if n := q.Uint64(); q.Ended() {
		if want, err := Uint64(raw); err != nil || n != want {
			t.Fatalf("%q is read as %d, the careful reader has %d, %v", raw, n, want, err)
		}
	}
	var price [16]byte
	q = NewFast(raw)
	if q.Hex(price[:]); q.Ended() {
		if want, err := Uint128(raw); err != nil || !bytes.Equal(price[:], want) {
			t.Fatalf("%q is read as %x, the careful reader has %x, %v", raw, price, want, err)
		}
	}
}

func TestFastSeeds(t *testing.T) {
	read := 0
	for _, seed := range quickSeeds {
		quickly(t, []byte(seed))
		if q := NewFast([]byte(seed)); q.Felts() != nil && q.Ended() {
			read++
		}
	}
	if read != 4 {
		t.Errorf("%d of the seeds are lists of felts that the quick reader takes, want 4", read)
	}
}

// FuzzFast: Quick gives up or reads what the careful functions read.
func FuzzFast(f *testing.F) {
	for _, seed := range quickSeeds {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`"0x00ff"`))
	f.Fuzz(func(t *testing.T, raw []byte) { quickly(t, raw) })
}
