package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// How much sooner than the core the kernel is to end a plugin when memory runs out, in thousandths of all memory. The core
// holds what the others are started again from; execution is what strangers can fill, and loses nothing.
const (
	victimExecution = 500
	victimOther     = 200
	mostVictim      = 1000
)

// preferAsVictim raises a child's oom_score_adj above our own; its children inherit it. Raising needs no privilege.
func preferAsVictim(pid int, stage ordov1.Stage) error {
	raw, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	own, err := strconv.Atoi(string(bytes.TrimSpace(raw)))
	if err != nil {
		return err
	}
	more := victimOther
	if stage == ordov1.Stage_STAGE_EXECUTION {
		more = victimExecution
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), strconv.AppendInt(nil, int64(min(own+more, mostVictim)), 10), 0)
}
