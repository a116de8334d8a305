package node

import "testing"

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
