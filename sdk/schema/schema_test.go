package schema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/sdk/schema"
)

const example = `{
  "type": "object",
  "required": ["mode"],
  "properties": {
    "mode": {"type": "string", "enum": ["transaction", "interval"], "description": "what makes a block"},
    "interval_ms": {"type": "integer", "minimum": 1, "maximum": 1000},
    "share": {"type": "number", "maximum": 0.5},
    "level": {"enum": [1, 2, true]},
    "name": {"type": "string", "minLength": 2},
    "on": {"type": "boolean"},
    "lanes": {"type": "array", "items": {"type": "object", "properties": {"to": {"type": "string"}}}},
    "free": {"type": "object"}
  }
}`

func TestCheck(t *testing.T) {
	s, err := schema.Parse(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ document, want string }{
		{`{"mode":"interval","interval_ms":5,"share":0.25,"level":2,"name":"ab","on":true,"lanes":[{"to":"x"},{}],"free":{"a":1}}`, ""},
		{``, `mode: missing (what makes a block)`},
		{`{"mode":"intervall"}`, `mode: "intervall" is not one of transaction, interval (did you mean "interval"?)`},
		{`{"mode":3}`, `mode: want a string, got 3`},
		{`{"mode":null}`, `mode: want a string, got null`},
		{`{"mode":"interval","intreval_ms":5}`, `intreval_ms: unknown key (did you mean "interval_ms"?)`},
		{`{"mode":"interval","zzz":5}`, `zzz: unknown key (known keys: free, interval_ms, lanes, level, mode, name, on, share)`},
		{`{"mode":"interval","interval_ms":0}`, `interval_ms: 0 is below the minimum 1`},
		{`{"mode":"interval","interval_ms":1001}`, `interval_ms: 1001 is above the maximum 1000`},
		{`{"mode":"interval","interval_ms":1.5}`, `interval_ms: want an integer, got 1.5`},
		{`{"mode":"interval","interval_ms":99999999999999999999999}`, `interval_ms: want an integer, got 99999999999999999999999`},
		{`{"mode":"interval","share":1e999}`, `share: number 1e999 is out of range`},
		{`{"mode":"interval","level":3}`, `level: 3 is not one of 1, 2, true`},
		{`{"mode":"interval","level":1}`, ``},
		{`{"mode":"interval","level":false}`, `level: false is not one of 1, 2, true`},
		{`{"mode":"interval","name":"a"}`, `name: "a" is shorter than 2`},
		{`{"mode":"interval","on":"yes"}`, `on: want a boolean, got "yes"`},
		{`{"mode":"interval","lanes":[{"to":"x"},{"too":"y"}]}`, `lanes[1].too: unknown key (did you mean "to"?)`},
		{`{"mode":"interval","lanes":{}}`, `lanes: want an array, got an object`},
		{`[]`, `want an object, got an array`},
		{`{"mode":`, `not JSON: unexpected EOF`},
		{`{"mode":"interval"} }`, `not JSON: something follows the first value`},
		{`{"mode":"interval"} x`, `not JSON: something follows the first value`},
	} {
		got := ""
		for i, p := range s.Check([]byte(c.document)) {
			if i > 0 {
				got += "; "
			}
			got += p.String()
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.document, got, c.want)
		}
	}
}

func TestNoConfiguration(t *testing.T) {
	s, err := schema.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Check([]byte(`{}`)); len(p) != 0 {
		t.Fatal(p)
	}
	if p := s.Check([]byte(`{"a":1}`)); len(p) != 1 || p[0].Detail != "the plugin takes no configuration here" {
		t.Fatal(p)
	}
}

