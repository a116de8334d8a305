package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIdleMemory(t *testing.T) {
	var i idleMemory
	for n, step := range []struct {
		now  memoryNow
		want bool
	}{
		{memoryNow{held: 500 << 20, cycles: 7}, false},  // at work
		{memoryNow{held: 500 << 20, cycles: 9}, false},  // still
		{memoryNow{held: 500 << 20, cycles: 9}, true},   // idle, and full of garbage
		{memoryNow{held: 410 << 20, cycles: 11}, false}, // 400 MiB are in use, see below
		{memoryNow{held: 410 << 20, cycles: 11}, false},
		{memoryNow{held: 600 << 20, cycles: 11}, true},
	} {
		got := i.wasteful(step.now)
		if got {
			i.settled = 400 << 20
		}
		if got != step.want {
			t.Errorf("step %d: %v", n, got)
		}
	}
	small := idleMemory{cycles: 3}
	if small.wasteful(memoryNow{held: 50 << 20, cycles: 3}) {
		t.Error("a small process is left alone")
	}
}

// TestControlGroupLimit: the least of the group and those above it holds, and half of that is the core's.
func TestControlGroupLimit(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("self", "0::/a/b\n")
	write("fs/a/memory.max", "2147483648\n")
	write("fs/a/b/memory.max", "max\n")
	got := controlGroupLimit(filepath.Join(root, "self"), filepath.Join(root, "fs"))
	if got != 2<<30 || softLimit(4<<30, got) != 1<<30 || softLimit(1<<29, got) != 1<<29 || softLimit(1<<29, 0) != 1<<29 {
		t.Errorf("the limit of the group: %d", got)
	}
	if got := controlGroupLimit(filepath.Join(root, "none"), root); got != 0 {
		t.Errorf("without a group: %d", got)
	}
}
