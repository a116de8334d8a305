// Package memory finds out how much memory a node may use and divides it between its processes: the kernel ends processes
// of a cgroup that is over its limit, a soft limit below that makes them collect and refuse in time.
package memory

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const mib = 1 << 20

// Shares are the soft limits of the processes of one node, in bytes. Each may be exceeded for a moment; what is left of the
// total is for the kernel's part, for pages of files, and for that.
type Shares struct{ Core, Storage, Execution, Other int64 } // Other: of the ordering and of the consensus plugin, each

// The least memory that a process is told to keep to.
const (
	leastCore      = 64 * mib
	leastStorage   = 128 * mib
	leastExecution = 64 * mib
	leastOther     = 64 * mib
)

// Split divides a total: a quarter for the core, a fifth for storage, a fiftieth each for ordering and consensus, a
// twentieth is kept back, the rest for execution.
func Split(total int64) Shares {
	s := Shares{Core: max(total/4, leastCore), Storage: max(total/5, leastStorage), Other: max(total/50, leastOther)}
	s.Execution = max(total-total/20-s.Core-s.Storage-2*s.Other, leastExecution)
	return s
}

// Limit is the memory that the cgroups of this process allow, the least of all levels; 0: there is no limit below what the
// machine has. root is "/" but in tests.
func Limit(root string) int64 {
	paths := controlPaths(root)
	least := int64(0)
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	for _, m := range mounts(root) {
		files, path := []string{"memory.max", "memory.high"}, paths[""]
		if m.legacy {
			files, path = []string{"memory.limit_in_bytes"}, paths["memory"]
		}
		if path == "" {
			continue
		}
		inside, ok := strings.CutPrefix(path, strings.TrimSuffix(m.root, "/"))
		if !ok || strings.Contains(inside, "..") { // of another namespace: what is mounted is all that can be seen
			inside = ""
		}
		top := filepath.Join(root, m.point)
		for dir := filepath.Join(top, inside); ; dir = filepath.Dir(dir) {
			for _, file := range files {
				take(number(filepath.Join(dir, file)))
			}
			if len(dir) <= len(top) {
				break
			}
		}
	}
	if have := total(root); have > 0 && least >= have { // version 1 writes a limit that is none as a huge number
		return 0
	}
	return least
}

// controlPaths reads which cgroup the process is in: by controller, "" for version 2.
func controlPaths(root string) map[string]string {
	paths := map[string]string{}
	for line := range lines(filepath.Join(root, "proc/self/cgroup")) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths
}

// mount is where a hierarchy of cgroups can be read.
type mount struct {
	root, point string
	legacy      bool // version 1, with the memory controller
}

func mounts(root string) (all []mount) {
	for line := range lines(filepath.Join(root, "proc/self/mountinfo")) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup2":
			all = append(all, mount{root: fields[3], point: fields[4]})
		case kind[0] == "cgroup" && has(kind[2], "memory"):
			all = append(all, mount{root: fields[3], point: fields[4], legacy: true})
		}
	}
	return all
}

func has(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if part == word {
			return true
		}
	}
	return false
}

// total is what the machine has.
func total(root string) int64 {
	for line := range lines(filepath.Join(root, "proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// number reads a file with one; 0: there is none, or it says max.
func number(path string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func lines(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		raw, err := os.ReadFile(path)
		if err != nil {
			return
		}
		for scan := bufio.NewScanner(bytes.NewReader(raw)); scan.Scan(); {
			if !yield(scan.Text()) {
				return
			}
		}
	}
}
