package jsonin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"unicode/utf8"

	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// TestPlaces: an error names the whole way to the value.
func TestPlaces(t *testing.T) {
	o, err := ParseObject(json.RawMessage(`{"a":{"list":["0x1",{"b":"0xzz"}]},"n":-1,"extra":1}`))
	if err != nil {
		t.Fatal(err)
	}
	in := o.Object("a")
	items := in.List("list")
	inner, err := ParseObject(items[1])
	if err != nil {
		t.Fatal(err)
	}
	inner.Felt("b")
	in.Fail("list", At(1, inner.Done()))
	o.Fail("a", in.Done())
	o.Number("n") // comes too late: the first error stays
	if got, want := fmt.Sprint(o.Done()), `a.list[1].b: "0xzz": not a hex digit`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnknownFieldsComeLast(t *testing.T) {
	o, _ := ParseObject(json.RawMessage(`{"x":1,"n":7,"b":null}`))
	if n := o.Number("n"); n != 7 || o.Err() != nil {
		t.Error(n, o.Err())
	}
	if o.Has("b") {
		t.Error("null is no value")
	}
	if got := fmt.Sprint(o.Done()); got != "x: unknown field; known here: n, b" {
		t.Error(got)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		raw string
		ok  bool
	}{
		{`"0x0"`, true}, {`"0x00000000000000000000000000000000ffffffffffffffff"`, true}, {`"0xFFFFFFFFFFFFFFFF"`, true},
		{`"0x10000000000000000"`, false}, {`"0x"`, false}, {`"ff"`, false}, {`255`, false}, {`"0x-1"`, false}, {`null`, false}, {`"\u0030x1"`, false},
	} {
		if _, err := Uint64(json.RawMessage(c.raw)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.raw, err)
		}
	}
	if n, err := Uint128(json.RawMessage(`"0x102"`)); err != nil || !bytes.Equal(n, append(make([]byte, 14), 1, 2)) {
		t.Error(n, err)
	}
}

// FuzzFelts: a list that is read has one felt an element, each equal to the element read alone.
func FuzzFelts(f *testing.F) {
	f.Add([]byte(`["0x1","0x0fF"]`))
	f.Add([]byte(`["0x800000000000011000000000000000000000000000000000000000000000001"]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		packed, err := Felts(raw)
		if err != nil {
			return
		}
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil || len(packed) != len(items)*felt.Size {
			t.Fatalf("%d bytes of %d items: %v", len(packed), len(items), err)
		}
		for i, item := range items {
			one, err := Felt(item)
			if err != nil || !bytes.Equal(one, packed[i*felt.Size:(i+1)*felt.Size]) {
				t.Fatalf("element %d: %x, %v", i, one, err)
			}
		}
	})
}

// FuzzValues: whatever is read is what the text says, and nothing is read that the text does not hold.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{`"0x1f"`, `17`, `-1`, `1e3`, `"a\u00e9"`, `"\ud800"`, `true`, `null`, `{"a":[1,{"b":null}]}`, `[[]]`, ` 7 `, `"0x` + "ffffffffffffffff" + `"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // the server looks first
		}
		if n, err := Number(raw); err == nil {
			var same uint64
			if json.Unmarshal(raw, &same) != nil || same != n {
				t.Fatalf("%s is read as %d", raw, n)
			}
		}
		if n, err := Uint64(raw); err == nil {
			if wide, err := Uint128(raw); err != nil || new(big.Int).SetBytes(wide).Uint64() != n {
				t.Fatalf("%s is read as %d and %x: %v", raw, n, wide, err)
			}
		}
		if text, err := String(raw); err == nil {
			var same string
			if json.Unmarshal(raw, &same) != nil || same != text && utf8.Valid(raw) {
				t.Fatalf("%s is read as %q", raw, text)
			}
		}
		if v, err := Bool(raw); err == nil && string(bytes.TrimSpace(raw)) != map[bool]string{true: "true", false: "false"}[v] {
			t.Fatalf("%s is read as %v", raw, v)
		}
		o, err := ParseObject(raw)
		if err != nil {
			return
		}
		for name := range o.fields {
			if !o.Has(name) && string(bytes.TrimSpace(o.fields[name])) != "null" {
				t.Fatalf("%q is there and not there", name)
			}
			o.Felts(name)
			o.Flags(name, true, "A", "B")
		}
		_ = o.Done()
	})
}
