package feeder

import (
	"encoding/json"
	"fmt"
)

// duplicate finds a field that an object has twice. Readers differ in which of the two they take, so such a file has no
// one meaning that could be verified. The JSON must be valid.
func duplicate(data []byte) error {
	type level struct {
		object bool
		keys   []string
		many   map[string]bool // instead of keys, when there are many
	}
	var open []level
	key := false // a string here is a key
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			key = data[i] == '{'
			// keep the memory of a level that was closed
			if len(open) < cap(open) {
				open = open[:len(open)+1]
				l := &open[len(open)-1]
				l.object, l.keys, l.many = key, l.keys[:0], nil
			} else {
				open = append(open, level{object: key})
			}
		case '}', ']':
			open, key = open[:len(open)-1], false
		case ',':
			key = len(open) > 0 && open[len(open)-1].object
		case '"':
			start, escaped := i, false
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i, escaped = i+1, true
				}
			}
			if !key {
				continue
			}
			key = false
			name := string(data[start+1 : i])
			if escaped {
				if err := json.Unmarshal(data[start:i+1], &name); err != nil {
					return fmt.Errorf("json: %w", err)
				}
			}
			l := &open[len(open)-1]
			if l.many == nil && len(l.keys) == 32 {
				l.many = make(map[string]bool)
				for _, k := range l.keys {
					l.many[k] = true
				}
			}
			twice := l.many[name]
			if l.many == nil {
				for _, k := range l.keys {
					twice = twice || k == name
				}
				l.keys = append(l.keys, name)
			} else {
				l.many[name] = true
			}
			if twice {
				return fmt.Errorf("json: field %.80q is given twice", name)
			}
		}
	}
	return nil
}
