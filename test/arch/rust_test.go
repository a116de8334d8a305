package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// crates are the source folders of our Rust crates.
var crates = []string{
	"plugins/consensus/malachite/src",
	"plugins/execution/blockifier/src",
	"plugins/execution/blockifier/curve/src",
	"plugins/execution/blockifier/lambdaworks-crypto/src",
	"sdk/rust/src",
}

// TestNoCircleOfRustFiles: the files of a crate depend on each other in one direction. A `pub use` in a mod.rs is no
// dependency of that file: what is imported through it counts for the file that it comes from.
func TestNoCircleOfRustFiles(t *testing.T) {
	for _, dir := range crates {
		crate := readCrate(t, os.DirFS(filepath.Join(root(t), dir)))
		if len(crate.files) == 0 {
			t.Errorf("%s: there is no Rust file", dir)
		}
		for _, circle := range crate.graph().circles() {
			t.Errorf("%s: these files depend on each other in a circle: %s", dir, circle)
		}
	}
}

// TestRustCircleIsFound: the reader sees each way in which a file can name another one.
func TestRustCircleIsFound(t *testing.T) {
	base := map[string]string{
		"lib.rs":     "pub mod a;\npub mod b;\n",
		"b/mod.rs":   "mod c;\nmod d;\npub use c::{Item, Other};\n",
		"b/c.rs":     "pub struct Item;\n",
		"b/d.rs":     "use super::c::Item;\n",
		"a.rs":       "use crate::b::Item;\n",
		"ignored.md": "use crate::a;",
	}
	for name, test := range map[string]struct {
		change map[string]string
		want   string
	}{
		"no circle":              {nil, ""},
		"by a re-export":         {map[string]string{"b/c.rs": "use crate::a::Thing;"}, "a.rs b/c.rs"},
		"by super":               {map[string]string{"b/c.rs": "use super::d;"}, "b/c.rs b/d.rs"},
		"by a path in code":      {map[string]string{"b/c.rs": "fn f() { crate::a::g() }"}, "a.rs b/c.rs"},
		"by a nested use":        {map[string]string{"b/c.rs": "use crate::{\n  a::{self, X},\n};"}, "a.rs b/c.rs"},
		"by an imported module":  {map[string]string{"a.rs": "use crate::b;\nfn f() { b::Item }", "b/c.rs": "use crate::a::X;"}, "a.rs b/c.rs"},
		"of mod.rs and a child":  {map[string]string{"b/mod.rs": "mod c;\nmod d;\nfn f() { c::g() }", "b/c.rs": "use super::f;"}, "b/c.rs b/mod.rs"},
		"named in a comment":     {map[string]string{"b/c.rs": "// crate::a::X\n/* crate::a */ fn f() { \"crate::a::X\"; }"}, ""},
		"named in a test module": {map[string]string{"b/c.rs": "#[cfg(test)]\nmod tests {\n  use crate::a::X;\n}\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, files := range []map[string]string{base, test.change} {
				for file, text := range files {
					at := filepath.Join(dir, file)
					if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := strings.Join(readCrate(t, os.DirFS(dir)).graph().circles(), "; "); got != test.want {
				t.Errorf("circles: %q, want %q", got, test.want)
			}
		})
	}
}

// crate is the source text of one crate, without comments, strings and tests.
type crate struct {
	files map[string]string // by module path: "" is lib.rs, "state::tip" is state/tip.rs or state/tip/mod.rs
	names map[string]string // the file's name, by module path
}

func readCrate(t *testing.T, tree fs.FS) crate {
	t.Helper()
	c := crate{files: map[string]string{}, names: map[string]string{}}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".rs") || name == "main.rs" {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		module := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, ".rs"), "/mod"), "lib")
		module = strings.ReplaceAll(module, "/", "::")
		c.files[module], c.names[module] = plain(string(text)), name
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	rustComment = regexp.MustCompile(`(?s)//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"`)
	rustTests   = regexp.MustCompile(`(?ms)^#\[cfg\(test\)\]\s*mod \w+ \{.*?^\}`)
	rustUse     = regexp.MustCompile(`(?s)\b(pub(?:\([^)]*\))? )?use ([^;]+);`)
	rustPath    = regexp.MustCompile(`\b(?:\w+::)+\w+`)
	rustSpace   = regexp.MustCompile(`\s+`)
)

