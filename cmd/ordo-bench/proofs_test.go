package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/test/need"
)

// TestProofs fills a small state, has its proofs made and verified, and walks its database.
func TestProofs(t *testing.T) {
	t.Setenv("ORDO_PLUGINS", filepath.Join(need.Binaries(t, "plugins/ordo-storage-badger"), "plugins"))
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
