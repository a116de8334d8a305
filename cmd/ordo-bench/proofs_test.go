package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/test/need"
)

// TestProofs fills a small state, has its proofs made and verified, and walks its database.
func TestProofs(t *testing.T) {
	installed, err := node.Installed()
	if err != nil {
		need.Absent(t, err.Error(), "make build")
	}
	if _, err := os.Stat(filepath.Join(installed.Plugins, "ordo-storage-badger")); err != nil {
		need.Absent(t, err.Error(), "make build")
	}
	r, err := measureProofs(t.Context(), proofsOptions{leaves: 300, keys: 10, rounds: 3, quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Nodes < 20 || r.Pages < 3 || len(r.Rounds) != 3 || r.Ratio <= 0 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	r.print(&out)
	if !strings.Contains(out.String(), "10 keys of a token with 300 holders") {
		t.Error(out.String())
	}
}
