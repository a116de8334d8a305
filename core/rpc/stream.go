package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"reflect"
	"strconv"
	"strings"
)

// piece is how much of an answer is gathered before it is written. One that is not larger is held whole.
const piece = 32 << 10

// jsonWriter writes values as encoding/json does, but in pieces: the text of a large answer is never there as a whole. With
// spill nil it gathers all of it.
type jsonWriter struct {
	buf    []byte
	spill  func([]byte) error
	err    error // of spill: the rest is not written
	layout map[reflect.Type][]jsonField

	version *Version // nil: newest
}

// jsonField is a field of a struct, with those of embedded structs in their places.
type jsonField struct {
	index     int
	head      string // the name as it is written, with the colon
	omitEmpty bool
	embedded  bool
}

func (j *jsonWriter) room() {
	if j.spill == nil || len(j.buf) < piece {
		return
	}
	if j.err == nil {
		j.err = j.spill(j.buf)
	}
	j.buf = j.buf[:0]
}

// raw writes text that is JSON already.
func (j *jsonWriter) raw(text []byte) {
	for len(text) > 0 && j.err == nil {
		n := len(text)
		if j.spill != nil {
			n = min(n, piece)
		}
		j.buf = append(j.buf, text[:n]...)
		text = text[n:]
		j.room()
	}
}

// Write implements io.Writer for json.Encoder, which ends every value with a line break.
func (j *jsonWriter) Write(text []byte) (int, error) {
	j.raw(bytes.TrimSuffix(text, []byte("\n")))
	return len(text), j.err
}

// value writes v. What is small is left to encoding/json.
func (j *jsonWriter) value(v any, large bool) error {
	if !large && (j.version == nil || j.version == newest) { // encoding/json knows of no versions
		return j.whole(v)
	}
	if err := j.walk(reflect.ValueOf(v)); err != nil {
		return err
	}
	return j.err
}

func (j *jsonWriter) whole(v any) error {
	encoder := json.NewEncoder(j)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func (j *jsonWriter) walk(v reflect.Value) error {
	if j.err != nil {
		return j.err
	}
	j.room()
	if !v.IsValid() {
		j.buf = append(j.buf, "null"...)
		return nil
	}
	switch v.Type() {
	case reflect.TypeFor[hexFelt]():
		j.buf = appendHex(j.buf, v.Bytes())
		return nil
	case reflect.TypeFor[hexFelts]():
		j.felts(v.Bytes())
		return nil
	case reflect.TypeFor[json.RawMessage]():
		return j.message(v.Bytes())
	}
	if v.Type().Implements(reflect.TypeFor[json.Marshaler]()) {
		return j.whole(v.Interface())
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return j.walk(v.Elem()) // of nil it is not valid
	case reflect.Struct:
		return j.object(v)
	case reflect.Slice:
		return j.list(v)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		j.buf = strconv.AppendUint(j.buf, v.Uint(), 10)
		return nil
	}
	return j.whole(v.Interface())
}

func (j *jsonWriter) felts(packed []byte) {
	j.buf = append(j.buf, '[')
	first := true
	for row := range felt.Rows(packed) {
		if !first {
			j.buf = append(j.buf, ',')
		}
		first = false
		j.buf = appendHex(j.buf, row)
		j.room()
	}
	j.buf = append(j.buf, ']')
}

func (j *jsonWriter) message(text []byte) error {
	switch {
	case text == nil:
		j.buf = append(j.buf, "null"...)
	case !json.Valid(text):
		return fmt.Errorf("what is stored is not valid json")
	}
	j.raw(text)
	return nil
}

func (j *jsonWriter) list(v reflect.Value) error {
	if v.IsNil() {
		j.buf = append(j.buf, "null"...)
		return nil
	}
	j.buf = append(j.buf, '[')
	for i := range v.Len() {
		if i > 0 {
			j.buf = append(j.buf, ',')
		}
		if err := j.walk(v.Index(i)); err != nil {
			return err
		}
	}
	j.buf = append(j.buf, ']')
	return nil
}

func (j *jsonWriter) object(v reflect.Value) error {
	j.buf = append(j.buf, '{')
	if _, err := j.fields(v, true); err != nil {
		return err
	}
	j.buf = append(j.buf, '}')
	return nil
}

// fields writes the fields of a struct; first tells whether none was written before.
func (j *jsonWriter) fields(v reflect.Value, first bool) (stillFirst bool, err error) {
	for _, f := range j.layoutOf(v.Type()) {
		field := v.Field(f.index)
		switch {
		case f.embedded:
			if field.Kind() == reflect.Pointer {
				field = field.Elem()
			}
			if first, err = j.fields(field, first); err != nil {
				return first, err
			}
			continue
		case f.omitEmpty && isEmpty(field):
			continue
		case !first:
			j.buf = append(j.buf, ',')
		}
		first = false
		j.buf = append(j.buf, f.head...)
		if err := j.walk(field); err != nil {
			return first, err
		}
	}
	return first, nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

func (j *jsonWriter) layoutOf(t reflect.Type) []jsonField {
	if known, ok := j.layout[t]; ok {
		return known
	}
	if j.layout == nil {
		j.layout = map[reflect.Type][]jsonField{}
	}
	var list []jsonField
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && tag == "" && (f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Pointer):
			list = append(list, jsonField{index: i, embedded: true})
		case !f.IsExported() || tag == "-":
		default:
			if name == "" {
				name = f.Name
			}
			if j.version != nil && !j.version.shows(t, name) {
				continue
			}
			list = append(list, jsonField{index: i, head: strconv.Quote(name) + ":", omitEmpty: options == "omitempty"})
		}
	}
	j.layout[t] = list
	return list
}

// weight is about what a value takes of the memory. Answers that are given often, and are small, are not looked into.
func weight(v any) int {
	switch v := v.(type) {
	case nil, appender, string, bool, uint64, int, hexFelt:
		return 0
	case json.RawMessage:
		return len(v)
	case hexFelts:
		return len(v)
	}
	r := reflect.ValueOf(v)
	return int(r.Type().Size()) + behind(r)
}

// behind is what a value refers to.
func behind(v reflect.Value) (sum int) {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Slice:
		item := v.Type().Elem()
		sum = v.Len() * int(item.Size())
		if item.Kind() != reflect.Uint8 {
			for i := range v.Len() {
				sum += behind(v.Index(i))
			}
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			sum = int(v.Elem().Type().Size()) + behind(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			sum += behind(v.Field(i))
		}
	}
	return sum
}
