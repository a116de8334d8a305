package rpc

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/mutate"
)

// specification holds the OpenRPC documents; nil when they are not at hand.
type specification struct {
	documents map[string]map[string]any
	methods   map[string]specMethod
}

type specMethod struct {
	document string
	result   any
	params   []string
	codes    []float64
}

const specDir = "../../../shared/spec"

func loadSpec(t testing.TB) *specification {
	files, _ := filepath.Glob(filepath.Join(specDir, "*.json"))
	if len(files) == 0 {
		t.Log("the OpenRPC documents are not at hand: answers are not checked against them")
		return nil
	}
	s := &specification{documents: map[string]map[string]any{}, methods: map[string]specMethod{}}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s.documents[filepath.Base(file)] = doc
	}
	s.mend()
	for name, doc := range s.documents {
		if strings.Contains(name, "_ws_") || strings.Contains(name, "metadata") {
			continue
		}
		for _, m := range doc["methods"].([]any) {
			m := m.(map[string]any)
			method := specMethod{document: name, result: m["result"].(map[string]any)["schema"]}
			for _, p := range m["params"].([]any) {
				method.params = append(method.params, p.(map[string]any)["name"].(string))
			}
			errors, _ := m["errors"].([]any)
			for _, e := range errors {
				_, definition := s.follow(name, e.(map[string]any))
				if code, ok := definition["code"].(float64); ok {
					method.codes = append(method.codes, code)
				}
			}
			s.methods[m["name"].(string)] = method
		}
	}
	return s
}

// mend corrects what the documents get wrong: storage keys shorter than 63 digits may begin with any digit, and cells below the frame
// pointer have negative offsets.
func (s *specification) mend() {
	schema := func(file, name string) map[string]any {
		return s.documents[file]["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
	}
	schema("starknet_api_openrpc.json", "STORAGE_KEY")["pattern"] = "^0x(0|[1-9a-f][0-9a-f]{0,61}|[1-7][0-9a-f]{62})$"
	cell := schema("starknet_executables.json", "CellRef")
	delete(cell["properties"].(map[string]any)["offset"].(map[string]any), "minimum")
}

// check validates an answer of a method.
func (s *specification) check(t testing.TB, name string, result, failure json.RawMessage) {
	t.Helper()
	if s == nil {
		return
	}
	m, ok := s.methods[name]
	if !ok {
		return
	}
	if failure != nil {
		var e struct{ Code float64 }
		json.Unmarshal(failure, &e)
		if e.Code > 0 && !mutate.MayFail(name, int(e.Code)) && !slices.Contains(senseless[name], e.Code) {
			t.Errorf("%s: error %v is not among the method's: %v", name, e.Code, m.codes)
		}
		return
	}
	var value any
	if err := json.Unmarshal(result, &value); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := s.whole(m.document, m.result, value); err != nil {
		t.Errorf("%s: the answer does not fit the schema: %v\n%s", name, err, result)
	}
}

// senseless are errors that a method gives only when execution answers nonsense, as the tests make it.
var senseless = map[string][]float64{"starknet_addInvokeTransaction": {28, 51, 56, 57, 60, 62}}

// TestCodes: the table of the errors that a method may give is the specification's.
func TestCodes(t *testing.T) {
	spec := loadSpec(t)
	if spec == nil {
		t.Skip("the OpenRPC documents are not at hand")
	}
	for name, m := range spec.methods {
		var codes []int
		for _, c := range m.codes {
			codes = append(codes, int(c))
		}
		slices.Sort(codes)
		if !slices.Equal(codes, mutate.Codes[name]) {
			t.Errorf("%s: the table says %v, the specification %v", name, mutate.Codes[name], codes)
		}
	}
}

func (s *specification) follow(document string, schema map[string]any) (string, map[string]any) {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return document, schema
		}
		file, path, _ := strings.Cut(ref, "#/")
		if file != "" {
			document = filepath.Base(file)
		}
		var at any = s.documents[document]
		for _, step := range strings.Split(path, "/") {
			at = at.(map[string]any)[step]
		}
		schema = at.(map[string]any)
	}
}

