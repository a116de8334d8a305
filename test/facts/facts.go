// Package facts reads the compact text in which this project keeps public chain data for its tests, as the JSON of the
// feeder gateway. A file is a tree by indentation:
//
//	block                      an object, its fields indented below
//	  transactions +           an element of a list of objects; the line again starts the next one
//	    calldata = 0x1 0x2     a list of felts or texts
//	    nonce : 0x5            one value
//
// Values are felts, numbers, or quoted text. Only tests use it.
package facts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// JSON turns the text into JSON. The names @file of top-level objects separate several files in one text.
func JSON(text string) (files map[string][]byte, err error) {
	lines := strings.Split(text, "\n")
	p := &parser{lines: lines}
	root, err := p.object(0)
	if err != nil {
		return nil, err
	}
	files = make(map[string][]byte)
	for name, v := range root {
		if list, ok := v.(map[string]any)["list"]; ok {
			v = list
		}
		data, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(name, "@")] = data
	}
	return files, nil
}

type parser struct {
	lines []string
	next  int
}

func (p *parser) object(depth int) (map[string]any, error) {
	out := make(map[string]any)
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		body := strings.TrimLeft(line, " ")
		if body == "" || body[0] == '#' {
			p.next++
			continue
		}
		if indent := len(line) - len(body); indent < 2*depth {
			return out, nil
		} else if indent > 2*depth {
			return nil, fmt.Errorf("line %d: indented too far", p.next+1)
		}
		p.next++
		at := p.next
		key, rest, _ := strings.Cut(body, " ")
		var err error
		switch {
		case rest == "" || rest == "+":
			var child map[string]any
			if child, err = p.object(depth + 1); rest == "+" {
				list, _ := out[key].([]any)
				out[key] = append(list, child)
			} else {
				out[key] = child
			}
		case rest[0] == ':':
			out[key], _, err = value(rest[1:])
		case rest[0] == '=':
			list := []any{}
			for rest = rest[1:]; strings.TrimSpace(rest) != "" && err == nil; {
				var v any
				v, rest, err = value(rest)
				list = append(list, v)
			}
			out[key] = list
		default:
			err = fmt.Errorf("want +, : or = after the name")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
	}
	return out, nil
}

// value reads one value and returns what follows.
func value(s string) (v any, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "0x") {
		word, rest, _ := strings.Cut(s, " ")
		return word, rest, nil
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, "", err
	}
	return v, s[d.InputOffset():], nil
}

// Text writes a decoded JSON object (numbers as json.Number) as such a text, without the fields that drop names.
func Text(name string, v any, drop func(path string) bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "@%s\n", name)
	if list, ok := v.([]any); ok {
		v = map[string]any{"list": list}
		write(&b, v.(map[string]any), 1, "", func(p string) bool { return drop(strings.TrimPrefix(p, "list")) })
		return b.String()
	}
	write(&b, v.(map[string]any), 1, "", drop)
	return b.String()
}

func write(b *strings.Builder, o map[string]any, depth int, path string, drop func(string) bool) {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	pad := strings.Repeat("  ", depth)
	for _, k := range keys {
		at := strings.TrimPrefix(path+"."+k, ".")
		if drop(at) {
			continue
		}
		switch v := o[k].(type) {
		case map[string]any:
			fmt.Fprintf(b, "%s%s\n", pad, k)
			write(b, v, depth+1, at, drop)
		case []any:
			if len(v) > 0 {
				if _, ok := v[0].(map[string]any); ok {
					for _, e := range v {
						fmt.Fprintf(b, "%s%s +\n", pad, k)
						write(b, e.(map[string]any), depth+1, at+"[]", drop)
					}
					continue
				}
			}
			fmt.Fprintf(b, "%s%s =", pad, k)
			for _, e := range v {
				b.WriteString(" " + scalar(e))
			}
			b.WriteByte('\n')
		default:
			fmt.Fprintf(b, "%s%s : %s\n", pad, k, scalar(v))
		}
	}
}

func scalar(v any) string {
	if s, ok := v.(string); ok && strings.HasPrefix(s, "0x") && !strings.ContainsAny(s, " \"") {
		return s
	}
	data, _ := json.Marshal(v)
	return string(data)
}
