package machine

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	gometrics "runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// keepMemory bounds the core's memory softly, and gives back to the system what a burst has left behind: the runtime itself
// does that over many minutes, and not at all for garbage of a process that does nothing any more.
func keepMemory(ctx context.Context, mib int) {
	if os.Getenv("GOMEMLIMIT") == "" { // else the operator has said it to the runtime
		debug.SetMemoryLimit(softLimit(int64(mib)<<20, controlGroupLimit("/proc/self/cgroup", "/sys/fs/cgroup")))
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var idle idleMemory
	for {
		select {
		case <-look.C:
			if idle.wasteful(readMemory()) {
				debug.FreeOSMemory()
				idle.settled = readMemory().held
			}
		case <-ctx.Done():
			return
		}
	}
}

// softLimit: storage and execution have the other half of a control group.
func softLimit(configured, group int64) int64 {
	if group > 0 {
		return min(configured, group/2)
	}
	return configured
}

const (
	lookEvery = 10 * time.Second
	// plenty is what a process may keep without a look.
	plenty = 96 << 20
)

// memoryNow is what the runtime holds of the system's memory, and how often it has collected garbage.
type memoryNow struct{ held, cycles uint64 }

// idleMemory finds out when there is something to give back.
type idleMemory struct {
	cycles  uint64 // at the last look
	settled uint64 // what was held after memory was given back: that is in use
}

// wasteful: nothing was collected since the last look, so the process is idle and its garbage stays, and it holds much more
// than it needed the last time that this was found out.
func (i *idleMemory) wasteful(now memoryNow) bool {
	idle := now.cycles == i.cycles
	i.cycles = now.cycles
	return idle && now.held > plenty && now.held > i.settled+i.settled/4
}

func readMemory() memoryNow {
	samples := []gometrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	gometrics.Read(samples)
	return memoryNow{held: samples[0].Value.Uint64() - samples[1].Value.Uint64(), cycles: samples[2].Value.Uint64()}
}

// controlGroupLimit is the least memory.max of the group of this process and those above; 0 when there is none.
func controlGroupLimit(self, root string) (least int64) {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for dir := filepath.Join(root, filepath.Clean("/"+group)); strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
			value, err := os.ReadFile(filepath.Join(dir, "memory.max"))
			if err != nil {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64)
			if err == nil && (least == 0 || n < least) { // "max" is no number
				least = n
			}
		}
	}
	return least
}
