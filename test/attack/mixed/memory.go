package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo-bench/process"
)

// memory samples what all processes of a node take. Beyond a limit it ends the node: a node that fails must not take down the
// machine that it is tried on.
type memory struct {
	pid    int
	most   float64 // MiB
	excess func()  // called once, beyond most
	stop   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	sum   float64            // the most that all took at one time, MiB of resident memory
	own   float64            // of that without pages of files, which the kernel takes back when it needs the room
	at    map[string]float64 // what each took then
	peaks map[string]float64 // the most of each
	over  bool
}

// sampleEvery is short beside the seconds that a run of gigabytes takes.
const sampleEvery = 100 * time.Millisecond

func watchMemory(pid int, most float64, excess func()) *memory {
	m := &memory{pid: pid, most: most, excess: excess, stop: make(chan struct{}), done: make(chan struct{}), at: map[string]float64{}, peaks: map[string]float64{}}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			m.sample()
			select {
			case <-m.stop:
				return
			case <-tick.C:
			}
		}
	}()
	return m
}

func (m *memory) sample() {
	now, err := process.Now(m.pid)
	if err != nil {
		return // it has ended, which the driver sees by itself
	}
	var sum, own float64
	at := map[string]float64{}
	for _, u := range now {
		if u.RSS == 0 {
			continue // it begins, or has ended
		}
		sum += u.RSS
		own += u.RSS - u.Files
		at[u.Name] += u.RSS
	}
	if sum > m.most && !m.over {
		m.over = true
		m.excess()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = max(m.own, own)
	if sum > m.sum {
		m.sum, m.at = sum, at
	}
	for name, rss := range at {
		m.peaks[name] = max(m.peaks[name], rss)
	}
}

// Memory is what was found, in MiB.
type Memory struct {
	Peak  float64            `json:"peak_mib"`                  // of all processes at one time
	Own   float64            `json:"peak_own_mib"`              // without pages of files
	At    map[string]float64 `json:"at_the_peak"`               // by process
	Peaks map[string]float64 `json:"peak_of_each"`              // by process
	Group float64            `json:"cgroup_peak_mib,omitempty"` // as the kernel counts a cgroup, with the cache of files
}

func (m *memory) end() Memory {
	close(m.stop)
	<-m.done
	return Memory{Peak: m.sum, Own: m.own, At: m.at, Peaks: m.peaks}
}

// names lists the processes, the largest first.
func (m Memory) names() []string {
	return slices.SortedFunc(maps.Keys(m.Peaks), func(a, b string) int { return int(m.Peaks[b] - m.Peaks[a]) })
}
