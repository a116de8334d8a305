// Package process reads what the processes of a node use: processor time and memory, of the core and of each plugin.
package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ticks is the unit of /proc's times on Linux, whatever the kernel's own is.
const ticks = 100

// Usage is what one process used between Watch and Stop.
type Usage struct {
	Name    string  `json:"name"`
	CPU     float64 `json:"cpu_seconds"`
	RSS     float64 `json:"rss_mb"`      // at the end
	Files   float64 `json:"file_mb"`     // of RSS, pages of files, its program among them: the kernel takes them back when it needs the room
	PeakRSS float64 `json:"peak_rss_mb"` // of the samples
}

// Watcher follows a process and its descendants.
type Watcher struct {
	root string
	pid  int

	mu    sync.Mutex
	begun map[int]float64
	last  map[int]*Usage
	stop  chan struct{}
	done  chan struct{}
}

// Watch begins with the processes that run now; those that start later count from zero.
func Watch(pid int, every time.Duration) (*Watcher, error) {
	w := &Watcher{root: "/proc", pid: pid, begun: map[int]float64{}, last: map[int]*Usage{}, stop: make(chan struct{}), done: make(chan struct{})}
	if err := w.sample(); err != nil {
		return nil, err
	}
	for pid, u := range w.last {
		w.begun[pid] = u.CPU
	}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				_ = w.sample() // what has ended keeps its last sample
			}
		}
	}()
	return w, nil
}

// Stop returns what each process used, the most first.
func (w *Watcher) Stop() []Usage {
	close(w.stop)
	<-w.done
	_ = w.sample()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Usage, 0, len(w.last))
	for pid, u := range w.last {
		u.CPU -= w.begun[pid]
		list = append(list, *u)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].CPU > list[j].CPU })
	return list
}

func (w *Watcher) sample() error {
	now, err := usages(w.root, w.pid)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for pid, u := range now {
		if before := w.last[pid]; before != nil {
			u.PeakRSS = max(u.PeakRSS, before.PeakRSS)
		}
		w.last[pid] = &u
	}
	return nil
}

// Now is what a process and its descendants use at this moment, by process id: for a sum of all of them at one time, which the
// peaks of each are not.
func Now(pid int) (map[int]Usage, error) { return usages("/proc", pid) }

func usages(root string, pid int) (map[int]Usage, error) {
	tree, err := descendants(root, pid)
	if err != nil {
		return nil, err
	}
	all := make(map[int]Usage, len(tree))
	for pid, s := range tree {
		rss := megabytes(s.pages)
		all[pid] = Usage{Name: name(root, pid, s.name), CPU: s.cpu, RSS: rss, Files: megabytes(filePages(root, pid)), PeakRSS: rss}
	}
	return all, nil
}

func megabytes(pages uint64) float64 { return float64(pages*uint64(os.Getpagesize())) / (1 << 20) }

// filePages are those of files and of shared memory among the resident ones; 0 where that is not known.
func filePages(root string, pid int) uint64 {
	raw, _ := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "statm"))
	fields := strings.Fields(string(raw))
	if len(fields) < 3 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[2], 10, 64)
	return n
}

type stat struct {
	name   string
	parent int
	cpu    float64
	pages  uint64
}

// descendants reads the process and all below it.
func descendants(root string, pid int) (map[int]stat, error) {
	all := map[int]stat{}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		if s, err := parse(string(raw)); err == nil {
			all[n] = s
		}
	}
	if _, ok := all[pid]; !ok {
		return nil, fmt.Errorf("processes: %d does not run", pid)
	}
	tree := map[int]stat{pid: all[pid]}
	for grown := true; grown; {
		grown = false
		for n, s := range all {
			if _, in := tree[n]; in {
				continue
			}
			if _, below := tree[s.parent]; below {
				tree[n], grown = s, true
			}
		}
	}
	return tree, nil
}

// parse reads /proc/N/stat. The name is in brackets and may hold anything, brackets and blanks too.
func parse(line string) (s stat, err error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return s, errors.New("no name")
	}
	s.name = line[open+1 : end]
	fields := strings.Fields(line[end+1:]) // from field 3 on
	if len(fields) < 22 {
		return s, errors.New("too short")
	}
	var numbers [4]uint64
	for i, at := range []int{1, 11, 12, 21} {
		if numbers[i], err = strconv.ParseUint(fields[at], 10, 64); err != nil {
			return s, err
		}
	}
	s.parent, s.cpu, s.pages = int(numbers[0]), float64(numbers[1]+numbers[2])/ticks, numbers[3]
	return s, nil
}

// name is the file name of the program: the one in stat is cut after 15 letters.
func name(root string, pid int, otherwise string) string {
	raw, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "cmdline"))
	first, _, _ := strings.Cut(string(raw), "\x00")
	if err != nil || first == "" {
		return otherwise
	}
	if base := filepath.Base(first); base != "exe" {
		return base
	}
	// A process that started itself again, as /proc/self/exe: the link tells what it is.
	if self, err := os.Readlink(filepath.Join(root, strconv.Itoa(pid), "exe")); err == nil {
		return strings.TrimSuffix(filepath.Base(self), " (deleted)") + " (child)"
	}
	return otherwise
}
