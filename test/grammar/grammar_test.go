package grammar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		expression, trace, prefix, whole string
	}{
		{"Open Add* ( Close | Abort )?", "Open Add Add Close", "", ""},
		{"Open Add* ( Close | Abort )?", "Open", "", ""},
		{"Open Add* ( Close | Abort )?", "Add", "call 0: Add after []: expected Open", "-"},
		{"Open Add* ( Close | Abort )?", "Open Close Add", "call 2: Add after [Open Close]: expected the end", "-"},
		{"Open ( Add Result )+ Close", "Open Add", "", "ends too early: expected Result"},
		{"Open ( Add Result )+ Close", "Open Close", "expected Add", "-"},
		{"( A | B C )*", "A B C A", "", ""},
		{"( A | B C )*", "A B A", "call 2: A", "-"},
		{"A ( A | B )*", "A A B A", "", ""},
	} {
		g, err := Parse("t", c.expression)
		if err != nil {
			t.Fatal(err)
		}
		trace := strings.Fields(c.trace)
		want(t, c.expression+": "+c.trace, g.Check(trace), c.prefix)
		if c.whole != "-" {
			want(t, "whole "+c.expression+": "+c.trace, g.CheckWhole(trace), c.whole)
		}
	}
}

func want(t *testing.T, what string, err error, part string) {
	t.Helper()
	if (err == nil) != (part == "") || err != nil && !strings.Contains(err.Error(), part) {
		t.Errorf("%s: got error %v, want one with %q", what, err, part)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, bad := range []string{"", "( A", "A )", "* A", "A | | B", "()"} {
		if _, err := Parse("t", bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Every page of the specification that promises a grammar has one that parses.
func TestPagesOfTheSpecification(t *testing.T) {
	for page, names := range map[string][]string{
		"plugin": {"plugin"}, "ordering": {"ordering"}, "execution": {"build", "execution"},
		"storage": {"storage"}, "consensus": {"run"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := FromPage(string(text))
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
		for _, name := range names {
			if found[name] == nil {
				t.Errorf("docs/spec/%s.md has no grammar %q", page, name)
			}
		}
	}
}
