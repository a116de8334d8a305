package memory

import (
	"os"
	"path/filepath"
	"testing"
)

// system is the part of a file system that Limit reads.
func system(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	legacy  = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	machine = "MemTotal:       16000000 kB\nMemFree: 1 kB\n"
)

func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is there": {nil, 0},
		"version 2, the least of all levels": {map[string]string{
			"proc/self/cgroup": "0::/a.slice/b.scope\n", "proc/self/mountinfo": unified, "proc/meminfo": machine,
			"sys/fs/cgroup/a.slice/b.scope/memory.max": "max\n", "sys/fs/cgroup/a.slice/memory.max": "2147483648\n",
			"sys/fs/cgroup/a.slice/b.scope/memory.high": "3000000000\n",
		}, 2147483648},
		"version 2, throttled before its limit": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": unified, "proc/meminfo": machine,
			"sys/fs/cgroup/a/memory.max": "2147483648\n", "sys/fs/cgroup/a/memory.high": "1000000000\n",
		}, 1000000000},
		"version 2, a container without a namespace of cgroups": {map[string]string{
			"proc/self/cgroup": "0::/docker/abc\n", "proc/meminfo": machine,
			"proc/self/mountinfo":      "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory.max": "536870912\n",
		}, 536870912},
		"version 2, a path outside of what is mounted": {map[string]string{
			"proc/self/cgroup": "0::/../../other\n", "proc/self/mountinfo": unified, "proc/meminfo": machine,
			"sys/fs/cgroup/memory.max": "536870912\n",
		}, 536870912},
		"version 1": {map[string]string{
			"proc/self/cgroup": "4:memory:/x/y\n1:cpu:/z\n0::/\n", "proc/self/mountinfo": legacy, "proc/meminfo": machine,
			"sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 1073741824},
		"version 1, none": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "proc/self/mountinfo": legacy, "proc/meminfo": machine,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"more than the machine has": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": unified, "proc/meminfo": machine,
			"sys/fs/cgroup/a/memory.max": "99999999999\n",
		}, 0},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "0::/a\nx\n::\n", "proc/self/mountinfo": "- - -\n" + unified, "sys/fs/cgroup/a/memory.max": "-5\n",
			"sys/fs/cgroup/memory.max": "1e9\n",
		}, 0},
	} {
		if got := Limit(system(t, c.files)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestSplit: what is divided is the total, and no more, as soon as it is enough for the least of each.
func TestSplit(t *testing.T) {
	for _, total := range []int64{512 * mib, 1 << 30, 2 << 30, 9 << 30, 1 << 40} {
		s := Split(total)
		sum := s.Core + s.Storage + s.Execution + 2*s.Other
		if sum > total || sum < total-total/20-4 {
			t.Errorf("%d: %+v is %d", total, s, sum)
		}
	}
	if s := Split(2 << 30); s.Core != 512*mib || s.Storage/mib != 409 || s.Other != 64*mib || s.Execution/mib != 896 {
		t.Errorf("%+v", s)
	}
	if s := Split(1); s.Core != leastCore || s.Storage != leastStorage || s.Execution != leastExecution || s.Other != leastOther {
		t.Errorf("%+v", s)
	}
}
