package localnet

import (
	"time"

	"github.com/prometheus/procfs"
)

// processes are those of this machine.
type processes struct {
	stat     map[int]procfs.ProcStat
	children map[int][]int
}

func allProcesses() (*processes, error) {
	list, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	all := &processes{stat: make(map[int]procfs.ProcStat), children: make(map[int][]int)}
	for _, p := range list {
		stat, err := p.Stat()
		if err != nil {
			continue // it has ended
		}
		all.stat[p.PID] = stat
		all.children[stat.PPID] = append(all.children[stat.PPID], p.PID)
	}
	return all, nil
}

// below are the processes below one, and below those.
func (a *processes) below(pid int) (list []int) {
	for _, child := range a.children[pid] {
		list = append(list, child)
		list = append(list, a.below(child)...)
	}
	return list
}

func descendants(pid int) ([]int, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	return all.below(pid), nil
}

// usage is what the processes of one node have used, those that have ended too.
type usage struct {
	seen   map[run]time.Duration
	memory int64
}

// run is one process: numbers are used again, with another time of start.
type run struct {
	pid   int
	start uint64
}

// tick is the unit of processor time in /proc, which is the same on all of Linux.
const tick = time.Second / 100

// look takes note of what a node and the processes below it have used until now.
func (u *usage) look(all *processes, pid int) {
	if u.seen == nil {
		u.seen = make(map[run]time.Duration)
	}
	u.memory = 0
	for _, one := range append(all.below(pid), pid) {
		if stat, ok := all.stat[one]; ok {
			u.seen[run{one, stat.Starttime}] = time.Duration(stat.UTime+stat.STime) * tick
			u.memory += int64(stat.ResidentMemory())
		}
	}
}

// processor is the processor time of all.
func (u *usage) processor() (sum time.Duration) {
	for _, d := range u.seen {
		sum += d
	}
	return sum
}
