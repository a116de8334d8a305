package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	busySample = 500 * time.Millisecond
	quietShare = 0.1              // below what the page calls busy, 0.15
	quietLimit = 10 * time.Second // another's work may go on for ever: the report tells it
)

// processorTimes is what all processors together have spent since the system started, in ticks.
type processorTimes struct{ busy, all uint64 }

func readProcessorTimes() (processorTimes, bool) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processorTimes{}, false
	}
	return parseProcessorTimes(string(raw))
}

// parseProcessorTimes reads the line of all processors: user, nice, system, idle, iowait, irq, softirq, steal, and two that
// are part of the first. Old kernels have fewer. What the hypervisor gave to others (steal) is in use, too.
func parseProcessorTimes(stat string) (t processorTimes, ok bool) {
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[0] != "cpu" {
			continue
		}
		for i, f := range fields[1:min(len(fields), 9)] {
			n, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				return processorTimes{}, false
			}
			t.all += n
			if i != 3 && i != 4 {
				t.busy += n
			}
		}
		return t, true
	}
	return processorTimes{}, false
}

// since is the share of the time since an earlier reading that was in use, 0 to 1.
func (t processorTimes) since(before processorTimes) float64 {
	if t.all <= before.all || t.busy <= before.busy { // the kernel lets iowait go back at times
		return 0
	}
	return min(1, float64(t.busy-before.busy)/float64(t.all-before.all))
}

// busy watches for a moment what share of all processors is in use; 0 where that is not known.
func busy() float64 {
	before, ok := readProcessorTimes()
	if !ok {
		return 0
	}
	time.Sleep(busySample)
	after, _ := readProcessorTimes()
	return after.since(before)
}

// quiet waits until the machine has next to nothing to do, but not for long: processes of a measurement before may still be
// ending, and are not what disturbs the next one.
func quiet(ctx context.Context) {
	for end := time.Now().Add(quietLimit); ctx.Err() == nil && busy() > quietShare && time.Now().Before(end); {
	}
}
