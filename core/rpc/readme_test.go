package rpc

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeNamesEveryMethod: what this package serves is in the README, or for WebSocket in the one of this folder, and nothing else is. The
// package devnet has the same test for its methods.
func TestReadmeNamesEveryMethod(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		if row := regexp.MustCompile("^\\| `starknet_(subscribe|unsubscribe)").FindString(line); row != "" {
			raw = append(raw, line...)
		}
	}
	w, _ := extendedWorld(t)
	server := w.server
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:starknet|ordo)_[A-Za-z]+)`").FindAllStringSubmatch(string(raw), -1) {
		named[m[1]] = true
		if _, served := server.methods[m[1]]; !served {
			t.Errorf("%s is not served", m[1])
		}
	}
	for name := range server.methods {
		if !named[name] && !strings.HasPrefix(name, "test_") {
			t.Errorf("README does not name %s", name)
		}
	}
}
