// Package house holds the rules of the house that a compiler does not know.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/ordo-sequencer/ordo/"

// TestImports: plugins -> sdk <- core. The SDK is what authors stand on, so it knows neither side; the two sides meet
// only in the contract. The arithmetic of core/starknet is a leaf that both may use.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-test", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		for _, imported := range p.Imports {
			if why := forbidden(own(p.ImportPath), own(imported)); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
	}
	if packages < 20 {
		t.Errorf("go list named only %d packages", packages)
	}
}

// own is the path inside the module; "" for others. Test variants are printed as `path [path.test]`.
func own(path string) string {
	path, _, _ = strings.Cut(path, " ")
	inside, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(inside, ".test"), "_test")
}

func forbidden(from, to string) string {
	side := func(path, top string) bool { return path == top || strings.HasPrefix(path, top+"/") }
	switch {
	case side(from, "sdk") && (side(to, "core") || side(to, "plugins")):
		return "the SDK imports neither core nor plugins"
	case side(from, "core") && side(to, "plugins"):
		return "core meets plugins in the contract only"
	case side(from, "plugins") && side(to, "core") && !side(to, "core/starknet"):
		return "plugins meet core in the contract only (core/starknet is a leaf for both)"
	case side(from, "core/starknet") && side(to, "core") && !side(to, "core/starknet"):
		return "core/starknet is a leaf"
	case side(from, "core") && (side(to, "cmd") || side(to, "test")):
		return "core knows nothing of what stands on it"
	}
	return ""
}

func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		from, to string
		refused  bool
	}{
		{"sdk", "core/pool", true}, {"sdk/conformance", "plugins/ordering/fifo", true}, {"core/host", "sdk", false},
		{"core/host", "plugins/ordering/fifo", true}, {"plugins/storage/badger", "core/starknet/trie", false},
		{"plugins/storage/badger", "core/chain", true}, {"core/starknet/wire", "sdk/proto/ordo/v1", false},
		{"core/starknet/wire", "core/pool", true}, {"cmd/ordo", "core/node", false}, {"", "core/node", false},
	} {
		if got := forbidden(c.from, c.to) != ""; got != c.refused {
			t.Errorf("%s -> %s: refused %v, want %v", c.from, c.to, got, c.refused)
		}
	}
}
