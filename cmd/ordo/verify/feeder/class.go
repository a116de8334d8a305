package feeder

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// maxInflated bounds what a compressed file or program may grow to.
const maxInflated = 256 << 20

func (d *decoder) sierra(raw json.RawMessage) *starknet.SierraClass {
	o := d.object("", raw)
	defer o.close()
	c := &starknet.SierraClass{Version: o.string("contract_class_version"), ABI: o.abi(), Program: o.program("sierra_program")}
	e := o.object("entry_points_by_type")
	for name, list := range map[string]*[]starknet.SierraEntryPoint{"EXTERNAL": &c.External, "L1_HANDLER": &c.L1Handler, "CONSTRUCTOR": &c.Constructor} {
		e.each(name, func(path string, raw json.RawMessage) {
			p := d.object(path, raw)
			*list = append(*list, starknet.SierraEntryPoint{Selector: p.felt("selector"), Function: p.uint("function_idx")})
			p.close()
		})
	}
	e.close()
	return c
}

// abi reads the ABI: the text that is hashed, or JSON as the compiler leaves it, which clients then print as Python would.
func (o *object) abi() string {
	raw, _ := o.take("abi")
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			o.d.fail(o.at("abi"), "%v", err)
		}
		return s
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '[' {
		o.d.fail(o.at("abi"), "want a string or a list")
		return ""
	}
	return spaced(raw)
}

// spaced puts one space after each comma and colon that is not in a text, and drops other space between tokens.
func spaced(raw []byte) string {
	var tight bytes.Buffer
	if err := json.Compact(&tight, raw); err != nil {
		return ""
	}
	out := make([]byte, 0, tight.Len()+tight.Len()/8)
	inText, escaped := false, false
	for _, c := range tight.Bytes() {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case inText && c == '\\':
			escaped = true
		case c == '"':
			inText = !inText
		case !inText && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return string(out)
}

// program reads a list of felts, plain or as the gateway takes it: JSON, gzipped, in base64.
func (o *object) program(key string) []felt.Felt {
	raw := o.need(key)
	if len(raw) == 0 || raw[0] != '"' {
		return o.d.felts(o.at(key), raw)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		o.d.fail(o.at(key), "%v", err)
		return nil
	}
	packed, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		packed, err = Inflate(packed)
	}
	if err != nil {
		o.d.fail(o.at(key), "%v", err)
		return nil
	}
	return o.d.felts(o.at(key), packed)
}

// Inflate undoes gzip.
func Inflate(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil {
		return nil, err
	}
	if len(out) > maxInflated {
		return nil, fmt.Errorf("more than %d MB when inflated", maxInflated>>20)
	}
	return out, nil
}

func (d *decoder) compiled(raw json.RawMessage) *starknet.CompiledClass {
	o := d.object("", raw)
	defer o.close()
	if prime := fieldPrime; o.has("prime") && o.string("prime") != prime {
		d.fail("prime", "not Starknet's field prime")
	}
	c := &starknet.CompiledClass{Bytecode: o.felts("bytecode")}
	if raw, ok := o.take("bytecode_segment_lengths"); ok {
		s := d.segment(o.at("bytecode_segment_lengths"), raw, 0)
		c.Segments = &s
	}
	e := o.object("entry_points_by_type")
	for name, list := range map[string]*[]starknet.CompiledEntryPoint{"EXTERNAL": &c.External, "L1_HANDLER": &c.L1Handler, "CONSTRUCTOR": &c.Constructor} {
		e.each(name, func(path string, raw json.RawMessage) {
			p := d.object(path, raw)
			entry := starknet.CompiledEntryPoint{Selector: p.felt("selector"), Offset: p.uint("offset")}
			if json.Unmarshal(p.need("builtins"), &entry.Builtins) != nil {
				d.fail(p.at("builtins"), "want a list of names")
			}
			*list = append(*list, entry)
			p.close()
		})
	}
	e.close()
	return c
}

const fieldPrime = "0x800000000000011000000000000000000000000000000000000000000000001"

// segment reads a length, or a list of segments.
func (d *decoder) segment(path string, raw json.RawMessage, depth int) starknet.Segment {
	if depth > 100 {
		d.fail(path, "nested deeper than 100")
	}
	if d.err != nil || len(raw) == 0 || raw[0] != '[' {
		return starknet.Segment{Length: d.uint(path, raw)}
	}
	s := starknet.Segment{Parts: []starknet.Segment{}}
	d.each(path, raw, func(path string, raw json.RawMessage) {
		s.Parts = append(s.Parts, d.segment(path, raw, depth+1))
	})
	return s
}
