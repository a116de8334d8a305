// Package jsonin reads the JSON that clients send: strictly, and with errors that name the place of the fault.
//
// An Object keeps its first error, so a decoder reads all its fields in a row and asks Done once. Felts come out in the
// form of the plugin protocol: 32 bytes big-endian, lists packed.
package jsonin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Error says which value is wrong and why. Path is dotted, such as request[0].calldata[3]; empty for the whole.
type Error struct {
	Path   string
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Errorf makes an Error about the whole value; In puts it in its place.
func Errorf(format string, args ...any) *Error { return &Error{Reason: fmt.Sprintf(format, args...)} }

// In prefixes the path of err with name; other errors become the reason of an Error at name.
func In(name string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error)
	if !ok {
		return &Error{Path: name, Reason: err.Error()}
	}
	switch {
	case e.Path == "":
		return &Error{Path: name, Reason: e.Reason}
	case e.Path[0] == '[':
		return &Error{Path: name + e.Path, Reason: e.Reason}
	}
	return &Error{Path: name + "." + e.Path, Reason: e.Reason}
}

// At is In for the element i of a list.
func At(i int, err error) error {
	if err == nil {
		return nil
	}
	return In(fmt.Sprintf("[%d]", i), err)
}

// Object is a JSON object that is being read.
type Object struct {
	fields map[string]json.RawMessage
	known  []string
	err    error
}

// ParseObject reads the outer braces only.
func ParseObject(raw json.RawMessage) (*Object, error) {
	if kind(raw) != "an object" {
		return nil, Errorf("%s where an object is expected", kind(raw))
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, Errorf("not a json object: %v", err)
	}
	return NewObject(fields), nil
}

// NewObject reads fields that are already apart, such as positional parameters.
func NewObject(fields map[string]json.RawMessage) *Object { return &Object{fields: fields} }

// Fail keeps an error about the field; the first one stays.
func (o *Object) Fail(name string, err error) {
	if o.err == nil && err != nil {
		o.err = In(name, err)
	}
}

// Err is the first error so far.
func (o *Object) Err() error { return o.err }

// Done is the first error, or that there are unknown fields.
func (o *Object) Done() error {
	if o.err != nil || len(o.fields) == 0 {
		return o.err
	}
	var unknown []string
	for name := range o.fields {
		if !slices.Contains(o.known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return &Error{Path: short(unknown[0]), Reason: "unknown field; known here: " + strings.Join(o.known, ", ")}
	}
	return nil
}

// Has reports whether the field is there and not null. It also makes the field a known one.
func (o *Object) Has(name string) bool {
	if !slices.Contains(o.known, name) {
		o.known = append(o.known, name)
	}
	raw, ok := o.fields[name]
	return ok && !isNull(raw)
}

// Raw returns a required field.
func (o *Object) Raw(name string) json.RawMessage {
	if !o.Has(name) {
		o.Fail(name, Errorf("missing"))
		return nil
	}
	return o.fields[name]
}

// Object returns a required field that is an object; read it and hand its Done to Fail.
func (o *Object) Object(name string) *Object {
	raw := o.Raw(name)
	if o.err != nil {
		return NewObject(nil).failed(o.err)
	}
	in, err := ParseObject(raw)
	if err != nil {
		o.Fail(name, err)
		return NewObject(nil).failed(err)
	}
	return in
}

func (o *Object) failed(err error) *Object { o.err = err; return o }

// Felt returns a required felt.
func (o *Object) Felt(name string) []byte { return read(o, name, Felt) }

// Felts returns a required list of felts, packed.
func (o *Object) Felts(name string) []byte { return read(o, name, Felts) }

// Uint64 returns a required number written as hex.
func (o *Object) Uint64(name string) uint64 { return read(o, name, Uint64) }

// Uint128 returns a required number written as hex, as 16 bytes big-endian.
func (o *Object) Uint128(name string) []byte { return read(o, name, Uint128) }

// Number returns a required number written as a JSON integer.
func (o *Object) Number(name string) uint64 { return read(o, name, Number) }

// Bool returns a required true or false.
func (o *Object) Bool(name string) bool { return read(o, name, Bool) }

// String returns a required string.
func (o *Object) String(name string) string { return read(o, name, String) }

// Enum returns the position of a required string among the allowed ones.
func (o *Object) Enum(name string, allowed ...string) int {
	return read(o, name, func(raw json.RawMessage) (int, error) { return Enum(raw, allowed) })
}

// Flags returns which of the allowed strings are in a list; a missing list is empty when optional.
func (o *Object) Flags(name string, optional bool, allowed ...string) []bool {
	set := make([]bool, len(allowed))
	if optional && !o.Has(name) {
		return set
	}
	for i, raw := range o.List(name) {
		at, err := Enum(raw, allowed)
		if err != nil {
			o.Fail(name, At(i, err))
			break
		}
		set[at] = true
	}
	return set
}

// List returns the elements of a required list.
func (o *Object) List(name string) []json.RawMessage { return read(o, name, List) }

func read[T any](o *Object, name string, decode func(json.RawMessage) (T, error)) (v T) {
	raw := o.Raw(name)
	if o.err != nil {
		return v
	}
	v, err := decode(raw)
	o.Fail(name, err)
	return v
}

func short(name string) string {
	if len(name) > 80 {
		return name[:80] + "..."
	}
	return name
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }
