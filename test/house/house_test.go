// Package house holds the rules of the house that a compiler does not know.
package house

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ordo-sequencer/ordo/"

// root is the folder of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mayImport is the rule of the house: plugins -> sdk <- core. sdk imports neither; core and plugins never import each
// other, except that plugins may use the pure arithmetic of core/starknet, which is a leaf.
func mayImport(from, to string) bool {
	in := func(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }
	switch {
	case in(from, "core/starknet"):
		return in(to, "core/starknet") || in(to, "sdk/proto")
	case in(from, "sdk"):
		return in(to, "sdk")
	case in(from, "core"):
		return in(to, "core") || in(to, "sdk") || in(to, "contracts")
	case in(from, "plugins"):
		own := strings.Join(strings.SplitN(from, "/", 4)[:min(3, strings.Count(from, "/")+1)], "/")
		return in(to, "sdk") || in(to, "core/starknet") || in(to, own)
	case in(from, "examples"):
		return in(to, "sdk") // an example is what an author elsewhere could write
	}
	return true // cmd and tests of the whole wire everything
}

func TestImportRule(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"sdk", "sdk/schema", true}, {"sdk", "core/host", false}, {"sdk/conformance", "plugins/ordering/fee", false},
		{"core/host", "sdk", true}, {"core/host", "plugins/ordering/fee", false}, {"core/node", "core/starknet/felt", true},
		{"plugins/storage/badger", "core/starknet/trie", true}, {"plugins/storage/badger", "core/host", false},
		{"plugins/storage/badger/cmd/ordo-storage-badger", "plugins/storage/badger", true},
		{"plugins/ordering/fee", "plugins/ordering/fifo", false}, {"core/starknet/felt", "core/host", false},
		{"core/starknet/wire", "sdk/proto/ordo/v1", true}, {"core/starknet/wire", "sdk", false},
		{"cmd/ordo", "core/host", true}, {"examples/ordering-go", "core/host", false},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("%s -> %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}

	dir := root(t)
	files := 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != dir && (strings.HasPrefix(name, ".") || name == "target" || name == "bin" || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		files++
		from, err := filepath.Rel(dir, filepath.Dir(file))
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if to, ours := strings.CutPrefix(imported, module); ours && !mayImport(filepath.ToSlash(from), to) {
				t.Errorf("%s imports %s: plugins -> sdk <- core, and core/starknet is a leaf", path.Join(from, filepath.Base(file)), to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d files were read", files)
	}
}

// TestPluginPages: the README of a plugin has a fixed form, so that an operator finds things where they are elsewhere.
func TestPluginPages(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(root(t), "plugins", "*", "*"))
	if err != nil || len(folders) < 5 {
		t.Fatalf("%d plugins, %v", len(folders), err)
	}
	for _, folder := range folders {
		name := filepath.Base(filepath.Dir(folder)) + "/" + filepath.Base(folder)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, "README.md"))
		if err != nil {
			t.Errorf("%s: no README.md: it has the sections Name, Description, Configuration, Capabilities, Example", name)
			continue
		}
		want := []string{"Name", "Description", "Configuration", "Capabilities", "Example"}
		if got := sections(string(text)); !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Errorf("%s: README.md has the sections %v, want %v first", name, got, want)
		}
	}
}

// sections returns the second-level headings of a page, without code blocks.
func sections(page string) []string {
	var all []string
	code := false
	for in := bufio.NewScanner(strings.NewReader(page)); in.Scan(); {
		line := in.Text()
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if title, ok := strings.CutPrefix(line, "## "); ok && !code {
			all = append(all, strings.TrimSpace(title))
		}
	}
	return all
}