func plain(text string) string {
	return rustTests.ReplaceAllString(rustComment.ReplaceAllString(text, `""`), "")
}

// graph has the files, and those that each of them depends on.
func (c crate) graph() graph {
	all := make(graph)
	for module, text := range c.files {
		aliases := map[string]string{} // modules that have a name here: imported ones and children
		for child := range c.files {
			if parent, name := split(child); child != "" && parent == module {
				aliases[name] = child
			}
		}
		var paths []string
		code := rustUse.ReplaceAllStringFunc(text, func(use string) string {
			parts := rustUse.FindStringSubmatch(use)
			for _, path := range expand(rustSpace.ReplaceAllString(parts[2], " ")) {
				path, alias, _ := strings.Cut(path, " as ")
				target, item := c.walk(module, path, aliases)
				if alias == "" {
					_, alias = split(path)
				}
				if target != "?" && item == "" && target != module {
					aliases[alias] = target
				}
				if parts[1] == "" || !strings.HasSuffix(c.names[module], "mod.rs") {
					paths = append(paths, path)
				}
			}
			return ""
		})
		paths = append(paths, rustPath.FindAllString(code, -1)...)
		for _, path := range paths {
			if target := c.file(module, path, aliases, 0); target != "?" && target != module {
				all.add(c.names[module], c.names[target])
			}
		}
	}
	return all
}

// expand writes a use tree as single paths.
func expand(tree string) []string {
	tree = strings.TrimSpace(tree)
	open := strings.IndexByte(tree, '{')
	if open < 0 {
		return []string{tree}
	}
	prefix, inner := tree[:open], strings.TrimSuffix(strings.TrimSpace(tree[open+1:]), "}")
	var list []string
	depth, start := 0, 0
	for i, char := range inner + "," {
		switch {
		case char == '{':
			depth++
		case char == '}':
			depth--
		case char == ',' && depth == 0:
			if part := strings.TrimSpace(inner[start:i]); part != "" {
				for _, path := range expand(part) {
					list = append(list, strings.TrimSuffix(prefix+path, "::self"))
				}
			}
			start = i + 1
		}
	}
	return list
}

// walk follows a path as far as it names modules. The module is "?" when the path leaves the crate.
func (c crate) walk(from, path string, aliases map[string]string) (module, item string) {
	parts := strings.Split(path, "::")
	switch parts[0] {
	case "crate":
		module = ""
	case "self":
		module = from
	case "super":
		module, _ = split(from)
	default:
		known, ok := aliases[parts[0]]
		if !ok {
			return "?", ""
		}
		module = known
	}
	for _, part := range parts[1:] {
		next := strings.TrimPrefix(module+"::"+part, "::")
		if part == "super" {
			next, _ = split(module)
		} else if _, ok := c.files[next]; !ok {
			return module, part
		}
		module = next
	}
	return module, ""
}

// file finds the module whose file a path stands for. A module that is only named, to be used by its name later, stands for
// none when it has children: then what is used of it counts.
func (c crate) file(from, path string, aliases map[string]string, depth int) string {
	module, item := c.walk(from, path, aliases)
	if module == "?" || module == "" || depth > 8 {
		return "?"
	}
	if !strings.HasSuffix(c.names[module], "mod.rs") {
		return module
	}
	if item == "" {
		return "?"
	}
	children := map[string]string{}
	for child := range c.files {
		if parent, name := split(child); parent == module {
			children[name] = child
		}
	}
	for _, use := range rustUse.FindAllStringSubmatch(c.files[module], -1) {
		for _, exported := range expand(rustSpace.ReplaceAllString(use[2], " ")) {
			exported, alias, _ := strings.Cut(exported, " as ")
			_, name := split(exported)
			if use[1] != "" && (alias == item || alias == "" && name == item) {
				return c.file(module, exported, children, depth+1)
			}
		}
	}
	return module
}

func split(path string) (parent, name string) {
	if at := strings.LastIndex(path, "::"); at >= 0 {
		return path[:at], path[at+2:]
	}
	return "", path
}
