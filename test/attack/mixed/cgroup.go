package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// enterRole is the first argument of a process of ours that goes into a cgroup and then becomes the node: so nothing of the node
// is ever outside.
const enterRole = "enter-cgroup"

// cgroup is a memory cgroup, of version 1 or 2.
type cgroup struct {
	dir     string
	unified bool
}

const cgroupRoot = "/sys/fs/cgroup"

// place is where memory cgroups are made here.
func place() (dir string, unified bool, why string) {
	if raw, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		if !strings.Contains(string(raw), "memory") {
			return "", true, "the cgroups of version 2 have no memory controller here"
		}
		return cgroupRoot, true, ""
	}
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory", "memory.limit_in_bytes")); err == nil {
		return filepath.Join(cgroupRoot, "memory"), false, ""
	}
	return "", false, "no memory cgroups below " + cgroupRoot
}

// cgroupsMissing says why no memory cgroup can be made: empty when it can.
func cgroupsMissing() string {
	dir, _, why := place()
	if why != "" {
		return why
	}
	probe := filepath.Join(dir, fmt.Sprintf("ordo-attack-probe-%d", os.Getpid()))
	if err := os.Mkdir(probe, 0o755); err != nil {
		return fmt.Sprintf("%v: run it as root for this part", err)
	}
	_ = os.Remove(probe)
	return ""
}

// newCgroup makes one with a limit, and without swap where swap is counted.
func newCgroup(mib int) (*cgroup, error) {
	dir, unified, why := place()
	if why != "" {
		return nil, errors.New(why)
	}
	g := &cgroup{dir: filepath.Join(dir, fmt.Sprintf("ordo-attack-%d", os.Getpid())), unified: unified}
	if unified { // the controller may have to be given to the children first
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	limit, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	swapLimit := strconv.Itoa(mib << 20)
	if unified {
		limit, swap, swapLimit = "memory.max", "memory.swap.max", "0"
	}
	if err := g.write(limit, strconv.Itoa(mib<<20)); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	_ = g.write(swap, swapLimit) // not where the kernel does not count swap
	return g, nil
}

func (g *cgroup) write(file, text string) error {
	return os.WriteFile(filepath.Join(g.dir, file), []byte(text), 0)
}

func (g *cgroup) remove() error { return os.Remove(g.dir) }

// kills is how often the kernel ended a process of it for want of memory.
func (g *cgroup) kills() (n int, err error) {
	file := "memory.oom_control"
	if g.unified {
		file = "memory.events"
	}
	raw, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(text))
		}
	}
	return 0, fmt.Errorf("%s tells no oom_kill", file)
}

// peak is the most that it took, in MiB, with the cache of files; 0 where the kernel does not tell.
func (g *cgroup) peak() float64 {
	file := "memory.max_usage_in_bytes"
	if g.unified {
		file = "memory.peak"
	}
	raw, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	return n / (1 << 20)
}

// enter is the process that becomes the node: DIR PROGRAM ARGUMENTS.
func enter(args []string) error {
	if len(args) < 2 {
		return errors.New("want DIR PROGRAM ARGUMENTS")
	}
	if err := os.WriteFile(filepath.Join(args[0], "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	return syscall.Exec(args[1], args[1:], os.Environ())
}
