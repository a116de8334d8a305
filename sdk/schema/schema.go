// Package schema checks a plugin's configuration against the JSON Schema that the plugin declares.
//
// It knows the part of JSON Schema that describes configurations: type, properties, required, enum, minimum, maximum,
// minLength, items, default, additionalProperties (as false), and the annotations title, description, examples, $schema, $id and
// $comment. Any other keyword is an error of the schema: it would promise a check that is not made. It is stricter than the
// standard in one way: a key that the schema does not name is an error, and the answer names the key that was probably meant.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Schema is one node of a JSON Schema.
type Schema struct {
	Type                 string             `json:"type"`
	Description          string             `json:"description"`
	Properties           map[string]*Schema `json:"properties"`
	Required             []string           `json:"required"`
	Items                *Schema            `json:"items"`
	Enum                 []any              `json:"enum"`
	Minimum              *float64           `json:"minimum"`
	Maximum              *float64           `json:"maximum"`
	MinLength            int                `json:"minLength"`
	Default              json.RawMessage    `json:"default"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`

	unknown []string // keywords
}

// Problem is one way in which a document does not fit.
type Problem struct {
	Path    string // dotted key; "" is the document itself
	Summary string
	Detail  string // what to do about it; may be empty
}

func (p Problem) String() string {
	text := p.Summary
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Detail != "" {
		text += " (" + p.Detail + ")"
	}
	return text
}

// Parse reads a schema. The empty text is the schema of a plugin that takes no configuration.
func Parse(text string) (*Schema, error) {
	s := &Schema{Type: "object"}
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("config schema: %w", err)
	}
	if err := s.valid(""); err != nil {
		return nil, fmt.Errorf("config schema: %w", err)
	}
	if s.Type != "object" {
		return nil, fmt.Errorf("config schema: the root must have type object, not %q", s.Type)
	}
	return s, nil
}

var keywords = []string{"$comment", "$id", "$schema", "additionalProperties", "default", "description", "enum", "examples", "items",
	"maximum", "minLength", "minimum", "properties", "required", "title", "type"}

// UnmarshalJSON reads one node, and keeps the keywords that are not known for the error, which names the place.
func (s *Schema) UnmarshalJSON(text []byte) error {
	type plain Schema // without this method
	if err := json.Unmarshal(text, (*plain)(s)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for keyword := range all {
		if !slices.Contains(keywords, keyword) {
			s.unknown = append(s.unknown, keyword)
		}
	}
	sort.Strings(s.unknown)
	return nil
}

func (s *Schema) valid(path string) error {
	switch s.Type {
	case "object", "array", "string", "integer", "number", "boolean", "":
	default:
		return fmt.Errorf("%s: unknown type %q", name(path), s.Type)
	}
	if len(s.unknown) > 0 {
		return fmt.Errorf("%s: the keyword %q is not supported: known are %s", name(path), s.unknown[0], strings.Join(keywords, ", "))
	}
	if a := strings.TrimSpace(string(s.AdditionalProperties)); a != "" && a != "false" {
		return fmt.Errorf("%s: additionalProperties can only be false: an object without properties takes any key", name(path))
	}
	for _, key := range s.Required {
		if s.Properties[key] == nil {
			return fmt.Errorf("%s: required, and not one of the properties", join(path, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[key]
		if p == nil {
			return fmt.Errorf("%s: null schema", join(path, key))
		}
		if err := p.valid(join(path, key)); err != nil {
			return err
		}
	}
	if s.Items != nil {
		if err := s.Items.valid(path + "[]"); err != nil {
			return err
		}
	}
	if len(s.Default) == 0 {
		return nil
	}
	value, err := decode(s.Default)
	if err != nil {
		return fmt.Errorf("%s: default: %w", name(path), err)
	}
	if problems := s.check(path, value); len(problems) > 0 {
		return fmt.Errorf("the default does not fit: %s", problems[0])
	}
	return nil
}

// Check returns every problem of a document, in a stable order; none means that it fits. Empty input is `{}`.
func (s *Schema) Check(document []byte) []Problem {
	_, problems := s.Complete(document)
	return problems
}

// Complete returns a document with the defaults of the keys that it leaves out, and its problems. An object that is absent and
// has no default stays absent, whatever defaults its keys have.
func (s *Schema) Complete(document []byte) ([]byte, []Problem) {
	if len(bytes.TrimSpace(document)) == 0 {
		document = []byte("{}")
	}
	value, err := decode(document)
	if err != nil {
		return nil, []Problem{{Summary: "not JSON: " + err.Error()}}
	}
	s.fill(value)
	if problems := s.check("", value); len(problems) > 0 {
		return nil, problems
	}
	whole, err := json.Marshal(value)
	if err != nil {
		return nil, []Problem{{Summary: "not JSON: " + err.Error()}}
	}
	return whole, nil
}

// decode reads one value; a float64 would round large integers before they are checked, so numbers stay text.
func decode(document []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the first value")
	}
	return value, nil
}

// fill adds the defaults in place.
func (s *Schema) fill(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, p := range s.Properties {
			if _, given := v[key]; !given && len(p.Default) > 0 {
				if v[key], _ = decode(p.Default); v[key] == nil { // it was read when the schema was
					delete(v, key)
				}
			}
			p.fill(v[key])
		}
	case []any:
		if s.Items != nil {
			for _, item := range v {
				s.Items.fill(item)
			}
		}
	}
}

func (s *Schema) check(path string, value any) []Problem {
	if !s.accepts(value) {
		return []Problem{{Path: path, Summary: fmt.Sprintf("want %s, got %s", s.wants(), show(value))}}
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return equal(e, value) }) {
		return []Problem{s.notInEnum(path, value)}
	}
	switch v := value.(type) {
	case map[string]any:
		return s.checkObject(path, v)
	case []any:
		if s.Items == nil {
			return nil
		}
		var all []Problem
		for i, item := range v {
			all = append(all, s.Items.check(path+"["+strconv.Itoa(i)+"]", item)...)
		}
		return all
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return []Problem{{Path: path, Summary: fmt.Sprintf("number %s is out of range", v)}}
		}
		if s.Minimum != nil && f < *s.Minimum {
			return []Problem{{Path: path, Summary: fmt.Sprintf("%s is below the minimum %s", v, number(*s.Minimum))}}
		}
		if s.Maximum != nil && f > *s.Maximum {
			return []Problem{{Path: path, Summary: fmt.Sprintf("%s is above the maximum %s", v, number(*s.Maximum))}}
		}
	case string:
		if len(v) < s.MinLength {
			return []Problem{{Path: path, Summary: fmt.Sprintf("%q is shorter than %d", v, s.MinLength)}}
		}
	}
	return nil
}

