package authors

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// programs are the blocks of the page that are whole files.
func programs(t *testing.T) (all []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "authors.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```go\n(package .*?)```").FindAllStringSubmatch(string(page), -1) {
		all = append(all, block[1])
	}
	if len(all) != 3 {
		t.Fatalf("%d programs on the page, want the ordering policy, the protocol and its test", len(all))
	}
	return all
}

// module writes files into a module of its own, with a replace to this clone as the page says, and runs the go command there.
func module(t *testing.T, files map[string]string, args ...string) (string, error) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const ordo = "github.com/ordo-sequencer/ordo"
	put("go.mod", strings.Replace(read("go.mod"), "module "+ordo, "module mine\n\nrequire "+ordo+" v0.0.0\n\nreplace "+ordo+" => "+root, 1))
	put("go.sum", read("go.sum"))
	for name, text := range files {
		put(name, text)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestPrograms: what the page has compiles, and the protocol stands the faults; without the one word that the page names it does not.
func TestPrograms(t *testing.T) {
	list := programs(t)
	policy, protocol, test := list[0], list[1], list[2]
	if out, err := module(t, map[string]string{"main.go": policy}, "vet", "."); err != nil {
		t.Errorf("the ordering policy: %v\n%s", err, out)
	}
	if out, err := module(t, map[string]string{"main.go": protocol, "main_test.go": test}, "test", "-count=1", "-vet=off", "."); err != nil {
		t.Errorf("the protocol: %v\n%s", err, out)
	}
	hasty := strings.Replace(protocol, ` sdk.Persist([]byte("told")),`, "", 1)
	if hasty == protocol {
		t.Fatal("the protocol of the page persists nothing")
	}
	out, err := module(t, map[string]string{"main.go": hasty, "main_test.go": test}, "test", "-count=1", "-vet=off", "-run", "TestConformance/consensus/network:_crash_at_every_event", ".")
	if err == nil || !strings.Contains(out, "durable") && !strings.Contains(out, "agreement") {
		t.Errorf("without Persist: %v\n%.2000s", err, out)
	}
}
