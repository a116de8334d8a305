package arch

import (
	"go/parser"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// graph is what a folder or a module uses.
type graph map[string]map[string]bool

func (g graph) add(from, to string) {
	if g[from] == nil {
		g[from] = make(map[string]bool)
	}
	if from != to {
		g[from][to] = true
	}
}

// circles returns the sets of nodes that reach each other, each in order.
func (g graph) circles() (found []string) {
	reach := make(map[string]map[string]bool)
	for from := range g {
		seen := make(map[string]bool)
		for next := slices.Collect(maps.Keys(g[from])); len(next) > 0; {
			n := next[0]
			next = next[1:]
			if !seen[n] {
				seen[n] = true
				next = append(next, slices.Collect(maps.Keys(g[n]))...)
			}
		}
		reach[from] = seen
	}
	done := make(map[string]bool)
	for _, from := range slices.Sorted(maps.Keys(g)) {
		if done[from] || !reach[from][from] {
			continue
		}
		var circle []string
		for _, to := range slices.Sorted(maps.Keys(g)) {
			if reach[from][to] && reach[to][from] {
				done[to] = true
				circle = append(circle, to)
			}
		}
		found = append(found, strings.Join(circle, " "))
	}
	return found
}

// room is the folder that a package belongs to as a part: core/rpc for core/rpc/input, and core/internal/limiter for itself.
func room(pkg string) string {
	parts := strings.Split(pkg, "/")
	depth := 1
	switch {
	case parts[0] == "core" && len(parts) > 1 && parts[1] == "internal", parts[0] == "plugins":
		depth = 3
	case slices.Contains([]string{"core", "cmd", "sdk", "starknet"}, parts[0]):
		depth = 2
	}
	return strings.Join(parts[:min(depth, len(parts))], "/")
}

// knownCircles are those of folders that were there when the rule came; none may be added.
var knownCircles = []string{}

// TestNoCircleOfFolders: Go forbids circles of packages; folders with packages below them form none either, tests apart.
func TestNoCircleOfFolders(t *testing.T) {
	g := make(graph)
	sources(t, func(file string, text []byte) {
		if path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if to, ours := strings.CutPrefix(imported, module); ours {
				g.add(room(path.Dir(file)), room(to))
			}
		}
	})
	if len(g) < 20 {
		t.Fatalf("only %d folders were read", len(g))
	}
	same(t, "circles of folders", g.circles(), knownCircles)
}

// knownModuleCircles are those of the executor's modules.
var knownModuleCircles []string

var (
	usesModule = regexp.MustCompile(`\b(?:crate|super)::(\{[^}]*\}|\w+)`)
	moduleName = regexp.MustCompile(`\b([a-z_]+)\b(?:::|,|\}|$)`)
	testModule = regexp.MustCompile(`(?s)#\[cfg\(test\)\]\nmod \w+ \{.*`)
)

// TestNoCircleOfModules: the modules of the executor use each other in one direction. A folder of modules counts as one.
func TestNoCircleOfModules(t *testing.T) {
	const src = "plugins/execution/blockifier/src/"
	g, texts := make(graph), make(map[string]string)
	sources(t, func(file string, text []byte) {
		if rest, ok := strings.CutPrefix(file, src); ok && path.Ext(file) == ".rs" && rest != "lib.rs" && rest != "main.rs" {
			name, _, inside := strings.Cut(strings.TrimSuffix(rest, ".rs"), "/")
			body := testModule.ReplaceAllString(string(text), "")
			if inside { // super is the folder itself
				body = strings.ReplaceAll(body, "super::", "own::")
			}
			texts[name] += body
			g.add(name, name)
		}
	})
	for name, text := range texts {
		for line := range strings.Lines(text) {
			code, _, _ := strings.Cut(line, "//")
			for _, m := range usesModule.FindAllStringSubmatch(code, -1) {
				for _, to := range moduleName.FindAllStringSubmatch(strings.Trim(m[1], "{ ")+"::", -1) {
					if _, ok := texts[to[1]]; ok {
						g.add(name, to[1])
					}
				}
			}
		}
	}
	if len(g) < 20 {
		t.Fatalf("only %d modules were read", len(g))
	}
	same(t, "circles of modules", g.circles(), knownModuleCircles)
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, c := range got {
		if !slices.Contains(want, c) {
			t.Errorf("%s: %s: let one of them offer less, or move what both need below them", what, c)
		}
	}
	for _, c := range want {
		if !slices.Contains(got, c) {
			t.Errorf("%s: %s is no circle now: take it off the list", what, c)
		}
	}
}

// TestCirclesAreFound: what the rules rely on.
func TestCirclesAreFound(t *testing.T) {
	g := make(graph)
	for _, edge := range []string{"a b", "b c", "c a", "c d", "d e", "e d", "f a", "g g"} {
		from, to, _ := strings.Cut(edge, " ")
		g.add(from, to)
	}
	if got := g.circles(); !slices.Equal(got, []string{"a b c", "d e"}) {
		t.Errorf("circles: %q", got)
	}
}