func TestBadSchemas(t *testing.T) {
	for _, text := range []string{`{`, `{"type":"string"}`, `{"properties":{"a":{"type":"text"}}}`, `{"properties":{"a":null}}`,
		`{"properties":{"a":{"type":"array","items":{"type":"x"}}}}`, `{"required":["a"]}`, `{"properties":{"a":{"default":tru}}}`} {
		if _, err := schema.Parse(text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// TestNothingIsIgnored: a keyword that is not checked, or a default that does not fit, is an error that names the place.
func TestNothingIsIgnored(t *testing.T) {
	for text, want := range map[string]string{
		`{"properties":{"a":{"type":"string","pattern":"^x"}}}`: `a: the keyword "pattern" is not supported: known are`,
		`{"oneOf":[{}]}`: `root: the keyword "oneOf" is not supported`,
		`{"properties":{"l":{"type":"array","items":{"format":"uri"}}}}`:      `l[]: the keyword "format" is not supported`,
		`{"properties":{"a":{"properties":{"b":{"maxLength":3}}}}}`:           `a.b: the keyword "maxLength" is not supported`,
		`{"additionalProperties":{"type":"string"}}`:                          `root: additionalProperties can only be false`,
		`{"properties":{"n":{"type":"integer","default":"1"}}}`:               `the default does not fit: n: want an integer, got "1"`,
		`{"properties":{"n":{"type":"integer","maximum":5,"default":6}}}`:     `the default does not fit: n: 6 is above the maximum 5`,
		`{"required":["m"],"properties":{"mode":{"type":"string"}}}`:          `m: required, and not one of the properties`,
		`{"properties":{"mode":{"enum":["fast","slow"],"default":"medium"}}}`: `the default does not fit: mode: "medium" is not one of fast, slow`,
	} {
		if _, err := schema.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	annotated := `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"x","$comment":"c","title":"t","additionalProperties":false,
		"properties":{"a":{"examples":[1],"title":"A"}}}`
	if _, err := schema.Parse(annotated); err != nil {
		t.Error(err)
	}
}

func TestComplete(t *testing.T) {
	s, err := schema.Parse(`{"required":["run"],"properties":{
		"run":{"type":"integer","default":18446744073709551615},
		"mode":{"enum":["fast","slow"],"default":"slow"},
		"off":{"type":"boolean","default":false},
		"none":{"default":null},
		"bare":{"type":"object","properties":{"n":{"type":"integer","default":3}}},
		"block":{"type":"object","default":{},"properties":{"n":{"type":"integer","default":3}}},
		"lanes":{"type":"array","items":{"type":"object","properties":{"share":{"type":"number","default":0.5}}}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]string{
		``: `{"block":{"n":3},"mode":"slow","off":false,"run":18446744073709551615}`,
		`{"run":1,"off":true,"mode":"fast","block":{"n":9}}`: `{"block":{"n":9},"mode":"fast","off":true,"run":1}`,
		`{"bare":{},"lanes":[{},{"share":1}]}`:               `{"bare":{"n":3},"block":{"n":3},"lanes":[{"share":0.5},{"share":1}],"mode":"slow","off":false,"run":18446744073709551615}`,
	} {
		got, problems := s.Complete([]byte(document))
		if len(problems) > 0 || string(got) != want {
			t.Errorf("%s\n got %s %v\nwant %s", document, got, problems, want)
		}
	}
	if whole, problems := s.Complete([]byte(`{"mode":"medium"}`)); whole != nil || len(problems) != 1 {
		t.Errorf("%s %v", whole, problems)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"interval_ms", "idle_ms", "mode", "empty_blocks"}
	for word, want := range map[string]string{
		"intervalms": "interval_ms", "idel_ms": "idle_ms", "Mode": "mode", "mdoe": "mode", "emptyblock": "empty_blocks",
		"wholly_other": "", "": "", "x": "", "mod": "mode", "xy": "", "interval": "interval_ms", "interval_milliseconds": "",
	} {
		if got, _ := schema.Nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// TestOneLetter: between keys of one letter each is as near as the other.
func TestOneLetter(t *testing.T) {
	if near, ok := schema.Nearest("n", []string{"a", "b", "to"}); ok {
		t.Errorf("n: did you mean %q?", near)
	}
}

// FuzzCheck: no document takes the check down, and what passes is a JSON object.
func FuzzCheck(f *testing.F) {
	f.Add(`{"mode":"interval","lanes":[{"to":"x"}]}`)
	f.Add(`{"mode":1e400,"":{}}`)
	s, err := schema.Parse(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, document string) {
		if len(s.Check([]byte(document))) == 0 {
			var object map[string]any
			if err := json.Unmarshal([]byte(document), &object); err != nil || object["mode"] == nil {
				t.Fatalf("passed: %q", document)
			}
		}
	})
}

// FuzzParse: no schema takes the parser or the check down.
func FuzzParse(f *testing.F) {
	f.Add(example, `{"mode":"interval"}`)
	f.Fuzz(func(t *testing.T, text, document string) {
		if s, err := schema.Parse(text); err == nil {
			s.Check([]byte(document))
		}
	})
}
