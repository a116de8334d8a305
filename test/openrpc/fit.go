package openrpc

import (
	"fmt"
	"regexp"
	"strings"
)

// Type is what a JSON value may be. fit returns the names of the fields that the type speaks about.
type Type interface {
	fit(t *Table, value any) (fields map[string]bool, err error)
}

type (
	named  string
	text   struct{ pattern *regexp.Regexp }
	number struct {
		whole, bounded bool
		least          float64
	}
	boolean struct{}
	literal string
	list    struct {
		of     Type
		length int
	} // -1: any
	object []field
	all    []Type
	one    []Type
	not    struct{ what Type }
)

type field struct {
	name     string
	required bool
	of       Type
}

// whole fits a value and refuses fields of an object that no part of the type names.
func (t *Table) whole(want Type, value any) error {
	fields, err := want.fit(t, value)
	if err != nil {
		return err
	}
	if object, ok := value.(map[string]any); ok {
		for name := range object {
			if !fields[name] {
				return fmt.Errorf("unknown field %s", name)
			}
		}
	}
	return nil
}

func (n named) fit(t *Table, value any) (map[string]bool, error) {
	return t.types[string(n)].fit(t, value)
}

func (p text) fit(_ *Table, value any) (map[string]bool, error) {
	s, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v is not a string", value)
	}
	if p.pattern != nil && !p.pattern.MatchString(s) {
		return nil, fmt.Errorf("%q does not match %s", s, p.pattern)
	}
	return nil, nil
}

func (n number) fit(_ *Table, value any) (map[string]bool, error) {
	v, ok := value.(float64)
	switch {
	case !ok:
		return nil, fmt.Errorf("%v is not a number", value)
	case n.whole && v != float64(int64(v)):
		return nil, fmt.Errorf("%v is not an integer", v)
	case n.bounded && v < n.least:
		return nil, fmt.Errorf("%v is below %v", v, n.least)
	}
	return nil, nil
}

func (boolean) fit(_ *Table, value any) (map[string]bool, error) {
	if _, ok := value.(bool); !ok {
		return nil, fmt.Errorf("%v is not a boolean", value)
	}
	return nil, nil
}

func (l literal) fit(_ *Table, value any) (map[string]bool, error) {
	if value != string(l) {
		return nil, fmt.Errorf("%v is not %q", value, string(l))
	}
	return nil, nil
}

func (l list) fit(t *Table, value any) (map[string]bool, error) {
	items, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%v is not a list", value)
	}
	if l.length >= 0 && len(items) != l.length {
		return nil, fmt.Errorf("%d items, not %d", len(items), l.length)
	}
	for i, item := range items {
		if err := t.whole(l.of, item); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil, nil
}

func (o object) fit(t *Table, value any) (map[string]bool, error) {
	members, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%v is not an object", value)
	}
	fields := make(map[string]bool)
	for _, f := range o {
		member, ok := members[f.name]
		if !ok {
			if f.required {
				return nil, fmt.Errorf("%s is missing", f.name)
			}
			continue
		}
		fields[f.name] = true
		if err := t.whole(f.of, member); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return fields, nil
}

func (a all) fit(t *Table, value any) (map[string]bool, error) {
	fields := make(map[string]bool)
	for _, part := range a {
		more, err := part.fit(t, value)
		if err != nil {
			return nil, err
		}
		for name := range more {
			fields[name] = true
		}
	}
	return fields, nil
}

// fit takes the choice that speaks about most fields.
func (o one) fit(t *Table, value any) (map[string]bool, error) {
	var best map[string]bool
	var why []string
	fits := false
	for _, choice := range o {
		fields, err := choice.fit(t, value)
		if err != nil {
			why = append(why, err.Error())
		} else if !fits || len(fields) > len(best) {
			best, fits = fields, true
		}
	}
	if !fits {
		return nil, fmt.Errorf("no choice fits: (%s)", strings.Join(why, "; "))
	}
	return best, nil
}

func (n not) fit(t *Table, value any) (map[string]bool, error) {
	if _, err := n.what.fit(t, value); err == nil {
		return nil, fmt.Errorf("%v is what it must not be", value)
	}
	return nil, nil
}
