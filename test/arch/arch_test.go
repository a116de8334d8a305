// Package arch holds the rules of the repository that a compiler does not know.
package arch

import (
	"bufio"
	"go/ast"
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

// floors says which of our folders each folder may import beside itself. What is not listed (cmd, test) puts everything
// together and may import all.
var floors = map[string][]string{
	"sdk":           {},
	"starknet":      {},
	"starknet/wire": {"starknet", "sdk/proto"}, // the one package there that knows the messages of the plugin protocol
	"contracts":     {"sdk", "starknet"},
	"plugins":       {"sdk", "starknet"}, // and its own tree
	"core":          {"sdk", "starknet", "contracts"},
	"devnet":        {"core", "sdk", "starknet", "contracts"},
	"client":        {"devnet/genesis", "sdk", "starknet", "contracts"},
	"node":          {"client", "devnet", "core", "sdk", "starknet", "contracts"},
	"examples":      {"sdk"}, // an example is what an author elsewhere could write
	"cmd/ordo":      {"client", "node", "devnet", "core", "sdk", "starknet", "contracts"},
}

// helpers are the folders below test that tests of any folder may import, with what they may import themselves.
var helpers = map[string][]string{
	"test/facts": {}, "test/grammar": {}, "test/need": {}, "test/openrpc": {},
	"test/mutate":    {"test/openrpc"},
	"test/fakestage": {"sdk", "starknet"},         // stages speak the plugin protocol
	"test/virtual":   {"core", "sdk", "starknet"}, // a core for protocols under test, also for those of examples and plugins
}

func in(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }

// mayImport is the rule of the folders: plugins -> sdk <- core, and each floor imports only floors below it.
func mayImport(from, to string, test bool) bool {
	for helper, below := range helpers {
		if in(from, helper) {
			return in(to, helper) || slices.ContainsFunc(below, func(tree string) bool { return in(to, tree) })
		}
	}
	for helper := range helpers {
		if test && in(to, helper) {
			return true
		}
	}
	floor := ""
	for name := range floors {
		if in(from, name) && len(name) > len(floor) {
			floor = name
		}
	}
	if test && floor == "node" && in(to, "plugins") {
		return true // they compare what node divides between the plugins with what those take
	}
	own := floor
	switch floor {
	case "":
		return true
	case "plugins":
		own = strings.Join(strings.SplitN(from, "/", 4)[:min(3, strings.Count(from, "/")+1)], "/")
	}
	return in(to, own) || slices.ContainsFunc(floors[floor], func(tree string) bool { return in(to, tree) })
}

func TestImportRule(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"sdk", "sdk/schema", true}, {"sdk", "core/host", false}, {"sdk", "starknet/felt", false}, {"sdk/conformance", "plugins/ordering/fee", false},
		{"core/host", "sdk", true}, {"core/host", "plugins/ordering/fee", false}, {"core/driver", "starknet/felt", true},
		{"core/rpc", "devnet/genesis", false}, {"core/rpc", "node/config", false}, {"core/rpc", "client", false}, {"core/rpc", "test/mutate", false},
		{"plugins/storage/badger", "starknet/trie", true}, {"plugins/storage/badger", "core/host", false},
		{"plugins/storage/badger/cmd/ordo-storage-badger", "plugins/storage/badger", true},
		{"plugins/ordering/fee", "plugins/ordering/fifo", false},
		{"starknet/felt", "core/host", false}, {"starknet/felt", "sdk/proto/ordo/v1", false}, {"starknet/felt", "starknet/wire", true},
		{"starknet/wire", "sdk/proto/ordo/v1", true}, {"starknet/wire", "sdk", false},
		{"contracts", "core/driver", false}, {"client", "core/rpc", false}, {"client", "devnet/genesis", true},
		{"devnet/genesis", "node", false}, {"node", "core/host", true}, {"node", "cmd/ordo", false}, {"node", "plugins/ordering/fee", false},
		{"cmd/ordo", "core/host", true}, {"cmd/ordo", "cmd/ordo-bench/load", false}, {"cmd/ordo-bench", "core/host", true},
		{"examples/ordering-go", "core/host", false}, {"test/facts", "core/host", false},
		{"test/fakestage", "sdk/proto/ordo/v1", true}, {"test/fakestage", "core/driver", false}, {"core/driver", "test/fakestage", false},
	} {
		if got := mayImport(c.from, c.to, false); got != c.want {
			t.Errorf("%s -> %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if !mayImport("core/rpc", "test/mutate", true) || mayImport("core/rpc", "test/attack/attacker", true) {
		t.Error("tests import the helpers below test, and nothing else there")
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
			if to, ours := strings.CutPrefix(imported, module); ours && !mayImport(filepath.ToSlash(from), to, strings.HasSuffix(file, "_test.go")) {
				t.Errorf("%s imports %s: a floor imports only the floors below it, see floors", path.Join(from, filepath.Base(file)), to)
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

// TestNoForeignVectors: nothing uses gnark-crypto's vectors, tests neither: their multiplication answers wrong numbers for
// some operands on processors with AVX-512 IFMA (docs/adr/0006). Of its packages only those are imported whose arithmetic
// is on single elements; what multiplies vectors inside, such as polynomials, would bring them back.
func TestNoForeignVectors(t *testing.T) {
	const gnark = "github.com/consensys/gnark-crypto/"
	scalar := []string{gnark + "ecc/stark-curve", gnark + "ecc/stark-curve/fp", gnark + "ecc/stark-curve/fr", gnark + "ecc/stark-curve/pedersen-hash"}
	dir, uses := root(t), 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && file != dir && (strings.HasPrefix(name, ".") || name == "target" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			return err
		}
		fields := make(map[string]bool) // what the file calls the packages
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !strings.HasPrefix(imported, gnark) {
				continue
			}
			uses++
			if !slices.Contains(scalar, imported) {
				t.Errorf("%s imports %s: look whether it multiplies vectors, then add it to the list here", file, imported)
			}
			name := path.Base(imported)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			fields[name] = true
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && fields[pkg.Name] && selector.Sel.Name == "Vector" {
				t.Errorf("%s: a vector of gnark-crypto: multiply element by element", set.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if uses < 10 {
		t.Fatalf("only %d imports were looked at", uses)
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