// whole validates a value and refuses object fields that no part of the schema names.
func (s *specification) whole(document string, schema, value any) error {
	named, err := s.validate(document, schema, value)
	if err != nil {
		return err
	}
	if object, ok := value.(map[string]any); ok && named != nil {
		for name := range object {
			if !named[name] {
				return fmt.Errorf("unknown field %s", name)
			}
		}
	}
	return nil
}

// validate returns the names of the fields that the schema speaks about.
func (s *specification) validate(document string, any_ any, value any) (named map[string]bool, err error) {
	document, schema := s.follow(document, any_.(map[string]any))
	if inner, ok := schema["schema"]; ok { // the documents wrap some schemas once too often
		return s.validate(document, inner, value)
	}
	named = map[string]bool{}
	add := func(more map[string]bool) {
		for name := range more {
			named[name] = true
		}
	}
	if kind, ok := schema["type"].(string); ok {
		if err := ofType(kind, value); err != nil {
			return nil, err
		}
	}
	if list, ok := schema["enum"].([]any); ok && !slices.Contains(list, value) {
		return nil, fmt.Errorf("%v is not one of %v", value, list)
	}
	if pattern, ok := schema["pattern"].(string); ok {
		if text, ok := value.(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
			return nil, fmt.Errorf("%q does not match %s", text, pattern)
		}
	}
	if least, ok := schema["minimum"].(float64); ok {
		if n, ok := value.(float64); ok && n < least {
			return nil, fmt.Errorf("%v is below %v", n, least)
		}
	}
	if not, ok := schema["not"]; ok {
		if _, err := s.validate(document, not, value); err == nil {
			return nil, fmt.Errorf("%v is what it must not be", value)
		}
	}
	all, _ := schema["allOf"].([]any)
	for _, part := range all {
		more, err := s.validate(document, part, value)
		if err != nil {
			return nil, err
		}
		add(more)
	}
	if choices, ok := schema["oneOf"].([]any); ok {
		var why []string
		var best map[string]bool
		for _, choice := range choices {
			more, err := s.validate(document, choice, value)
			if err != nil {
				why = append(why, err.Error())
			} else if best == nil || len(more) > len(best) {
				best = more
			}
		}
		if best == nil {
			return nil, fmt.Errorf("no choice fits: (%s)", strings.Join(why, "; "))
		}
		add(best)
	}
	if object, ok := value.(map[string]any); ok {
		more, err := s.fields(document, schema, object)
		if err != nil {
			return nil, err
		}
		add(more)
	}
	if list, ok := value.([]any); ok && schema["items"] != nil {
		for i, item := range list {
			if err := s.whole(document, schema["items"], item); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	}
	return named, nil
}

func (s *specification) fields(document string, schema, object map[string]any) (map[string]bool, error) {
	named := map[string]bool{}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return nil, fmt.Errorf("%v is missing", name)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		value, ok := object[name]
		if !ok {
			continue
		}
		named[name] = true
		if err := s.whole(document, property, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return named, nil
}

func ofType(kind string, value any) error {
	ok := false
	switch value := value.(type) {
	case string:
		ok = kind == "string"
	case bool:
		ok = kind == "boolean"
	case float64:
		ok = kind == "number" || kind == "integer" && value == float64(int64(value))
	case []any:
		ok = kind == "array"
	case map[string]any:
		ok = kind == "object"
	}
	if !ok {
		return fmt.Errorf("%T is not of type %s", value, kind)
	}
	return nil
}

// TestEveryMethodOfTheSpecificationIsKnown: served, or named here with the reason.
func TestEveryMethodOfTheSpecificationIsKnown(t *testing.T) {
	spec := loadSpec(t)
	if spec == nil {
		t.Skip("the OpenRPC documents are not at hand")
	}
	absent := map[string]string{
		"starknet_getMessagesStatus": "there is no L1 whose transactions could be asked about",
		"starknet_getStorageProof":   "the contract of storage has no proofs yet",
	}
	server := newWorld(t).server
	for name, m := range spec.methods {
		served, ok := server.methods[name]
		if _, known := absent[name]; ok == known {
			t.Errorf("%s: served %v, listed as absent %v", name, ok, known)
		}
		if ok && !slices.Equal(served.Params, m.params) && len(served.Params)+len(m.params) > 0 {
			t.Errorf("%s: parameters %v, the specification has %v", name, served.Params, m.params)
		}
	}
}
