package nodetest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Proc is an entry of /proc.
type Proc struct {
	PID, Parent, Group int
	State              string // "Z": it has ended and was not waited for
	Name               string // of the executable, without its folder
	start              string // tells it from a later process with the same number
}

// Processes lists all processes of this machine, as ps does.
func Processes() map[int]Proc {
	all := map[int]Proc{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if p, ok := readProc(filepath.Dir(path)); ok {
			all[p.PID] = p
		}
	}
	return all
}

func readProc(dir string) (p Proc, ok bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, false
	}
	// pid (name) state ppid pgrp ... 22: starttime; the name may hold anything but ends at the last bracket
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 20 {
		return p, false
	}
	p = Proc{State: fields[0], start: fields[19]}
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	p.Parent, _ = strconv.Atoi(fields[1])
	p.Group, _ = strconv.Atoi(fields[2])
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	name, _, _ := bytes.Cut(line, []byte{0})
	p.Name = filepath.Base(string(name))
	return p, true
}

// Alive tells whether the process is still there and has not ended.
func (p Proc) Alive() bool {
	now, ok := readProc(filepath.Join("/proc", strconv.Itoa(p.PID)))
	return ok && p.Same(now) && now.State != "Z"
}

// Same tells whether two entries are of one process.
func (p Proc) Same(other Proc) bool { return p.PID == other.PID && p.start == other.start }

// Children lists the child processes of the node: plugins, and what it starts for a while.
func (p *Process) Children() (list []Proc) {
	for _, one := range Processes() {
		if one.Parent == p.PID() {
			list = append(list, one)
		}
	}
	return list
}