func (s *Schema) checkObject(path string, object map[string]any) []Problem {
	var all []Problem
	known := make([]string, 0, len(s.Properties))
	for key := range s.Properties {
		known = append(known, key)
	}
	sort.Strings(known)
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if p, ok := s.Properties[key]; ok {
			all = append(all, p.check(join(path, key), object[key])...)
			continue
		}
		if s.Properties == nil && path != "" {
			continue // a free-form object inside the configuration
		}
		all = append(all, Problem{Path: join(path, key), Summary: "unknown key", Detail: suggest(key, known)})
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			all = append(all, Problem{Path: join(path, key), Summary: "missing", Detail: s.Properties[key].describe()})
		}
	}
	return all
}

func (s *Schema) describe() string {
	if s == nil {
		return ""
	}
	return s.Description
}

func (s *Schema) accepts(value any) bool {
	switch s.Type {
	case "object":
		_, ok := value.(map[string]any)
		return ok
	case "array":
		_, ok := value.([]any)
		return ok
	case "string":
		_, ok := value.(string)
		return ok
	case "boolean":
		_, ok := value.(bool)
		return ok
	case "number":
		_, ok := value.(json.Number)
		return ok
	case "integer":
		n, ok := value.(json.Number)
		if !ok {
			return false
		}
		_, signed := strconv.ParseInt(n.String(), 10, 64)
		_, unsigned := strconv.ParseUint(n.String(), 10, 64)
		return signed == nil || unsigned == nil
	}
	return true
}

func (s *Schema) wants() string {
	switch s.Type {
	case "integer", "object", "array":
		return "an " + s.Type
	}
	return "a " + s.Type
}

func (s *Schema) notInEnum(path string, value any) Problem {
	names := make([]string, len(s.Enum))
	for i, e := range s.Enum {
		names[i] = fmt.Sprint(e)
	}
	p := Problem{Path: path, Summary: fmt.Sprintf("%s is not one of %s", show(value), strings.Join(names, ", "))}
	if text, ok := value.(string); ok {
		if near, ok := Nearest(text, names); ok {
			p.Detail = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return p
}

// equal compares an enum member, read with float64 numbers, with a checked value.
func equal(member, value any) bool {
	if n, ok := value.(json.Number); ok {
		f, err := n.Float64()
		m, isNumber := member.(float64)
		return err == nil && isNumber && f == m
	}
	switch value.(type) {
	case string, bool, nil:
		return member == value
	}
	return false
}

func suggest(key string, known []string) string {
	if len(known) == 0 {
		return "the plugin takes no configuration here"
	}
	if near, ok := Nearest(key, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known keys: " + strings.Join(known, ", ")
}

func show(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	}
	return fmt.Sprint(value)
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func name(path string) string {
	if path == "" {
		return "root"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
