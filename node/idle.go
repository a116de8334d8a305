package node

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

const (
	lookEvery = 10 * time.Second
	// plenty is what a process may keep without a look.
	plenty = 96 << 20
)

// returnMemory gives back to the system what a burst has left behind: the runtime itself does that over many minutes, and a
// process that does nothing any more collects its garbage every two minutes only.
func returnMemory(ctx context.Context) {
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
