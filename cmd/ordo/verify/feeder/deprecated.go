package feeder

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/starknet/keccak"
)

// deprecated reads a Cairo 0 class. Its hash covers program and ABI as JSON printed by Python, so the JSON is rebuilt in
// that form; everything in the file is covered but debug information.
func (d *decoder) deprecated(raw json.RawMessage) *starknet.DeprecatedClass {
	o := d.object("", raw)
	c := new(starknet.DeprecatedClass)
	if d.err != nil {
		return c
	}
	body := o.need("program")
	if len(body) > 0 && body[0] == '"' {
		body = d.unpack(o.at("program"), body)
	}
	p := d.object("program", body)
	c.Bytecode = p.felts("data")
	if json.Unmarshal(p.need("builtins"), &c.Builtins) != nil {
		d.fail("program.builtins", "want a list of names")
	}
	e := o.object("entry_points_by_type")
	for name, list := range map[string]*[]starknet.DeprecatedEntryPoint{"EXTERNAL": &c.External, "L1_HANDLER": &c.L1Handler, "CONSTRUCTOR": &c.Constructor} {
		e.each(name, func(path string, raw json.RawMessage) {
			q := d.object(path, raw)
			entry := starknet.DeprecatedEntryPoint{Selector: q.felt("selector")}
			if raw := q.need("offset"); len(raw) > 0 && raw[0] != '"' {
				entry.Offset = felt.FromUint64(d.uint(q.at("offset"), raw))
			} else {
				entry.Offset = d.felt(q.at("offset"), raw)
			}
			*list = append(*list, entry)
			q.close()
		})
	}
	e.close()
	abi, ok := o.take("abi")
	if !ok {
		abi = json.RawMessage("[]")
	}
	o.close()
	if d.err != nil {
		return c
	}
	text, err := hintedText(abi, body)
	if err != nil {
		d.fail("program", "%v", err)
	}
	c.Hinted = keccak.Sum(text)
	return c
}

func (d *decoder) unpack(path string, raw json.RawMessage) json.RawMessage {
	var text string
	err := json.Unmarshal(raw, &text)
	var packed []byte
	if err == nil {
		packed, err = base64.StdEncoding.DecodeString(text)
	}
	if err == nil {
		packed, err = Inflate(packed)
	}
	if err == nil && json.Valid(packed) {
		err = duplicate(packed)
	}
	if err != nil {
		d.fail(path, "%v", err)
	}
	return packed
}

// hintedText is the JSON that the hash covers.
func hintedText(abi, program json.RawMessage) ([]byte, error) {
	decode := func(raw json.RawMessage) (v any, err error) {
		in := json.NewDecoder(bytes.NewReader(raw))
		in.UseNumber()
		err = in.Decode(&v)
		return v, err
	}
	a, err := decode(abi)
	if err != nil {
		return nil, err
	}
	p, err := decode(program)
	if err != nil {
		return nil, err
	}
	fields, ok := p.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object")
	}
	fields["debug_info"] = nil
	trimAttributes(fields)
	if fields["compiler_version"] == nil {
		// Compilers before 0.10 printed named tuples with a space before the colon; the hash keeps that.
		delete(fields, "compiler_version")
		for _, k := range []string{"identifiers", "reference_manager"} {
			spaceTuples(fields[k])
		}
	}
	var out bytes.Buffer
	python(&out, map[string]any{"abi": a, "program": fields})
	return out.Bytes(), nil
}

// trimAttributes drops what compilers that did not know attributes, or some of their fields, did not print.
func trimAttributes(program map[string]any) {
	list, _ := program["attributes"].([]any)
	if len(list) == 0 {
		delete(program, "attributes")
		return
	}
	for _, e := range list {
		attr, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if scopes, _ := attr["accessible_scopes"].([]any); len(scopes) == 0 {
			delete(attr, "accessible_scopes")
		}
		if attr["flow_tracking_data"] == nil {
			delete(attr, "flow_tracking_data")
		}
	}
}

func spaceTuples(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			spaceTuples(e)
		}
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && (k == "cairo_type" || k == "value") {
				s = strings.ReplaceAll(s, ": ", " : ")
				v[k] = strings.ReplaceAll(s, "  :", " :")
				continue
			}
			spaceTuples(e)
		}
	}
}

// python prints as json.dumps(v, sort_keys=True) does.
func python(out *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		fmt.Fprint(out, v)
	case json.Number:
		out.WriteString(v.String())
	case string:
		pythonString(out, v)
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteString(", ")
			}
			python(out, e)
		}
		out.WriteByte(']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, byNumber)
		out.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				out.WriteString(", ")
			}
			pythonString(out, k)
			out.WriteString(": ")
			python(out, v[k])
		}
		out.WriteByte('}')
	}
}

// byNumber orders keys as text, but offsets of hints, which are integers in Python, by value.
func byNumber(a, b string) int {
	x, err := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	if err != nil || err2 != nil {
		return strings.Compare(a, b)
	}
	return cmp.Compare(x, y)
}

func pythonString(out *bytes.Buffer, s string) {
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\b':
			out.WriteString(`\b`)
		case r == '\f':
			out.WriteString(`\f`)
		case r >= 0x20 && r < utf8.RuneSelf:
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	out.WriteByte('"')
}
