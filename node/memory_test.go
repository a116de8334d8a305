package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/plugins/storage/badger"
	"github.com/ordo-sequencer/ordo/sdk"
	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// TestShares: what each process is told in a cgroup of 1 GiB, and that the shipped storage plugin takes it.
func TestShares(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/self/cgroup":         "0::/\n",
		"proc/self/mountinfo":      "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"sys/fs/cgroup/memory.max": "1073741824\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shares := memoryShares(0, root)
	if shares == nil {
		t.Fatal("no limit was found")
	}
	list, err := specs(config.Default(), installed(t), shares)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		name := sdk.StageName(s.Stage)
		want := map[string]int64{"ordering": 64, "consensus": 64, "storage": 204, "execution": 384}[name]
		if !slices.Contains(s.Env, fmt.Sprintf("GOMEMLIMIT=%dMiB", want)) || fmt.Sprint(s.Offers["memory_mib"]) != fmt.Sprint(want) {
			t.Errorf("%s: %v %v, want %d MiB", name, s.Env, s.Offers, want)
		}
		if name != "storage" {
			continue
		}
		rules, err := schema.Parse(badger.Schema)
		if err != nil {
			t.Fatal(err)
		}
		delete(s.Offers, "memory_mib") // it has a key of its own
		raw, err := config.Stage{}.JSON(s.Offers)
		if err != nil {
			t.Fatal(err)
		}
		if problems := rules.Check(raw); len(problems) > 0 || s.Offers["memory_mb"] != int64(204) {
			t.Errorf("storage takes no %s: %v", raw, problems)
		}
	}
	if memoryShares(0, t.TempDir()) != nil {
		t.Error("a limit where there is none")
	}
	if s := memoryShares(2048, root); s.Core != 512<<20 {
		t.Errorf("configured: %+v", s)
	}
}

func TestLimitCore(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	shares := memoryShares(2048, "/")
	limitCore(shares, func(string) (string, bool) { return "1GiB", true })
	limitCore(nil, func(string) (string, bool) { return "", false })
	if now := debug.SetMemoryLimit(-1); now != before {
		t.Errorf("limit %d, want it left at %d", now, before)
	}
	limitCore(shares, func(string) (string, bool) { return "", false })
	if now := debug.SetMemoryLimit(-1); now != 512<<20 {
		t.Errorf("limit %d, want 512 MiB", now)
	}
}
