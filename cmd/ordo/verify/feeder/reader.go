package feeder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// decoder keeps the first error and the fields that were not asked for, so that a verifier can say what it does not cover.
type decoder struct {
	err    error
	unread map[string]bool
}

func newDecoder() *decoder { return &decoder{unread: make(map[string]bool)} }

func (d *decoder) fail(path, format string, args ...any) {
	if d.err == nil {
		if path == "" {
			path = "file"
		}
		d.err = fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	}
}

var indices = regexp.MustCompile(`\[\d+\]`)

// leave records a field that was not read, without its index.
func (d *decoder) leave(path string) { d.unread[indices.ReplaceAllString(path, "[]")] = true }

func (d *decoder) unreadFields() []string {
	out := make([]string, 0, len(d.unread))
	for p := range d.unread {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// object is a JSON object of which fields are taken one by one.
type object struct {
	d      *decoder
	path   string
	fields map[string]json.RawMessage
}

func (d *decoder) object(path string, raw json.RawMessage) *object {
	o := &object{d: d, path: path}
	if err := json.Unmarshal(raw, &o.fields); err != nil || o.fields == nil {
		d.fail(path, "want an object")
	}
	return o
}

// close records what is left in the object.
func (o *object) close() {
	for k, raw := range o.fields {
		// Null and an empty list or object hold nothing that could be wrong.
		if s := string(bytes.TrimSpace(raw)); s != "[]" && s != "{}" && s != "null" {
			o.d.leave(o.at(k))
		}
	}
}

func (o *object) at(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

// has reports whether all the fields are there and none is null.
func (o *object) has(keys ...string) bool {
	for _, k := range keys {
		if raw, ok := o.fields[k]; !ok || string(raw) == "null" {
			return false
		}
	}
	return true
}

// take removes a field; ok is false when it is absent or null.
func (o *object) take(key string) (raw json.RawMessage, ok bool) {
	raw, ok = o.fields[key]
	delete(o.fields, key)
	return raw, ok && string(raw) != "null"
}

// need is take for a field that must be there.
func (o *object) need(key string) json.RawMessage {
	raw, ok := o.take(key)
	if !ok {
		o.d.fail(o.at(key), "missing")
	}
	return raw
}

// first returns the first of the names that is a field, or the first name.
func (o *object) first(names ...string) string {
	for _, n := range names {
		if o.has(n) {
			return n
		}
	}
	return names[0]
}

func (o *object) object(key string) *object { return o.d.object(o.at(key), o.need(key)) }

func (o *object) felt(key string) felt.Felt { return o.d.felt(o.at(key), o.need(key)) }

// feltOr reads an optional felt.
func (o *object) feltOr(key string) (f felt.Felt, ok bool) {
	if raw, ok := o.take(key); ok {
		return o.d.felt(o.at(key), raw), true
	}
	return f, false
}

func (o *object) felts(key string) []felt.Felt { return o.d.felts(o.at(key), o.need(key)) }

// feltsOr reads an optional list.
func (o *object) feltsOr(key string) []felt.Felt {
	if raw, ok := o.take(key); ok {
		return o.d.felts(o.at(key), raw)
	}
	return nil
}

func (o *object) string(key string) string {
	var s string
	if raw := o.need(key); json.Unmarshal(raw, &s) != nil {
		o.d.fail(o.at(key), "want a string")
	}
	return s
}

// uint reads a number, or a number in hex as a string.
func (o *object) uint(key string) uint64 { return o.d.uint(o.at(key), o.need(key)) }

func (o *object) uint128(key string) starknet.Uint128 {
	u, err := starknet.Uint128FromFelt(o.felt(key))
	if err != nil {
		o.d.fail(o.at(key), "%v", err)
	}
	return u
}

// each calls f for every element of a list.
func (o *object) each(key string, f func(path string, raw json.RawMessage)) {
	o.d.each(o.at(key), o.need(key), f)
}

func (d *decoder) each(path string, raw json.RawMessage, f func(path string, raw json.RawMessage)) {
	var list []json.RawMessage
	if d.err == nil && (json.Unmarshal(raw, &list) != nil || list == nil) {
		d.fail(path, "want a list")
	}
	for i, r := range list {
		if d.err != nil {
			return
		}
		f(path+"["+strconv.Itoa(i)+"]", r)
	}
}

// pairs reads a list of objects with two felts.
func (o *object) pairs(key, first, second string) []starknet.Pair {
	var out []starknet.Pair
	o.each(key, func(path string, raw json.RawMessage) {
		e := o.d.object(path, raw)
		out = append(out, starknet.Pair{Key: e.felt(first), Value: e.felt(second)})
		e.close()
	})
	return out
}

// pairsOr is pairs for a field that older files do not have.
func (o *object) pairsOr(key, first, second string) []starknet.Pair {
	if !o.has(key) {
		return nil
	}
	return o.pairs(key, first, second)
}

func (d *decoder) felt(path string, raw json.RawMessage) (f felt.Felt) {
	if d.err != nil {
		return f
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		d.fail(path, "%v", err)
	}
	return f
}

func (d *decoder) felts(path string, raw json.RawMessage) []felt.Felt {
	if d.err != nil {
		return nil
	}
	var list []felt.Felt
	if err := json.Unmarshal(raw, &list); err != nil {
		d.fail(path, "%v", err)
	} else if list == nil {
		d.fail(path, "want a list")
	}
	return list
}

func (d *decoder) uint(path string, raw json.RawMessage) (n uint64) {
	if d.err != nil {
		return 0
	}
	if len(raw) > 0 && raw[0] == '"' {
		n, ok := d.felt(path, raw).Uint64()
		if !ok {
			d.fail(path, "more than 64 bits")
		}
		return n
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		d.fail(path, "want a number of at most 64 bits")
	}
	return n
}
