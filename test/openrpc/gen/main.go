// Command gen writes the table of a version of the specification from its OpenRPC documents. It is run by hand, when there is a new one:
//
//	go run ./test/openrpc/gen FOLDER > test/openrpc/testdata/starknet-VERSION.txt
//
// FOLDER is a checkout of https://github.com/starkware-libs/starknet-specs, or the folder api of it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ordo-sequencer/ordo/test/openrpc"
)

// documents are read in this order; a name belongs to the first that defines it.
var documents = []string{"starknet_api_openrpc.json", "starknet_trace_api_openrpc.json", "starknet_write_api.json", "starknet_executables.json", "starknet_ws_api.json"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FOLDER")
		os.Exit(2)
	}
	text, err := write(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

type (
	value    = map[string]any
	document struct{ schemas, errors, descriptors value }
	gen      struct {
		all map[string]*document
		b   strings.Builder
	}
)

func write(folder string) (text string, err error) {
	g := &gen{all: make(map[string]*document)}
	defer func() {
		if e, ok := recover().(error); ok {
			err = e
		}
	}()
	methods := make(map[string][]any)
	version := ""
	for _, name := range documents {
		raw, err := read(folder, name)
		if err != nil {
			return "", err
		}
		var doc struct {
			Info       struct{ Version string }
			Methods    []any
			Components struct{ Schemas, Errors, ContentDescriptors value }
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if version == "" {
			version = doc.Info.Version
		}
		if doc.Info.Version != version || !slices.Contains(openrpc.Versions, version) {
			return "", fmt.Errorf("%s is of version %s, want one of %v, the same for all documents: change openrpc.Versions for a new one", name, doc.Info.Version, openrpc.Versions)
		}
		g.all[name], methods[name] = &document{doc.Components.Schemas, doc.Components.Errors, doc.Components.ContentDescriptors}, doc.Methods
	}
	g.mend()
	fmt.Fprintf(&g.b, "// Facts of the Starknet JSON-RPC specification %s, written by test/openrpc/gen; package openrpc describes the notation.\n", version)
	for _, name := range documents {
		g.errors(name)
	}
	for _, name := range documents {
		for _, m := range methods[name] {
			g.method(name, m.(value))
		}
	}
	for _, name := range documents {
		for _, schema := range slices.Sorted(maps.Keys(g.all[name].schemas)) {
			if home, now := g.home(name, schema); home == name && now == schema {
				fmt.Fprintf(&g.b, "\ntype %s = %s\n", schema, g.expression(name, g.all[name].schemas[schema].(value), ""))
			}
		}
	}
	_, err = openrpc.Parse(g.b.String())
	return g.b.String(), err
}

func read(folder, name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(filepath.Join(folder, "api", name))
	}
	return raw, err
}

// mend corrects what the documents get wrong: storage keys shorter than 63 digits may begin with any digit, and cells below the
// frame pointer have negative offsets.
func (g *gen) mend() {
	schema := func(file, name string) value { return g.all[file].schemas[name].(value) }
	schema("starknet_api_openrpc.json", "STORAGE_KEY")["pattern"] = "^0x(0|[1-9a-f][0-9a-f]{0,61}|[1-7][0-9a-f]{62})$"
	delete(schema("starknet_executables.json", "CellRef")["properties"].(value)["offset"].(value), "minimum")
}

// home is where a name leads: some documents give a type of another one a name of their own, at times that of a third type.
func (g *gen) home(doc, name string) (string, string) {
	schema, ok := g.all[doc].schemas[name].(value)
	if !ok {
		panic(fmt.Errorf("%s has no type %s", doc, name))
	}
	if ref, ok := schema["$ref"].(string); ok {
		if file, to, _ := strings.Cut(ref, "#"); file != "" {
			return g.home(path.Base(file), path.Base(to))
		}
	}
	for _, first := range documents {
		if _, taken := g.all[first].schemas[name]; taken && first != doc {
			panic(fmt.Errorf("%s and %s define %s differently", first, doc, name))
		} else if first == doc {
			break
		}
	}
	return doc, name
}

// follow resolves the reference of an error, a parameter or a result.
func (g *gen) follow(doc string, v value) (string, string, value) {
	name := ""
	for {
		ref, ok := v["$ref"].(string)
		if !ok {
			return doc, name, v
		}
		file, to, _ := strings.Cut(ref, "#")
		if file != "" {
			doc = path.Base(file)
		}
		from := g.all[doc].errors
		if strings.Contains(to, "contentDescriptors") {
			from = g.all[doc].descriptors
		}
		name = path.Base(to)
		if v, ok = from[name].(value); !ok {
			panic(fmt.Errorf("%s: nothing at %s", doc, ref))
		}
	}
}

func (g *gen) errors(doc string) {
	var own []string
	for name, e := range g.all[doc].errors {
		if _, alias := e.(value)["$ref"]; alias {
			continue
		}
		line := fmt.Sprintf("error %3.0f %s %s", e.(value)["code"], name, strconv.Quote(e.(value)["message"].(string)))
		switch data := e.(value)["data"].(type) {
		case string:
			line += " data " + g.expression(doc, value{"type": data}, "")
		case value:
			if only, ok := data["required"].(string); ok { // one name instead of a list
				data["required"] = []any{only}
			}
			line += " data " + g.expression(doc, data, "")
		}
		own = append(own, line)
	}
	slices.Sort(own)
	g.b.WriteString("\n" + strings.Join(own, "\n") + "\n")
}

func (g *gen) method(doc string, m value) {
	result, answers := m["result"].(value)
	word := map[bool]string{true: "method", false: "notify"}[answers]
	fmt.Fprintf(&g.b, "\n%s %s(", word, m["name"])
	params, _ := m["params"].([]any)
	for i, p := range params {
		from, _, p := g.follow(doc, p.(value))
		name := p["name"].(string)
		// A notification's parameters are all there, although most documents do not say so.
		if required, said := p["required"].(bool); !required && (answers || said) {
			name += "?"
		}
		if i > 0 {
			g.b.WriteString(", ")
		}
		g.b.WriteString(name + " " + g.expression(from, p["schema"].(value), "  "))
	}
	g.b.WriteString(")")
	if answers {
		from, _, result := g.follow(doc, result)
		g.b.WriteString(" -> " + g.expression(from, result["schema"].(value), ""))
	}
	var codes []int
	listed, _ := m["errors"].([]any)
	for _, e := range listed {
		_, name, e := g.follow(doc, e.(value))
		code, ok := e["code"].(float64)
		if !ok {
			panic(fmt.Errorf("%s: error %s has no code", m["name"], name))
		}
		codes = append(codes, int(code))
	}
	if slices.Sort(codes); len(codes) > 0 {
		g.b.WriteString(" !" + strings.TrimSuffix(strings.ReplaceAll(fmt.Sprint(codes), "[", " "), "]"))
	}
	g.b.WriteString("\n")
}

// known are the words of a schema that the notation has, and those that say nothing of a value.
var known = []string{"$ref", "schema", "type", "enum", "pattern", "minimum", "allOf", "oneOf", "not", "items", "minItems", "maxItems", "properties", "required",
	"title", "description", "summary", "default", "additionalProperties", "name", "examples", "comment", "$comment", "example"}

// expression writes a schema in the notation.
func (g *gen) expression(doc string, s value, indent string) string {
	for word := range s {
		if !slices.Contains(known, word) {
			panic(fmt.Errorf("%s: the notation has nothing for %q", doc, word))
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		file, to, _ := strings.Cut(ref, "#")
		if file != "" {
			doc = path.Base(file)
		}
		_, name := g.home(doc, path.Base(to))
		return name
	}
	if inner, ok := s["schema"].(value); ok { // the documents wrap some schemas once too often
		return g.expression(doc, inner, indent)
	}
	var parts []string
	add := func(part string) { parts = append(parts, part) }
	kind, _ := s["type"].(string)
	if s["properties"] != nil {
		kind = "object"
	}
	switch enum, _ := s["enum"].([]any); {
	case enum != nil:
		var choices []string
		for _, e := range enum {
			choices = append(choices, strconv.Quote(e.(string)))
		}
		add(alternatives(choices))
	case kind == "object" && (s["properties"] != nil || s["allOf"] == nil && s["oneOf"] == nil):
		add(g.object(doc, s, indent))
	case kind == "array":
		of := g.expression(doc, s["items"].(value), indent)
		if least, most := s["minItems"], s["maxItems"]; least != most {
			panic(fmt.Errorf("%s: the notation has no lists of %v to %v", doc, least, most))
		} else if most != nil {
			of += fmt.Sprintf("; %v", most)
		}
		add("[" + of + "]")
	case kind == "string":
		if pattern, ok := s["pattern"].(string); ok {
			kind += " " + strconv.Quote(pattern)
		}
		add(strings.Replace(kind, "string", "text", 1))
	case kind == "integer":
		if least, ok := s["minimum"].(float64); ok {
			kind += fmt.Sprintf(" >= %v", least)
		}
		add(strings.Replace(kind, "integer", "int", 1))
	case kind == "number":
		add("num")
	case kind == "boolean":
		add("bool")
	case kind != "" && kind != "object":
		panic(fmt.Errorf("%s: type %s", doc, kind))
	}
	all, _ := s["allOf"].([]any)
	for _, part := range all {
		add(g.expression(doc, part.(value), indent))
	}
	if one, ok := s["oneOf"].([]any); ok {
		var choices []string
		for _, choice := range one {
			choices = append(choices, g.expression(doc, choice.(value), indent))
		}
		add(alternatives(choices))
	}
	if no, ok := s["not"].(value); ok {
		add("!" + g.expression(doc, no, indent))
	}
	if len(parts) == 0 {
		panic(fmt.Errorf("%s: an empty schema: %v", doc, s))
	}
	return strings.Join(parts, " & ")
}

func alternatives(choices []string) string {
	if len(choices) == 1 {
		return choices[0]
	}
	return "(" + strings.Join(choices, " | ") + ")"
}

func (g *gen) object(doc string, s value, indent string) string {
	properties, _ := s["properties"].(value)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if properties[name.(string)] == nil {
			panic(fmt.Errorf("%s: field %s is required and not described", doc, name))
		}
	}
	if len(properties) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for i, name := range slices.Sorted(maps.Keys(properties)) {
		if i > 0 {
			b.WriteString(";\n")
		}
		b.WriteString(indent + "  " + name)
		if !slices.Contains(required, any(name)) {
			b.WriteString("?")
		}
		b.WriteString(" " + g.expression(doc, properties[name].(value), indent+"  "))
	}
	b.WriteString("\n" + indent + "}")
	return b.String()
}
